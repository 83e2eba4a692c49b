//! Live memory that the working set leaves out: pages lazily freed, then
//! written again, stay on the inactive file list until reclaim looks at them.

use super::{Finding, Severity, Subject, confidence, matters};
use crate::size::iec;

pub const ID: &str = "hidden-working-set";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let h = &cgroup.headline;
    // The point is 0 as long as no walk has distinguished hidden memory from lazy memory.
    let hidden = h.working_set_hidden.point()?;
    let (usage, working_set) = (h.usage.point()?, h.working_set.point()?);
    if !matters(hidden, usage) {
        return None;
    }
    let required = h.required.point()?;
    let near = h.limit.is_some_and(|limit| required as f64 >= 0.9 * limit as f64);
    let mut evidence = vec![
        format!("working set {}, required {}", iec(working_set), iec(required)),
        format!("{} on the file lists beyond the page cache", iec(cgroup.lru_lazy.point()?)),
    ];
    evidence
        .extend(h.limit.and_then(|l| i64::try_from(l).ok()).map(|l| format!("limit {}", iec(l))));
    Some(Finding {
        id: ID,
        bytes: h.working_set_hidden,
        severity: if near { Severity::Critical } else { Severity::Warning },
        confidence: confidence(h.working_set_hidden),
        brief: format!(
            "the working set leaves out {} of live memory",
            h.working_set_hidden.words()
        ),
        summary: format!(
            "the working set leaves out {} of live memory that was lazily freed once and written again",
            h.working_set_hidden.words()
        ),
        evidence,
        is_not: "a leak: usage and RSS have counted this memory all along",
        remedy: "size and alert by required, not by the working set".into(),
    })
}
