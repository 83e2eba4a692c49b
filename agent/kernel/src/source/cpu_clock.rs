//! The CPU clock of a process: clock_gettime(2), kernel/time/posix-cpu-timers.c. It counts
//! what all its threads have run, those that have ended too, and any user may read it.
#![allow(unsafe_code, reason = "rustix reads no clock of another process")]

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// `CPUCLOCK_SCHED` of include/linux/posix-timers.h: what the scheduler counts, in
/// nanoseconds.
const SCHED: i32 = 2;

/// The clock of the process that has a pid, whoever that is when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuClock(i32);

impl CpuClock {
    /// Of a pid in this program's own pid namespace: see [`crate::pid_namespace`].
    pub fn of(pid: u32) -> Option<Self> {
        // `MAKE_PROCESS_CPUCLOCK`: bits of the complement, above three of the kind.
        let pid = i32::try_from(pid).ok()?;
        Some(Self((!pid).checked_mul(8)? | SCHED))
    }

    /// What it has run. Of a thread that is on a processor now the kernel counts it at its next
    /// tick or when it gives the processor up.
    ///
    /// # Errors
    ///
    /// There is no such process.
    pub fn read(self) -> io::Result<Duration> {
        let mut time = MaybeUninit::uninit();
        // SAFETY: the call writes a `timespec` to where it is pointed to, and nothing else.
        if unsafe { libc::clock_gettime(self.0, time.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was written, for the call has not failed.
        let time = unsafe { time.assume_init() };
        let seconds = u64::try_from(time.tv_sec).map_err(io::Error::other)?;
        let nanoseconds = u32::try_from(time.tv_nsec).map_err(io::Error::other)?;
        Ok(Duration::new(seconds, nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::mpsc;
    use std::time::Instant;

    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    #[test]
    fn another_thread_counts_too() {
        let own = CpuClock::of(std::process::id()).expect("a pid");
        let (end, ends) = mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            while ends.try_recv() == Err(mpsc::TryRecvError::Empty) {
                std::hint::spin_loop();
            }
        });
        // What this thread runs itself is no news.
        let others = || {
            let this = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a time");
            own.read().expect("it runs").saturating_sub(this)
        };
        let before = others();
        let spin = Instant::now();
        while others() < before + Duration::from_millis(50) {
            assert!(spin.elapsed() < Duration::from_mins(1), "it runs uncounted");
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(end);
        other.join().expect("it ends");
    }

    #[test]
    fn who_has_ended_has_no_clock() {
        // It ends with its input, also where the test fails.
        let mut kid = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat runs");
        let clock = CpuClock::of(kid.id()).expect("a pid");
        clock.read().expect("it waits for its input");
        drop(kid.stdin.take());
        kid.wait().expect("it ends");
        assert!(clock.read().is_err());
        assert_eq!(CpuClock::of(u32::MAX), None);
    }
}
