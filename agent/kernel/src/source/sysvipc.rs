//! `/proc/sysvipc/shm`: sysvipc(7), `sysvipc_shm_proc_show` in ipc/shm.c. It shows the
//! segments of the IPC namespace of whoever opens it.

use memgap_ledger::Fact;

use super::Parsed;
use crate::file::malformed;
use crate::file::{Buf, Dir};
use crate::text;

/// Name of the file below procfs.
pub const NAME: &str = "sysvipc/shm";

/// 200 bytes a segment; `kernel.shmmni` is 4096 by default.
const LIMIT: usize = 16 << 20;

/// A segment of System V shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// `shmid`, which is also its inode in `maps`.
    pub id: u64,
    /// Pid of its creator, who need not live.
    pub creator: u32,
    /// Mappings of it.
    pub attached: u64,
    /// Bytes in memory.
    pub rss: u64,
    /// Bytes swapped out.
    pub swap: u64,
}

/// The segments of this IPC namespace.
pub fn read(procfs: &Dir, buf: &mut Buf) -> Fact<Vec<Segment>> {
    let text = procfs.read(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| malformed(&procfs.path().join(NAME), what))
}

/// The segments of the text, whose columns are named by its first line.
pub fn parse(text: &[u8]) -> Parsed<Vec<Segment>> {
    let text = text.strip_suffix(b"\n").ok_or("the last line is cut short")?;
    let mut lines = text.split(|b| *b == b'\n');
    let head: Vec<&[u8]> = text::words(lines.next().unwrap_or_default()).collect();
    let column = |name: &[u8]| head.iter().position(|word| *word == name);
    let columns = [&b"shmid"[..], b"cpid", b"nattch", b"rss", b"swap"].map(column);
    let [Some(id), Some(creator), Some(attached), Some(rss), Some(swap)] = columns else {
        return Err("a column among shmid, cpid, nattch, rss, swap lacks");
    };
    lines
        .map(|line| {
            let words: Vec<&[u8]> = text::words(line).collect();
            let number = |at: usize| words.get(at).and_then(|word| text::decimal(word));
            let segment = Segment {
                id: number(id)?,
                creator: number(creator).and_then(|pid| u32::try_from(pid).ok())?,
                attached: number(attached)?,
                rss: number(rss)?,
                swap: number(swap)?,
            };
            (words.len() == head.len()).then_some(segment)
        })
        .collect::<Option<_>>()
        .ok_or("a segment is not in form")
}
