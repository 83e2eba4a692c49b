//! Processes that the OOM killer ended: memory was short, whatever figures say now.

use super::{Confidence, Finding, Severity, Subject};
use crate::Figure;
use crate::figure::signed;
use crate::size::iec;

pub const ID: &str = "oom-kill";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let events = &cgroup.events;
    let kills = events.oom_kills.as_ref().ok().copied().filter(|kills| *kills > 0)?;
    let mut evidence = vec![format!("oom_kill {kills}")];
    evidence
        .extend(events.limit_hits.as_ref().ok().map(|n| format!("its limit was met {n} times")));
    evidence.extend(events.peak.as_ref().ok().map(|peak| format!("peak {}", iec(signed(*peak)))));
    evidence.extend(cgroup.headline.limit.map(|limit| format!("limit {}", iec(signed(limit)))));
    let brief = match kills {
        1 => "the OOM killer ended 1 process since the cgroup began".to_owned(),
        kills => format!("the OOM killer ended {kills} processes since the cgroup began"),
    };
    Some(Finding {
        id: ID,
        bytes: events.peak.as_ref().map_or(Figure::Absent, |peak| Figure::exact(*peak)),
        severity: Severity::Warning,
        confidence: Confidence::Certain,
        summary: brief.clone(),
        brief,
        evidence,
        is_not: "a sign that memory is short now: the counter never falls",
        remedy: "the kernel log names the processes and the cgroup whose limit was met: raise that limit, or bound what grew; alert on room".into(),
    })
}
