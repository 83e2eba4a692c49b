//! Which processes and cgroups `memgap ps` lists, and in which order.

use memgap_ledger::sample::ProcessKind;
use memgap_ledger::{CgroupLedger, Figure, Identity, ProcessLedger};

use crate::args::Ps;

/// By RSS less in use, the widest gap first; where the use is not known by RSS.
/// Kernel threads and zombies hold no memory and are left out.
pub fn processes(mut processes: Vec<ProcessLedger>, ps: &Ps) -> Vec<ProcessLedger> {
    processes.retain(|p| {
        let path = p.cgroup.as_deref().unwrap_or_default();
        p.kind == ProcessKind::User && named(ps, &[&p.name, path]) && within(ps, path)
    });
    processes.sort_by_key(|p| {
        let gap = difference(p.headline.rss, p.headline.in_use).or(p.headline.rss.point());
        (std::cmp::Reverse(gap), p.pid)
    });
    processes.truncate(ps.top.unwrap_or(usize::MAX));
    processes
}

/// By required less working set, the widest gap first; where the working set
/// counts more than is required, by usage.
pub fn cgroups(mut cgroups: Vec<CgroupLedger>, ps: &Ps) -> Vec<CgroupLedger> {
    cgroups.retain(|c| {
        let names = match &c.identity {
            Identity::Container(container) => container.names.as_ref(),
            _ => None,
        };
        let (pod, container) = names.map_or(("", ""), |n| (&*n.pod, &*n.container));
        named(ps, &[&c.path, pod, container]) && within(ps, &c.path)
    });
    cgroups.sort_by_key(|c| {
        let gap = difference(c.headline.required, c.headline.working_set).map(|gap| gap.max(0));
        (std::cmp::Reverse((gap, c.headline.usage.point())), c.path.clone())
    });
    cgroups.truncate(ps.top.unwrap_or(usize::MAX));
    cgroups
}

fn difference(larger: Figure, smaller: Figure) -> Option<i64> {
    Some(larger.point()?.saturating_sub(smaller.point()?))
}

fn named(ps: &Ps, names: &[&str]) -> bool {
    ps.name.as_ref().is_none_or(|text| names.iter().any(|name| name.contains(text.as_str())))
}

fn within(ps: &Ps, path: &str) -> bool {
    ps.cgroup.as_ref().is_none_or(|above| {
        let rest = path.strip_prefix(above.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}
