//! `/proc/PID/net/{tcp,udp}*`: what waits in the sockets of a network namespace
//! (net/ipv4/tcp_ipv4.c, udp.c), and which of them a process holds open.

use memgap_ledger::{Fact, MissingKind};

use super::Parsed;
use crate::file::Buf;
use crate::process::Process;
use crate::text;

/// The tables of a namespace; those of IPv6 are absent where it is off.
const TABLES: [(&str, Protocol); 4] = [
    ("net/tcp", Protocol::Tcp),
    ("net/tcp6", Protocol::Tcp),
    ("net/udp", Protocol::Udp),
    ("net/udp6", Protocol::Udp),
];

/// A line has 150 bytes: 200,000 sockets.
const LIMIT: usize = 32 << 20;

/// Open files of a process that are looked at.
pub const MAX_FILES: usize = 1 << 16;

/// The state of a socket that listens: its queue counts connections, not bytes.
const LISTENS: u64 = 0x0a;

/// What a table is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP: the queues are bytes of the stream.
    Tcp,
    /// UDP: the queues are what the buffers cost.
    Udp,
}

/// One socket and what waits in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Its inode, the same in every namespace.
    pub inode: u64,
    /// Bytes written and not gone.
    pub sent: u64,
    /// Bytes received and not read.
    pub received: u64,
}

/// Hands every socket of the process's network namespace to `each`.
pub fn queues(process: &Process, buf: &mut Buf, mut each: impl FnMut(Protocol, Queue)) -> Fact<()> {
    for (name, protocol) in TABLES {
        let read = process.lines(name, LIMIT, buf, |line| {
            if let Some(queue) = parse(line, protocol)? {
                each(protocol, queue);
            }
            Ok(())
        });
        match read {
            Err(lack) if lack.kind == MissingKind::Absent && name.ends_with('6') => {}
            read => read?,
        }
    }
    Ok(())
}

/// The socket of a line; `None` for the heading and for what listens.
pub fn parse(line: &[u8], protocol: Protocol) -> Parsed<Option<Queue>> {
    const WHAT: &str = "a line is not of a socket";
    let mut words = text::words(line);
    if words.next() == Some(b"sl") {
        return Ok(None);
    }
    let mut next = |skip: usize| words.nth(skip).ok_or(WHAT);
    let state = text::hex(next(2)?).ok_or(WHAT)?;
    let queues = text::key_value(next(0)?).ok_or(WHAT)?;
    let (sent, received) = (text::hex(queues.0).ok_or(WHAT)?, text::hex(queues.1).ok_or(WHAT)?);
    let inode = text::decimal(next(4)?).ok_or(WHAT)?;
    let listens = protocol == Protocol::Tcp && state == LISTENS;
    Ok((!listens).then_some(Queue { inode, sent, received }))
}

/// The inodes of the sockets that a process holds open, and whether all its files were
/// looked at.
pub fn held(process: &Process) -> Fact<(Vec<u64>, bool)> {
    let files = process.dir()?.dir("fd".as_ref())?;
    let mut numbers = files.numbers()?;
    let is_whole = numbers.len() <= MAX_FILES;
    numbers.truncate(MAX_FILES);
    // One that was closed meanwhile is no longer held.
    let inodes = numbers.iter().filter_map(|number| inode(&files.link(&number.to_string())?));
    Ok((inodes.collect(), is_whole))
}

/// The number in `socket:[number]`.
pub fn inode(link: &[u8]) -> Option<u64> {
    text::decimal(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

/// What tells a process's network namespace from others.
pub fn namespace(process: &Process) -> Fact<Vec<u8>> {
    let spaces = process.dir()?.dir("ns".as_ref())?;
    spaces.link("net").ok_or_else(|| process.malformed("ns/net", "it leads nowhere"))
}
