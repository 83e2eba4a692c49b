//! How long a thread waited for a target, and not for a processor.

use std::cell::Cell;
use std::time::Duration;

/// Time without the CPU that is not looked into.
const SHORT: Duration = Duration::from_millis(20);

thread_local! {
    /// How long this thread had waited for a processor when it last asked.
    static TURNS: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// What this thread waited for other than a processor, of a time just now in which it was
/// not on one. Where the kernel does not tell, that is all of it.
pub(super) fn waited(off: Duration) -> Duration {
    if off < SHORT {
        return Duration::ZERO;
    }
    let turns = turns().unwrap_or_default();
    off.saturating_sub(turns.saturating_sub(TURNS.replace(turns)))
}

/// How long this thread has waited for a processor: the second figure of `schedstat`
/// (Documentation/scheduler/sched-stats.rst).
fn turns() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_waited_is_told_from_work() {
        assert_eq!(waited(SHORT / 2), Duration::ZERO);
        // From here on.
        let _ = waited(SHORT);
        // Nobody sends.
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        let began = Instant::now();
        receiver.recv_timeout(10 * SHORT).expect_err("nothing is sent");
        let off = began.elapsed();
        let waited = waited(off);
        assert!(waited > Duration::ZERO && waited <= off, "{waited:?} of {off:?}");
    }
}
