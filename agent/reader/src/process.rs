//! The sample of one process.

use std::sync::Arc;
use std::time::Duration;

use memgap_kernel::memory::{Live, Memory};
use memgap_kernel::source::{cgroup, smaps, stat, status, syscall};
use memgap_kernel::turns::Part;
use memgap_kernel::{Buf, Cgroups, Process, stacks};
use memgap_ledger::sample::{Area, AreaKind, Counters, ProcessKind, ProcessSample, Ranges, Walk};
use memgap_ledger::{Fact, Missing, MissingKind, Unread};
use memgap_probes::{Detail, Probes};

/// How much is read of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The kernel's counters only: free of cost to the process.
    Counters,
    /// Also the counters in the heap statistics of its runtimes and allocators.
    Runtimes,
    /// The kernel's counters, and a walk over its mappings, which holds its `mmap_lock` for reading.
    Walk,
    /// All of these.
    Full,
    /// The same for a list of many: without the names of mappings.
    Listed,
    /// Also what heap statistics and kernel say of every page.
    Pages,
}

impl Depth {
    fn walks(self) -> bool {
        matches!(self, Self::Walk | Self::Full | Self::Listed | Self::Pages)
    }

    /// How much is read of heap statistics, if any.
    fn detail(self) -> Option<Detail> {
        match self {
            Self::Counters | Self::Walk => None,
            Self::Runtimes | Self::Full | Self::Listed => Some(Detail::Counters),
            Self::Pages => Some(Detail::Pages),
        }
    }
}

/// Ranges of resident pages: 16 MiB of our memory, enough for 4 GiB of which every
/// other page is resident.
const MAX_RANGES: usize = 1 << 20;

/// Samples a process.
pub fn sample(
    process: &Process,
    depth: Depth,
    cgroups: &Fact<Cgroups>,
    probes: &Probes,
    buf: &mut Buf,
) -> Fact<ProcessSample> {
    let stat = stat::read(process, buf)?;
    let (kind, name, leaderless) = (stat.kind(), stat.name(), stat.is_leaderless());
    let thread;
    let memory = if leaderless {
        thread = status::living_thread(process, buf)?;
        &thread
    } else {
        process
    };
    let cgroup = cgroup_of(memory, cgroups, buf);
    let (counters, walk) = match no_memory(kind) {
        Some(nothing) => nothing,
        // Directly one after the other: what the process does between the two
        // readings is skew. Counters read after the walk are no nearer to it:
        // which of the two is, depends on where in the address space a process
        // grows (measured at 150 MB/s: 0 to 6 MiB off, either way round).
        None => {
            let counters = counters(memory, buf)?;
            let walk = walk(memory, part(&counters), depth, buf);
            (counters, walk)
        }
    };
    if let Err(Missing { kind: MissingKind::Gone, .. }) = &walk {
        return Err(process.gone());
    }
    let statistics = match depth.detail() {
        Some(detail) if kind == ProcessKind::User => probes.statistics(memory, detail, buf),
        _ => Vec::new(),
    };
    let mut sample = ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid: process.pid(),
        name,
        kind,
        counters: Ok(counters),
        walk,
        claims: Vec::new(),
        runtimes: Vec::new(),
        cgroup,
    };
    memgap_probes::add(&mut sample, &statistics, Duration::ZERO);
    Ok(sample)
}

/// Says of a sample by counters why it has no more.
pub fn leave_out(sample: &mut ProcessSample, why: &Missing) {
    if sample.kind == ProcessKind::User {
        sample.walk = Err(why.clone());
        sample.runtimes = vec![Err(Unread::process(why.clone()))];
    }
}

/// A process, or a thread of it where the first one has ended: the kernel says of that one
/// that it has no memory and no files, and on cgroup v1 that it is in the root.
pub fn living(process: Process, buf: &mut Buf) -> Fact<Process> {
    let is_leaderless = stat::read(&process, buf)?.is_leaderless();
    if is_leaderless { status::living_thread(&process, buf) } else { Ok(process) }
}

/// The cgroup that the memory of a process is charged to, by a thread that lives.
pub fn cgroup_of(process: &Process, cgroups: &Fact<Cgroups>, buf: &mut Buf) -> Fact<String> {
    let cgroups = cgroups.as_ref().map_err(Clone::clone)?;
    let memberships = cgroup::read(process, buf)?;
    let lines = memberships.iter().map(|(names, path)| (names.as_str(), path.as_str()));
    cgroups.path_of(lines).ok_or_else(|| {
        Missing::absent(format!(
            "process {} is in no cgroup below {}",
            process.pid(),
            cgroups.mount_point().display()
        ))
    })
}

/// The figures of what has no memory of its own: these zeros are known.
pub fn no_memory(kind: ProcessKind) -> Option<(Counters, Fact<Walk>)> {
    let why = match kind {
        ProcessKind::User => return None,
        ProcessKind::Kernel => "a kernel thread has no mappings",
        ProcessKind::Zombie => "a zombie has given its mappings back",
    };
    let counters = Counters {
        source: stat::NAME,
        vsz: 0,
        rss: 0,
        anon: 0,
        file: Some(0),
        shmem: Some(0),
        swap: Some(0),
        threads: Some(1),
        locked: Some(0),
        pinned: Some(0),
        page_tables: Some(0),
    };
    Some((counters, Err(Missing::absent(why))))
}

fn counters(process: &Process, buf: &mut Buf) -> Fact<Counters> {
    // A program without memory is about to end.
    status::read(process, buf)?.ok_or_else(|| process.gone())
}

/// Memory, swapped or not, up to which several mappings are read at once: as far as walks were
/// measured the target waits then for its memory map for less than a millisecond.
const BRIEF: u64 = 32 << 20;

/// How much of a walk is read at once.
fn part(counters: &Counters) -> Part {
    let held = counters.swap.map(|swap| counters.rss.saturating_add(swap));
    if held.is_some_and(|held| held <= BRIEF) { Part::Some } else { Part::One }
}

fn walk(process: &Process, part: Part, depth: Depth, buf: &mut Buf) -> Fact<Walk> {
    if !depth.walks() {
        return Err(Missing::new(MissingKind::Refused, "a walk was not asked for"));
    }
    let wide = smaps::Bounds::WIDE;
    let bounds =
        smaps::Bounds { names: if depth == Depth::Listed { 0 } else { wide.names }, part, ..wide };
    let walked = smaps::walk(process, bounds, buf)?;
    let areas: Arc<[Area]> = walked.areas.into();
    let stacks = stacks::read(process, &areas, syscall::MAX_THREADS, buf);
    // Where that fails the ledger's figures are wider, and as true.
    let resident = (depth == Depth::Pages).then(|| pages(process, &areas));
    Ok(Walk {
        areas,
        age: Duration::ZERO,
        resident,
        stacks: Some(stacks),
        named: walked.named.into(),
    })
}

/// The resident pages of its private anonymous mappings.
fn pages(process: &Process, areas: &[Area]) -> Fact<Ranges> {
    let memory = Live::open(process)?;
    let is_asked = |a: &&Area| a.rss > 0 && matches!(a.kind, AreaKind::Heap | AreaKind::Anonymous);
    let mut pages = Vec::new();
    for area in areas.iter().filter(is_asked) {
        pages.extend(memory.resident(area.start, area.end, MAX_RANGES - pages.len())?);
    }
    Ok(pages.into())
}
