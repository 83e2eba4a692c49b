//! `/proc/PID/stat`: proc_pid_stat(5), `do_task_stat` in fs/proc/array.c.

use memgap_ledger::Fact;
use memgap_ledger::sample::ProcessKind;

use super::Parsed;
use crate::file::Buf;
use crate::process::Process;
use crate::text;

/// Name of the file below a process's directory.
pub const NAME: &str = "stat";

/// 52 numbers and a name.
const LIMIT: usize = 4 << 10;

/// `PF_KTHREAD` of include/linux/sched.h, in every version since 2.6.32.
const PF_KTHREAD: u64 = 0x0020_0000;

/// What memgap needs to know of a process besides its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat<'t> {
    /// Field 2, `comm`: at most 15 bytes for a program, longer for kernel workers;
    /// any bytes but 0, also parentheses and newlines.
    pub comm: &'t [u8],
    /// Field 3: `R`, `S`, `D`, `Z`, `X` and others.
    pub state: u8,
    /// Field 9: whether it is a thread of the kernel.
    pub is_kernel: bool,
    /// Field 20: threads, the first one included also when it has ended.
    pub threads: u64,
    /// Field 22: start in clock ticks since boot. Pid and start name a process.
    pub start: u64,
    /// Fields 26 to 28: where its program's code and its stack begin. `None` where it has
    /// no memory, or the reader no right to know.
    pub image: Option<Image>,
}

/// Where a program's code begins and ends, and its stack begins: of all that have one memory
/// they are the same, but of forked ones too.
pub type Image = [u64; 3];

/// Reads the file of a process.
pub fn read<'b>(process: &Process, buf: &'b mut Buf) -> Fact<Stat<'b>> {
    let text = process.read(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| process.malformed(NAME, what))
}

/// The fields of the text. The name may itself hold `) (`: it ends at the last
/// parenthesis, since only numbers follow.
pub fn parse(text: &[u8]) -> Parsed<Stat<'_>> {
    let line = text.strip_suffix(b"\n").ok_or("the line is cut short")?;
    let open = line.iter().position(|b| *b == b'(').ok_or("there is no `(`")?;
    let close = line.iter().rposition(|b| *b == b')').ok_or("there is no `)`")?;
    let comm = line.get(open + 1..close).ok_or("the parentheses are not in order")?;
    let mut words = text::words(&line[close + 1..]);
    // Fields are counted from 1, as in the manual; the state is field 3.
    let [state] = words.next().ok_or("there is no state")? else {
        return Err("the state is not one letter");
    };
    let mut field = |skip: usize| {
        let word = words.nth(skip).ok_or("there are fewer than 22 fields")?;
        text::decimal(word).ok_or("a field is not a number")
    };
    let flags = field(9 - 4)?;
    let threads = field(20 - 10)?;
    let start = field(22 - 21)?;
    let image = [26 - 23, 0, 0].map(|skip| field(skip).unwrap_or(0));
    let image = (image[2] != 0).then_some(image);
    Ok(Stat { comm, state: *state, is_kernel: flags & PF_KTHREAD != 0, threads, start, image })
}

/// Characters of a name that are shown: `TASK_COMM_LEN` less its end, and what
/// the kernel adds for its workers.
const NAME_LEN: usize = 63;

impl Stat<'_> {
    /// The name of the process, made printable.
    pub fn name(&self) -> String {
        text::printable(self.comm, NAME_LEN)
    }

    /// What sort of process this is. One whose first thread has ended while
    /// others run still has its memory.
    pub fn kind(&self) -> ProcessKind {
        match self.state {
            _ if self.is_kernel => ProcessKind::Kernel,
            b'Z' | b'X' | b'x' if self.threads <= 1 => ProcessKind::Zombie,
            _ => ProcessKind::User,
        }
    }

    /// Whether its first thread has ended, so that only the others' files in
    /// `task/` tell its memory.
    pub fn is_leaderless(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads > 1
    }
}
