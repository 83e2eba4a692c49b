//! `/proc/PID/schedstat`: Documentation/scheduler/sched-stats.rst, `proc_pid_schedstat` in
//! fs/proc/base.c. It is of the first thread alone, and any user may read it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Parsed;
use crate::text;

/// Name of the file below a process's directory.
pub const NAME: &str = "schedstat";

/// Three numbers of at most 20 digits.
const LIMIT: usize = 128;

/// What a thread has had of processors. As long as that stays as it is the thread has not
/// run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// Nanoseconds on a processor.
    ran: u64,
    /// Nanoseconds in which it could have run.
    waited: u64,
    /// How often it was put on a processor.
    times: u64,
}

/// Reads the file again through a handle that was kept, in one system call; `None` where
/// this kernel does not count.
pub fn read_again(schedstat: &File) -> io::Result<Option<Turns>> {
    let mut text = [0; LIMIT];
    let len = schedstat.read_at(&mut text, 0)?;
    parse(&text[..len]).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// The three figures of the text. A kernel without `CONFIG_SCHED_INFO` prints zeros for all.
pub fn parse(text: &[u8]) -> Parsed<Option<Turns>> {
    let line = text.strip_suffix(b"\n").ok_or("the line is cut short")?;
    let mut words = text::words(line);
    let mut number = || {
        let word = words.next().ok_or("there are fewer than 3 numbers")?;
        text::decimal(word).ok_or("a word is not a number")
    };
    let turns = Turns { ran: number()?, waited: number()?, times: number()? };
    Ok(Some(turns).filter(|turns| turns.times > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_figures_are_understood_and_zeros_are_none() {
        let turns = Turns { ran: 1_980_917, waited: 3_205_988, times: 4 };
        assert_eq!(parse(b"1980917 3205988 4\n"), Ok(Some(turns)));
        assert_eq!(parse(b"0 0 0\n"), Ok(None));
        for bad in [&b""[..], b"\n", b"1 2\n", b"1 2 3", b"1 x 3\n", b"1 -2 3\n"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn who_runs_is_told() {
        let own = File::open("/proc/self/schedstat").expect("procfs is mounted");
        // The first thread of a test waits for the others.
        let thread = File::open("/proc/thread-self/schedstat").expect("procfs is mounted");
        assert!(read_again(&own).expect("readable").is_some());
        let before = read_again(&thread).expect("readable");
        std::thread::yield_now();
        let spin = std::time::Instant::now();
        while read_again(&thread).expect("readable") == before {
            assert!(spin.elapsed() < std::time::Duration::from_mins(1), "it runs uncounted");
        }
    }
}
