//! Who reads memory of other processes may wait in the kernel for as long as they like, and
//! of some waits nobody can end it. So what a command reads is read by a process of its own,
//! which this one waits for: within bounds, and as long as nobody presses Ctrl-C.

use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use memgap_ledger::{Missing, MissingKind};
use rustix::process::{Signal, set_parent_process_death_signal};

/// What the process that reads is told by, beside its arguments.
const WAY: &str = "MEMGAP_READS";

/// The name of one that reads no more, and may wait for whoever takes its answer.
const ANSWERS: &str = "memgap-answers";

/// Between two looks whether it has ended: first, and at the most.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(20);

/// Looks in a row, each so long after the other, in which it waits and does nothing else: 5 s.
/// They are counted, for the time passes also while both are stopped.
const MOST_LOOKS: u32 = 250;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What was asked for.
    Whole,
    /// The kernel's counters alone, after somebody did not answer.
    Counters,
}

/// Who does what was asked for.
pub enum Asked {
    /// This process, in that way.
    Here(Way),
    /// Another one has.
    Answered(ExitCode),
}

/// Has the command line done again by a process of its own, unless this is that one.
pub fn ask() -> Result<Asked, String> {
    let way = match std::env::var_os(WAY) {
        Some(way) if way == Way::Counters.name() => Way::Counters,
        Some(_) => Way::Whole,
        None => return supervise(),
    };
    // It waits for nobody when nobody waits for it.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    Ok(Asked::Here(way))
}

/// Says that nothing is read any more.
pub fn answers() {
    let _ = std::ffi::CString::new(ANSWERS).map(|name| rustix::thread::set_name(&name));
}

/// Waits for a time to pass, which is no wait for a process that does not answer.
pub fn pause(time: Duration) {
    let name = rustix::thread::name();
    answers();
    std::thread::sleep(time);
    if let Ok(name) = name {
        let _ = rustix::thread::set_name(&name);
    }
}

/// What is said of all that is not read after somebody did not answer.
pub fn lack() -> Missing {
    let why = "what was asked for did not answer for 5 s: a process of it holds its memory map, or \
               a file system that it maps does not answer";
    Missing::new(MissingKind::Refused, why)
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Counters => "counters",
        }
    }
}

fn supervise() -> Result<Asked, String> {
    if ignores_children() {
        return Ok(Asked::Here(Way::Whole));
    }
    for way in [Way::Whole, Way::Counters] {
        // Where no process can be started this one does it all.
        let Ok(child) = start(way) else { return Ok(Asked::Here(way)) };
        if let Some(code) = wait(child) {
            return Ok(Asked::Answered(ExitCode::from(code)));
        }
    }
    Err(lack().why.to_string())
}

/// Whether this process was started so that the kernel forgets how its children end.
fn ignores_children() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (Signal::CHILD.as_raw() - 1) & 1 == 1)
}

fn start(way: Way) -> std::io::Result<Child> {
    // The same program, also where it was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.args(std::env::args_os().skip(1)).env(WAY, way.name()).spawn()
}

/// Its exit code; none where it was given up.
fn wait(mut child: Child) -> Option<u8> {
    let (mut pause, mut last, mut looks) = (FIRST_LOOK, None, 0);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(code(status)),
            Ok(None) => {}
            // How it ended is not known.
            Err(_) => return Some(u8::MAX),
        }
        if pause == LAST_LOOK {
            let now = waits(child.id());
            looks = if now.is_some() && now == last { looks + 1 } else { 0 };
            last = now;
            if looks >= MOST_LOOKS {
                // Where a kill does not end its wait it ends when that does.
                let _ = child.kill();
                return None;
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 5 / 4).min(LAST_LOOK);
    }
}

fn code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;

    /// As shells say that a signal ended it.
    const SIGNALLED: i32 = 128;
    let code = status.code().or(status.signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// How often it had been on a processor when it began to wait, where it waits for what it reads.
fn waits(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let name = &stat[stat.iter().position(|byte| *byte == b'(')? + 1..end];
    let state = *stat.get(end + 2)?;
    if name == ANSWERS.as_bytes() || !b"DS".contains(&state) {
        return None;
    }
    // A kernel that does not count turns leaves the state alone to tell.
    let turns = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    Some(turns.split_whitespace().nth(2).and_then(|turns| turns.parse().ok()).unwrap_or_default())
}
