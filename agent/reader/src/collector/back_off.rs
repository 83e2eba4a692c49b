//! When a target that did not answer in time is asked again.

use std::time::{Duration, Instant};

/// The first pause; each that follows is twice as long.
pub(super) const FIRST: Duration = Duration::from_secs(10);

/// The longest pause.
const LONGEST: Duration = Duration::from_mins(10);

/// How long a target that did not answer is left alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BackOff {
    /// The last pause, where it has not answered in time since.
    pause: Option<Duration>,
    until: Option<Instant>,
}

impl BackOff {
    pub fn may_ask(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// It answered in time.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// Who asked it has returned by `now`, too late: how long it is left alone.
    pub fn failed(&mut self, now: Instant, first: Duration) -> Duration {
        let pause = self.pause.map_or(first, |last| (last * 2).min(LONGEST));
        *self = Self { pause: Some(pause), until: now.checked_add(pause) };
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_an_answer_ends_them() {
        let (mut back_off, mut now) = (BackOff::default(), Instant::now());
        assert!(back_off.may_ask(now));
        for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
            let pause = back_off.failed(now, FIRST);
            assert_eq!(pause, Duration::from_secs(seconds));
            now += pause.saturating_sub(Duration::from_millis(1));
            assert!(!back_off.may_ask(now));
            now += Duration::from_millis(1);
            assert!(back_off.may_ask(now));
        }
        back_off.answered();
        assert!(back_off.may_ask(now));
        assert_eq!(back_off.failed(now, FIRST), FIRST);
    }
}
