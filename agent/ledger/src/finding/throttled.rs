//! Usage at `memory.high`: the kernel makes the processes wait, and nothing is killed.

use super::{Confidence, Finding, Severity, Subject};
use crate::Figure;
use crate::figure::signed;
use crate::size::iec;

pub const ID: &str = "throttled";

/// A share of the last ten seconds that is felt, in hundredths of a percent.
const FELT: u32 = 1000;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let events = &cgroup.events;
    let high = events.high.as_ref().ok().copied().flatten()?;
    let times = events.throttled.as_ref().ok().copied().filter(|times| *times > 0)?;
    let usage = cgroup.headline.usage.point()?;
    // Charges go a little over it before a process has to wait.
    let is_there = usage as f64 >= 0.95 * high as f64;
    is_there.then(|| {
        let stall = events.stall.as_ref().ok();
        let share = stall.map(|stall| stall.some.last_ten);
        let mut evidence = vec![
            format!("usage {}, memory.high {}", iec(usage), iec(signed(high))),
            format!("throttled {times} times"),
        ];
        evidence.extend(share.map(|share| {
            format!("some process waited {:.1}% of the last 10 s", f64::from(share) / 100.0)
        }));
        Finding {
            id: ID,
            bytes: Figure::Exact(usage),
            severity: if share.is_some_and(|share| share >= FELT) {
                Severity::Critical
            } else {
                Severity::Warning
            },
            confidence: Confidence::Certain,
            brief: format!("its processes are made to wait at memory.high {}", iec(signed(high))),
            summary: format!("its processes are throttled at memory.high {}", iec(signed(high))),
            evidence,
            is_not: "the way to an OOM kill: memory.high makes wait and kills nobody",
            remedy:
                "raise memory.high, or take load away: memory.max and room say nothing about it"
                    .into(),
        }
    })
}
