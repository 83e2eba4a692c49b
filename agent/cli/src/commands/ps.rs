//! `memgap ps`: which processes and cgroups are listed, and in which order.

use std::collections::HashSet;

use memgap_json as json;
use memgap_ledger::finding::Subject;
use memgap_ledger::reason;
use memgap_ledger::sample::{CgroupSample, ProcessKind};
use memgap_ledger::{
    CgroupLedger, Coverage, Figure, Identity, Missing, MissingKind, ProcessLedger, cgroup,
    coverage, limits, machine, process, program,
};
use memgap_reader::{Depth, Reader};

use super::seen::read_cgroup;
use crate::args::Ps;
use crate::output::{Answer, Output};
use crate::view::{self, table};

/// Lists what was asked for.
pub fn run(reader: &Reader, ps: &Ps, output: &Output) -> anyhow::Result<Answer> {
    if ps.coverage {
        cover_processes(reader, ps, output)
    } else if ps.cgroups {
        list_cgroups(reader, ps, output)
    } else {
        list_processes(reader, ps, output)
    }
}

fn list_processes(reader: &Reader, ps: &Ps, output: &Output) -> anyhow::Result<Answer> {
    let samples = reader.processes(Depth::Listed)?;
    let ledgers = samples.iter().map(process::ledger).collect();
    let listed = processes(ledgers, ps);
    let in_part = listed.iter().any(ProcessLedger::is_denied);
    let mut programs = program::programs(&listed, ps.pids);
    programs.truncate(ps.top.unwrap_or(usize::MAX));
    let shown: HashSet<u32> = programs.iter().flat_map(|p| &p.pids).copied().collect();
    let listed: Vec<ProcessLedger> =
        listed.into_iter().filter(|process| shown.contains(&process.pid)).collect();
    let document = || json::processes(&programs, &listed);
    let text = output.text(document, |style| table::programs(&programs, style))?;
    Ok(Answer::of(text, in_part))
}

/// How much of the anonymous memory of processes is explained.
fn cover_processes(reader: &Reader, ps: &Ps, output: &Output) -> anyhow::Result<Answer> {
    let samples = reader.processes(Depth::Listed)?;
    let all = Ps { top: None, name: ps.name.clone(), cgroup: ps.cgroup.clone(), ..Ps::default() };
    let listed = processes(samples.iter().map(process::ledger).collect(), &all);
    let in_part = listed.iter().any(ProcessLedger::is_denied);
    let whole = Coverage::of(&listed);
    let mut programs = coverage::by_program(&listed);
    programs.truncate(ps.top.unwrap_or(usize::MAX));
    let document = || json::coverage(&whole, &programs);
    let text = output.text(document, |style| view::coverage::table(&whole, &programs, style))?;
    Ok(Answer::of(text, in_part))
}

/// Memory on the file lists beyond the page cache that is worth a walk.
const SHOWS: i64 = 4 << 20;

fn list_cgroups(reader: &Reader, ps: &Ps, output: &Output) -> anyhow::Result<Answer> {
    let unread = Missing::new(MissingKind::Refused, "a list of cgroups reads no process");
    let samples = reader.cgroups()?;
    let ledger = |sample: &CgroupSample| {
        let made = cgroup::ledger(sample, Err(&unread));
        // Only a walk tells what is hidden from what is lazy: worth it where
        // either would show.
        let shows = made.lru_lazy.point().is_some_and(|bytes| bytes >= SHOWS);
        if shows { read_cgroup(reader, &sample.path, Depth::Walk).unwrap_or(made) } else { made }
    };
    let mut ledgers: Vec<_> = samples.iter().map(ledger).collect();
    limits::settle(&mut ledgers, &machine::swap_free(&reader.host()));
    let listed = cgroups(ledgers, ps);
    let in_part = listed.iter().any(|c| reason::is_denied(Subject::Cgroup(c)));
    let document = || json::cgroups(&listed);
    let text = output.text(document, |style| table::cgroups(&listed, style))?;
    Ok(Answer::of(text, in_part))
}

/// By RSS less in use, the widest gap first; where the use is not known by RSS.
/// Kernel threads and zombies hold no memory and are left out.
fn processes(mut processes: Vec<ProcessLedger>, ps: &Ps) -> Vec<ProcessLedger> {
    processes.retain(|p| {
        let path = p.cgroup.as_deref().unwrap_or_default();
        p.kind == ProcessKind::User && named(ps, &[&p.name, path]) && within(ps, path)
    });
    processes.sort_by_key(|p| {
        let gap = difference(p.headline.rss, p.headline.in_use).or(p.headline.rss.point());
        (std::cmp::Reverse(gap), p.pid)
    });
    processes
}

/// By required less working set, the widest gap first; where the working set
/// counts more than is required, by usage.
fn cgroups(mut cgroups: Vec<CgroupLedger>, ps: &Ps) -> Vec<CgroupLedger> {
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

#[cfg(test)]
mod tests {
    use memgap_ledger::sample::ProcessSample;
    use memgap_ledger::{Missing, cgroup, process};

    use super::*;
    use crate::view::samples;

    fn named(pid: u32, sample: ProcessSample) -> ProcessLedger {
        process::ledger(&ProcessSample { pid, ..sample })
    }

    fn pids(ps: &Ps) -> Vec<u32> {
        let kernel = ProcessSample { kind: ProcessKind::Kernel, ..samples::server() };
        let lost = ProcessSample::missing(4, &Missing::absent("gone"));
        let all = vec![
            named(4, lost),
            named(3, kernel),
            // 408 MiB above its use.
            named(2, samples::probed()),
            // 708 MiB of which the use is not known.
            named(1, samples::server()),
        ];
        processes(all, ps).iter().map(|p| p.pid).collect()
    }

    #[test]
    fn the_widest_gap_comes_first_and_the_unknown_last() {
        assert_eq!(pids(&Ps::default()), [1, 2, 4]);
    }

    #[test]
    fn a_filter_by_cgroup_takes_whole_names() {
        let below = |path: &str| pids(&Ps { cgroup: Some(path.to_owned()), ..Ps::default() });
        assert_eq!(below("/system.slice/"), [1, 2]);
        assert!(below("/system").is_empty());
        assert_eq!(pids(&Ps { name: Some("api-s".to_owned()), ..Ps::default() }), [1, 2]);
    }

    #[test]
    fn a_cgroup_that_hides_memory_comes_first() {
        let hiding = samples::container();
        let mut larger = samples::container();
        larger.path = "/larger".to_owned();
        larger.usage = hiding.usage.clone().map(|usage| usage * 2);
        let server = process::ledger(&samples::server());
        let mut reclaimable = hiding.stat.clone().expect("read");
        reclaimable.active_file = 0;
        reclaimable.file = samples::MIB * 148;
        let mut hiding = hiding;
        hiding.stat = Ok(reclaimable);
        let made = vec![cgroup::ledger(&larger, Ok(&[])), cgroup::ledger(&hiding, Ok(&[&server]))];
        let listed = cgroups(made, &Ps::default());
        assert_eq!(listed[0].path, hiding.path);
    }
}
