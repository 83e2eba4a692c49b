//! Counts and times in words.

use std::time::Duration;

/// `35 s`, `24 min`, `3 h 10 min`, `2 d 4 h`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, 0) => format!("{hours} h"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, 0, _) => format!("{days} d"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

/// `1 OOM kill`, `3 OOM kills`
pub fn kills(n: u64) -> String {
    if n == 1 { "1 OOM kill".to_owned() } else { format!("{n} OOM kills") }
}

/// `once`, `3 times`
pub fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}
