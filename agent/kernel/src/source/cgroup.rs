//! `/proc/PID/cgroup`: cgroups(7), `proc_cgroup_show` in kernel/cgroup/cgroup.c.

use memgap_ledger::Fact;

use super::Parsed;
use crate::file::Buf;
use crate::process::Process;
use crate::text;

/// Name of the file below a process's directory.
pub const NAME: &str = "cgroup";

/// At most 16 hierarchies, each with a path of at most a page.
pub const LIMIT: usize = 128 << 10;

/// A hierarchy's controllers, separated by commas and none on v2, and the path of
/// the process's cgroup in it, made printable.
pub type Membership = (String, String);

/// Reads the memberships of a process, one a hierarchy.
pub fn read(process: &Process, buf: &mut Buf) -> Fact<Vec<Membership>> {
    let text = process.read(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| process.malformed(NAME, what))
}

/// The memberships of the text. No cgroup's name holds a newline.
pub fn parse(text: &[u8]) -> Parsed<Vec<Membership>> {
    text.split_inclusive(|b| *b == b'\n')
        .map(|line| {
            let line = line.strip_suffix(b"\n").ok_or("the last line is cut short")?;
            membership(line).ok_or("a line is not `number:controllers:/path`")
        })
        .collect()
}

fn membership(line: &[u8]) -> Option<Membership> {
    let mut parts = line.splitn(3, |b| *b == b':');
    text::decimal(parts.next()?)?;
    let controllers = parts.next()?;
    let path = parts.next().filter(|path| path.starts_with(b"/"))?;
    Some((text::printable(controllers, usize::MAX), text::printable(path, usize::MAX)))
}
