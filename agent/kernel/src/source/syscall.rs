//! `/proc/PID/task/TID/syscall`: proc_pid_syscall(5). Of each thread that waits it tells
//! where its stack is; to read it takes the right to trace, more than `smaps` does.

use memgap_ledger::sample::Stacks;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::Parsed;
use crate::file::Buf;
use crate::process::Process;
use crate::text;

/// Name of the file below a thread's directory.
pub const NAME: &str = "syscall";

/// Nine numbers.
const LIMIT: usize = 1 << 10;

/// Threads that one look may ask: 20 us each (measured), so 80 ms.
pub const MAX_THREADS: usize = 4096;

/// Looks at a thread that ran: between two of them it may wait.
const LOOKS: usize = 3;

/// The stack pointers of a process's threads, refused where there are more than `most`.
pub fn stacks(process: &Process, most: usize, buf: &mut Buf) -> Fact<Stacks> {
    let mut threads = process.threads(most.saturating_add(1))?;
    if threads.len() > most {
        let why = format!(
            "process {} has more than {most} threads: their stack pointers are not read",
            process.pid()
        );
        return Err(Missing::new(MissingKind::Refused, why));
    }
    let mut pointers = Vec::with_capacity(threads.len());
    for _ in 0..LOOKS {
        let mut running = Vec::new();
        for id in threads {
            match read(process, id, buf) {
                Ok(Some(pointer)) => pointers.push(pointer),
                Ok(None) => running.push(id),
                // It ended, and its stack is nobody's.
                Err(Missing { kind: MissingKind::Gone, .. }) => {}
                Err(lack) => return Err(lack),
            }
        }
        threads = running;
    }
    pointers.sort_unstable();
    let running = threads.len();
    Ok(Stacks { pointers: pointers.into(), running, ..Stacks::default() })
}

/// The stack pointer of a thread; `None` where it runs.
fn read(process: &Process, id: u32, buf: &mut Buf) -> Fact<Option<u64>> {
    let name = format!("task/{id}/{NAME}");
    let text = process.read(&name, LIMIT, buf)?;
    parse(text).map_err(|what| process.malformed(&name, what))
}

/// The stack pointer of the text: `running`, `-1 SP PC` outside of a call, or
/// `NUMBER A B C D E F SP PC` in one.
pub fn parse(text: &[u8]) -> Parsed<Option<u64>> {
    let line = text.strip_suffix(b"\n").ok_or("the line is cut short")?;
    if line == b"running" {
        return Ok(None);
    }
    let words: Vec<&[u8]> = text::words(line).collect();
    let ([b"-1", pointer, _] | [_, _, _, _, _, _, _, pointer, _]) = words[..] else {
        return Err("it is neither running, nor a call with its arguments");
    };
    let number = pointer.strip_prefix(b"0x").and_then(text::hex);
    number.map(Some).ok_or("the stack pointer is not a number")
}
