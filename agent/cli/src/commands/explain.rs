//! `memgap TARGET`: the ledger of one process, cgroup or the host.

use anyhow::anyhow;
use memgap_json as json;
use memgap_ledger::finding::Subject;
use memgap_ledger::host_detail::HostDetail;
use memgap_ledger::reason;
use memgap_ledger::{
    CgroupLedger, Missing, MissingKind, ProcessLedger, cgroup, host, limits, machine, process,
};
use memgap_reader::{Depth, Endpoint, Error, Found, Limits, Reader, Target, find, read_endpoint};

use crate::args::Look;
use crate::output::{Answer, Output};
use crate::own;
use crate::view::page::{self, Shown};

/// Explains what a user names.
pub fn run(reader: &Reader, target: &str, look: &Look, output: &Output) -> anyhow::Result<Answer> {
    let depth = if look.deep { Depth::Pages } else { Depth::Full };
    let endpoint = look.endpoint.as_deref().map(str::parse).transpose()?;
    explain(
        reader,
        target,
        (depth, Shown { maps: look.maps, findings: look.all }),
        endpoint.as_ref(),
        output,
    )
}

/// A cgroup with the ledgers of its processes.
pub fn read_cgroup(reader: &Reader, path: &str, depth: Depth) -> Result<CgroupLedger, Missing> {
    let (sample, members) = reader.cgroup_and_members(path, depth)?;
    let ledgers: Result<Vec<ProcessLedger>, &Missing> =
        members.as_ref().map(|samples| samples.iter().map(process::ledger).collect());
    let refs: Result<Vec<&ProcessLedger>, &Missing> =
        ledgers.as_ref().map(|ledgers| ledgers.iter().collect()).map_err(|missing| *missing);
    Ok(cgroup::ledger(&sample, refs.as_deref().map_err(|missing| *missing)))
}

/// What is told of the host beside its ledger, from counters that cost no program anything.
fn host_detail(reader: &Reader) -> Result<HostDetail, Missing> {
    let cgroups = reader.cgroups();
    let mut detail = reader.host_detail(&cgroups);
    let processes: Vec<ProcessLedger> = reader
        .pids()?
        .into_iter()
        // What the question costs is no answer to it.
        .filter(|pid| *pid != std::process::id())
        .filter_map(|pid| reader.process(pid, Depth::Counters).ok())
        .map(|sample| process::ledger(&sample))
        .collect();
    let unasked = Missing::absent("its processes were not asked for");
    let cgroups: Vec<CgroupLedger> =
        cgroups.iter().flatten().map(|sample| cgroup::ledger(sample, Err(&unasked))).collect();
    detail.note_holders(&processes, &cgroups);
    Ok(detail)
}

/// Finds the room of a cgroup. Of the others, whose limits may be met first, no processes
/// are read.
fn within_limits(reader: &Reader, cgroup: CgroupLedger) -> CgroupLedger {
    let unread = Missing::new(MissingKind::Refused, "only its own processes are read");
    let others = reader.cgroups().unwrap_or_default();
    let mut all: Vec<CgroupLedger> = others
        .iter()
        .filter(|other| other.path != cgroup.path)
        .map(|other| cgroup::ledger(other, Err(&unread)))
        .collect();
    all.push(cgroup);
    limits::settle(&mut all, &machine::swap_free(&reader.host()));
    // The last one is the one that was just pushed.
    all.pop().expect("not empty")
}

fn explain(
    reader: &Reader,
    target: &str,
    (depth, shown): (Depth, Shown),
    endpoint: Option<&Endpoint>,
    output: &Output,
) -> anyhow::Result<Answer> {
    let target: Target = target.parse()?;
    let show = |subject: Subject<'_>, others: &[u32]| {
        let document = || json::explanation(subject, others);
        let text = output.text(document, |style| {
            let deeper =
                if depth == Depth::Full { page::deeper(subject, style) } else { String::new() };
            page::page(subject, others, shown, style) + &deeper
        })?;
        Ok(Answer::of(text, reason::is_denied(subject)))
    };
    match find(reader, &target)? {
        Found::Process { pid, others } => {
            let mut sample = reader.process(pid, depth)?;
            if target == Target::Own {
                let reported = own::reported();
                sample.add_report(Ok(
                    reported.map_err(|e| anyhow!("jemalloc tells no statistics: {e}"))?
                ));
            }
            if let Some(endpoint) = endpoint {
                let answer = read_endpoint(endpoint, &Limits::default());
                sample.add_report(answer.map(|answer| answer.reported(endpoint)));
            }
            let mut ledger = process::ledger(&sample);
            ledger.sockets = Some(reader.sockets(&[pid]));
            show(Subject::Process(&ledger), &others)
        }
        // An endpoint's figures are those of one process.
        _ if let Some(endpoint) = endpoint => Err(Error::Endpoint {
            word: endpoint.to_string(),
            remedy: "name the process that it is of, not a cgroup or the host",
        }
        .into()),
        Found::Cgroup { path } => {
            let mut cgroup = within_limits(reader, read_cgroup(reader, &path, depth)?);
            let pids = reader.member_pids(&path);
            let of_members = |pids: &Vec<u32>| (reader.sockets(pids), reader.shared_held(pids));
            let (sockets, held) = pids
                .as_ref()
                .map_or_else(|lack| (Err(lack.clone()), Err(lack.clone())), of_members);
            (cgroup.sockets, cgroup.held) = (Some(sockets), Some(held));
            show(Subject::Cgroup(&cgroup), &[])
        }
        Found::Host => {
            let sample = reader.host();
            // Nothing at all is known of a host without it.
            sample.meminfo.as_ref().map_err(Missing::clone)?;
            let mut ledger = host::ledger(&sample);
            ledger.detail = Some(host_detail(reader)?);
            show(Subject::Host(&ledger), &[])
        }
    }
}
