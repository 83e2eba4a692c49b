//! Laws P1 to P3: the ledger of one process, from in use to VSZ.

mod headline;

use std::time::Duration;

use crate::absence::{self, Absence};
use crate::account::{ANONYMOUS, Account, RSS, Scope, VSZ};
use crate::claim::{Claim, Extent};
use crate::fact::{Fact, Missing, MissingKind};
use crate::figure::{Figure, signed};
use crate::in_use::{self, Charged, InUse, UNREAD};
use crate::largest::Holding;
use crate::ledger::Ledger;
use crate::mapped::{self, Mapped};
use crate::parts::Split;
use crate::runtime::{Found, Runtime, Unread, left_open};
use crate::sample::{AreaKind, Counters, OneMemory, ProcessKind, ProcessSample, Walk};
use crate::sharing::{self, Sharing};
use crate::sockets::SocketQueues;
use crate::split;

pub use headline::ProcessHeadline;
use headline::headline;

/// What one process's memory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessLedger {
    /// Process id in the reader's pid namespace.
    pub pid: u32,
    /// `comm`, made printable.
    pub name: String,
    /// What sort of process this is.
    pub kind: ProcessKind,
    /// Path of the cgroup its memory is charged to, where it could be read.
    pub cgroup: Option<String>,
    /// The figures that operators know.
    pub headline: ProcessHeadline,
    /// The accounts: those of [`RSS`] sum to the RSS, all of them to the VSZ.
    pub ledger: Ledger,
    /// Law P3, where a runtime's or allocator's heap statistics were read.
    pub in_use: Option<InUse>,
    /// Anonymous memory that no heap statistics speak for, pages that several processes map
    /// divided; the high bound includes what of it may be swapped out.
    pub not_read: Figure,
    /// What of in use counts in a cgroup: pages that several processes map are divided.
    pub charged_in_use: Option<Charged>,
    /// The most that can be in use in that measure, read or not.
    pub in_use_at_most: i64,
    /// What is in use by the claims of each runtime or allocator, sorted by its name; it sums
    /// to `in_use`.
    pub in_use_by: Vec<(String, u64)>,
    /// The runtimes and allocators whose heap statistics were read, sorted by name.
    pub runtimes: Vec<Runtime>,
    /// Those whose heap statistics were not read, in the order in which they were found.
    pub unread: Vec<Unread>,
    /// What claims said twice, or beyond the mappings.
    pub cut: u64,
    /// The anonymous accounts and lazily freed memory as a cgroup is charged for
    /// them: shared pages divided among their mappers.
    pub charged: Vec<(Account, i64)>,
    /// What its counters may tell of anonymous memory beyond that, in the same measure.
    pub charged_skew: Figure,
    /// What of it the heap statistics of each runtime or allocator explain, by their owner.
    pub owners: Vec<(String, i64)>,
    /// How old the walk behind it is; `None` without one.
    pub walk_age: Option<Duration>,
    /// Locked file and shared pages, where a walk reported them.
    pub locked_file: Figure,
    /// Other memory that it keeps locked, in the measure that it is charged in.
    pub locked_other: Figure,
    /// Files and shared memory in its mappings, where a walk reported them.
    pub mapped: Option<Mapped>,
    /// The mappings that hold most of the accounts whose name says little.
    pub largest: Vec<Holding>,
    /// Why its RSS exceeds its PSS, where a walk reported it.
    pub sharing: Option<Sharing>,
    /// Who else has the same memory, where that is known.
    pub one_memory: Option<OneMemory>,
    /// What of its memory lies in huge pages, where a walk reported it.
    pub huge: Option<u64>,
    /// Pages that the kernel keeps in place for input and output (`VmPin`).
    pub pinned: Option<u64>,
    /// Its page tables, which are kernel memory.
    pub page_tables: Option<u64>,
    /// Its threads, each with a stack in the kernel.
    pub threads: Option<u64>,
    /// What waits in its sockets; `None` where that was not asked for.
    pub sockets: Option<Fact<SocketQueues>>,
    /// What could not be read, and why.
    pub absent: Vec<Absence>,
}

/// Makes the ledger of a process.
pub fn ledger(sample: &ProcessSample) -> ProcessLedger {
    let counters = sample.counters.as_ref().ok();
    let walk = sample.walk.as_ref().ok();
    let mut ledger = Ledger::empty(Scope::Process);
    let mut split = Split::default();
    let (below, above) = left_open(&sample.runtimes);

    match (sample.kind, walk, counters) {
        (ProcessKind::Kernel | ProcessKind::Zombie, ..) => nothing(&mut ledger),
        (ProcessKind::User, Some(walk), _) => {
            let statistics = statistics_age(sample);
            let is_at_once = walk.age.abs_diff(statistics) <= AT_ONCE;
            // What was not in memory then may be now, and the other way round.
            let holds = |claim: &&Claim| is_at_once || !matches!(claim.extent, Extent::Absent(_));
            let claims = sample.claims.iter().filter(holds);
            split = split::of_walk(walk, claims, unclaimed(sample), counters);
            split.widen(below, above);
            if !is_at_once {
                split.in_use = split.in_use.map(InUse::of_two_times);
            }
            book_split(&mut ledger, &split, walk.age.max(statistics));
            book_address_space(&mut ledger, walk);
        }
        (ProcessKind::User, None, Some(counters)) => {
            let why = sample.walk.as_ref().err();
            let lazily_freed = lazily_freed(sample);
            split =
                split::of_counters(counters, &sample.claims, unclaimed(sample), lazily_freed, why);
            split.widen(below, above);
            let sampled = sample.lazily_freed.iter().flatten().map(|sampled| sampled.age);
            let age = sampled.chain([statistics_age(sample)]).max().unwrap_or_default();
            book_split(&mut ledger, &split, age);
            book_swap(&mut ledger, counters);
        }
        (ProcessKind::User, None, None) => {}
    }
    let not_read = not_read(sample, &split, &ledger);
    let headline = headline(sample, in_use_of(sample, &split, &ledger));
    close(&mut ledger, &headline, counters.map_or("smaps", |c| c.source));
    ledger.shrink();

    let absent = absences(sample, &ledger);
    let charged_skew = split.charged_skew();
    let is_elsewhere = headline::is_elsewhere(sample);
    let mut runtimes: Vec<Runtime> = sample.runtimes.iter().flatten().cloned().collect();
    runtimes.sort_unstable();
    // They are many times as large as what else is known of most processes.
    runtimes.shrink_to_fit();
    let unread = sample.runtimes.iter().filter_map(|found| found.as_ref().err());
    ProcessLedger {
        pid: sample.pid,
        name: sample.name.clone(),
        kind: sample.kind,
        cgroup: sample.cgroup.as_ref().ok().cloned(),
        headline,
        ledger,
        in_use: split.in_use,
        not_read,
        in_use_at_most: split.in_use_at_most(not_read, above),
        charged_in_use: split.charged_in_use,
        in_use_by: if split.in_use.is_some() {
            in_use::by_owner(&sample.claims)
        } else {
            Vec::new()
        },
        runtimes,
        unread: unread.cloned().collect(),
        cut: split.cut,
        charged: ANONYMOUS
            .iter()
            .chain(&[Account::LazyFree])
            .filter_map(|a| split.charged.get(a).map(|bytes| (*a, *bytes)))
            .collect(),
        charged_skew,
        owners: split.owners.into_iter().collect(),
        walk_age: walk.map(|w| w.age),
        locked_file: walk.map_or(Figure::Absent, |w| Figure::exact(mapped::locked_file(&w.areas))),
        locked_other: walk
            .map_or(Figure::Absent, |w| Figure::exact(mapped::locked_other(&w.areas))),
        mapped: walk.map(|walk| mapped::mapped(walk, sample.one_memory.is_some())),
        largest: split.largest,
        sharing: walk.map(|walk| sharing::sharing(walk, is_elsewhere)),
        one_memory: sample.one_memory.clone(),
        huge: walk.and_then(|w| mapped::huge(&w.areas)),
        pinned: counters.and_then(|c| c.pinned),
        page_tables: counters.and_then(|c| c.page_tables),
        threads: counters.and_then(|c| c.threads),
        sockets: None,
        absent,
    }
}

impl ProcessLedger {
    /// Resident memory whose nature is not known: the residual accounts of RSS,
    /// without regard to sign, and what claims had to cut.
    pub fn unexplained_share(&self) -> Option<f64> {
        let rss = self.headline.rss.point().filter(|rss| *rss > 0)?;
        let residual: i64 = RSS
            .iter()
            .filter(|a| a.is_residual())
            .fold(0, |sum, a| sum.saturating_add(self.ledger.booked(*a).saturating_abs()));
        Some(residual.saturating_add(signed(self.cut)) as f64 / rss as f64)
    }

    /// Share of the anonymous memory, shared pages divided, of which it is known what it
    /// is, 0 to 1; `None` where no heap statistics were read.
    pub fn coverage(&self) -> Option<f64> {
        let charged = |account| self.charged.iter().find(|(a, _)| *a == account).map_or(0, |c| c.1);
        self.in_use.map(|_| in_use::coverage(charged))
    }

    /// Whether its memory counts for another process, which has the same.
    pub fn is_counted_elsewhere(&self) -> bool {
        self.one_memory.as_ref().is_some_and(|one| one.counted_at != self.pid)
    }

    /// Whether the mappings were walked for this ledger.
    pub fn is_walked(&self) -> bool {
        self.walk_age.is_some()
    }

    /// Whether part of the answer was kept from us.
    pub fn is_denied(&self) -> bool {
        self.absent.iter().any(|a| a.missing.kind == MissingKind::Denied)
    }
}

/// What is read of a process in one go takes less.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What is the kernel's to take without a walk: by heap statistics, and by a sample of pages
/// that bounds it. What was written again is told by neither.
fn lazily_freed(sample: &ProcessSample) -> Figure {
    let runtimes = sample.runtimes.iter().flatten();
    let reported = runtimes.filter_map(|runtime| runtime.lazily_freed);
    let reported = signed(reported.fold(0, u64::saturating_add));
    let sampled = sample.lazily_freed.iter().flatten().next().map(|sampled| sampled.figure);
    match sampled.and_then(|sampled| Some((sampled.point()?, sampled.bounds()?.1))) {
        Some((point, high)) => {
            let point = if reported > 0 { reported.min(high) } else { point };
            Figure::interval(0, point, high)
        }
        None if reported > 0 => Figure::interval(0, reported, reported),
        None => Figure::Absent,
    }
}

/// Age of the oldest heap statistics of a process.
fn statistics_age(sample: &ProcessSample) -> Duration {
    sample.runtimes.iter().flatten().map(|runtime| runtime.age).max().unwrap_or_default()
}

/// A process without memory of its own: every account is a true 0.
fn nothing(ledger: &mut Ledger) {
    for account in Scope::Process.accounts() {
        ledger.book(account, Figure::Exact(0), "stat", Duration::ZERO);
    }
}

fn book_split(ledger: &mut Ledger, split: &Split, age: Duration) {
    for (account, figure) in &split.rss {
        ledger.book(*account, *figure, split.source, age);
    }
}

/// Law P1: what lies between RSS and VSZ.
fn book_address_space(ledger: &mut Ledger, walk: &Walk) {
    let mut sums = [0u64; 5];
    for area in walk.areas.iter() {
        let swap = area.swap;
        let rest = area.size().saturating_sub(area.rss).saturating_sub(swap);
        let huge = area.hugetlb.min(rest);
        let (device, reserved, untouched) = match area.kind {
            AreaKind::Device | AreaKind::Kernel => (rest, 0, 0),
            _ if !area.accessible => (0, rest - huge, 0),
            _ => (0, 0, rest - huge),
        };
        for (sum, bytes) in sums.iter_mut().zip([swap, huge, device, reserved, untouched]) {
            *sum = sum.saturating_add(bytes);
        }
    }
    for (account, bytes) in VSZ.iter().zip(sums) {
        ledger.book(*account, Figure::exact(bytes), "smaps", walk.age);
    }
}

/// Without a walk the way from RSS to VSZ is known as a whole only.
fn book_swap(ledger: &mut Ledger, counters: &Counters) {
    let away = counters.vsz.saturating_sub(counters.rss);
    let swapped = counters.swap.map(|swap| swap.min(away));
    if let Some(swap) = swapped {
        // VmSwap leaves swapped shared memory out.
        let figure = Figure::interval(signed(swap), signed(swap), signed(away));
        ledger.book(Account::Swapped, figure, counters.source, Duration::ZERO);
    }
    let rest = signed(away - swapped.unwrap_or(0));
    let figure = Figure::interval(0, rest, rest);
    ledger.book(Account::Untouched, figure, counters.source, Duration::ZERO);
}

/// Books the signed accounts, so that the points sum to the headline.
fn close(ledger: &mut Ledger, headline: &ProcessHeadline, source: &'static str) {
    let mut book = |account, figure: Figure, booked: fn(&Ledger) -> i64| {
        if let Some(total) = figure.point() {
            let skew = Figure::Exact(total.saturating_sub(booked(ledger)));
            ledger.book(account, skew, source, Duration::ZERO);
        }
    };
    book(Account::Skew, headline.rss, |ledger| ledger.sum(RSS));
    book(Account::VszSkew, headline.vsz, Ledger::total);
}

/// In use as an interval: what heap statistics leave open, and above all that memory of
/// which none were read.
fn in_use_of(sample: &ProcessSample, split: &Split, ledger: &Ledger) -> Figure {
    let Some(in_use) = split.in_use else { return Figure::Absent };
    let (point, (below, above)) = (signed(in_use.total), left_open(&sample.runtimes));
    let above = above.saturating_add(unread_high(split, ledger));
    Figure::interval(point.saturating_sub(below).max(0), point, point.saturating_add(above))
}

/// The most that no heap statistics speak for, what of it is swapped out too.
fn unread_high(split: &Split, ledger: &Ledger) -> i64 {
    let unread = UNREAD.iter().fold(Figure::Absent, |sum, a| sum.plus(ledger.figure(*a)));
    let high = unread.bounds().map_or(0, |(_, high)| high.max(0));
    high.saturating_add(signed(split.swap_left))
}

fn not_read(sample: &ProcessSample, split: &Split, ledger: &Ledger) -> Figure {
    if sample.kind != ProcessKind::User {
        return Figure::Exact(0);
    }
    // Which of the pages that others map too are read is not known: as a whole they are
    // no more than it is charged for, and each of them may count in full or next to nothing.
    let most = signed(split.charged_high.saturating_add(split.swap_left));
    let high = unread_high(split, ledger).min(most);
    let charged = UNREAD.iter().filter_map(|a| split.charged.get(a));
    charged
        .copied()
        .reduce(i64::saturating_add)
        .map_or(Figure::Absent, |point| Figure::interval(0, point, high))
}

/// The account of what no claim finds in a heap: where the heap statistics of an allocator that is
/// there were not read, it may be its.
fn unclaimed(sample: &ProcessSample) -> Account {
    let is_left_out = |found: &Found| found.as_ref().is_err_and(|unread| !unread.within_another);
    let is_read = !sample.claims.is_empty() && !sample.runtimes.iter().any(is_left_out);
    if is_read { Account::Unexplained } else { Account::HeapUnprobed }
}

fn absences(sample: &ProcessSample, ledger: &Ledger) -> Vec<Absence> {
    let mut absent = Vec::new();
    absence::note(&mut absent, "counters", &sample.counters);
    if sample.kind != ProcessKind::User {
        absent.push(Absence::new("in_use", &Missing::absent("it has no heap")));
        return absent;
    }
    absence::note(&mut absent, "walk", &sample.walk);
    if let Some(resident) = sample.walk.as_ref().ok().and_then(|walk| walk.resident.as_ref()) {
        absence::note(&mut absent, "pages", resident);
    }
    absence::note(&mut absent, "cgroup", &sample.cgroup);
    for unread in sample.runtimes.iter().filter_map(|found| found.as_ref().err()) {
        absent.push(Absence::new("runtime", &unread.missing()));
    }
    let unread =
        Missing::absent("no allocator's or runtime's heap statistics were read for this process");
    let unnamed = Missing::absent("the heap statistics that were read name no such memory");
    if sample.claims.is_empty() {
        absent.push(Absence::new("in_use", &unread));
    }
    let unsampled = sample.lazily_freed.as_ref().and_then(|sampled| sampled.as_ref().err());
    absence::of_accounts(&mut absent, ledger, |account| match account.is_from_statistics() {
        true if sample.claims.is_empty() => Some(&unread),
        true => Some(&unnamed),
        false if account == Account::LazyFree && unsampled.is_some() => unsampled,
        false => sample.walk.as_ref().err(),
    });
    absent
}
