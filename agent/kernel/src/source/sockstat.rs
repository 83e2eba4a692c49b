//! `/proc/net/sockstat`: what socket buffers hold, net/ipv4/proc.c.
//!
//! The `mem` figures are of the whole machine, whichever network namespace they
//! are read in; IPv6 sockets are counted in them.

use memgap_ledger::Fact;
use memgap_ledger::sample::SocketBuffers;

use crate::file::{Buf, Dir, malformed};
use crate::text;

/// Where the file may be below the procfs root: `net` leads to `self/net`, and
/// there is no `self` in the procfs of another pid namespace.
pub const NAMES: [&str; 2] = ["net/sockstat", "1/net/sockstat"];

/// The kernel prints six lines.
const LIMIT: usize = 64 << 10;

/// Reads the file below a procfs root.
pub fn read(proc: &Dir, page_size: u64, buf: &mut Buf) -> Fact<SocketBuffers> {
    let [name, other] = NAMES;
    let name = if proc.file(name).is_ok() { name } else { other };
    let text = proc.read(name, LIMIT, buf)?;
    parse(text, page_size)
        .ok_or_else(|| malformed(&proc.path().join(name), "there is no `mem` of TCP or UDP"))
}

/// `mem` of TCP and UDP, which are pages, and `memory` of FRAG, which is bytes. `None`
/// where one of the first two is lacking or a number is none.
pub fn parse(text: &[u8], page_size: u64) -> Option<SocketBuffers> {
    let mut tcp = None;
    let mut udp = None;
    let mut fragments = 0;
    for line in text::lines(text.strip_suffix(b"\n")?) {
        match text::key_value(line) {
            Some((b"TCP", values)) => tcp = Some(number(values, b"mem")?),
            Some((b"UDP", values)) => udp = Some(number(values, b"mem")?),
            Some((b"FRAG", values)) => fragments = number(values, b"memory")?,
            _ => {}
        }
    }
    let bytes = |pages: u64| pages.checked_mul(page_size);
    Some(SocketBuffers { tcp: bytes(tcp?)?, udp: bytes(udp?)?, fragments })
}

/// The number behind a name in a line of `name number` pairs.
fn number(values: &[u8], name: &[u8]) -> Option<u64> {
    let mut words = text::words(values);
    words.find(|word| *word == name)?;
    text::decimal(words.next()?)
}
