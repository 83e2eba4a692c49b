//! The laws of the ledger (docs/architecture.md), on samples made of fuzzed input.

use memgap_ledger::account::{self, Account};
use memgap_ledger::finding::{Subject, findings};
use memgap_ledger::sample::{
    CgroupSample, CgroupVersion, Counters, HostSample, ProcessKind, ProcessSample, Walk,
};
use memgap_ledger::{Events, Figure, Ledger, Missing, cgroup, gap, host, process};

/// Figures up to here add up without leaving the range in which sums are exact.
const REAL: u64 = 1 << 48;

/// A process with these mappings and counters keeps the laws.
pub fn process(sample: &ProcessSample) {
    let made = process::ledger(sample);
    sound(&made.ledger);
    let _ = (gap::of_process(&made), findings(Subject::Process(&made)));
    if !is_real(sample) {
        return;
    }
    if let Some(rss) = made.headline.rss.point() {
        assert_eq!(made.ledger.sum(account::RSS), rss, "RSS: {:?}", made.ledger);
    }
    if let Some(vsz) = made.headline.vsz.point() {
        assert_eq!(made.ledger.total(), vsz, "VSZ: {:?}", made.ledger);
    }
    if let Some(in_use) = made.in_use {
        let places = [in_use.resident, in_use.untouched, in_use.swapped, in_use.lazy];
        let sum: i64 = places.iter().filter_map(|figure| figure.point()).sum();
        assert_eq!(Ok(sum), i64::try_from(in_use.total), "in use: {in_use:?}");
    }
}

/// A cgroup of which nothing but these is known keeps them.
pub fn cgroup(sample: &CgroupSample) {
    let made = cgroup::ledger(sample, Err(&Missing::absent("not listed")));
    sound(&made.ledger);
    let _ = (gap::of_cgroup(&made), findings(Subject::Cgroup(&made)));
    let usage = sample.usage.as_ref().ok().filter(|usage| **usage < REAL);
    if let (Some(usage), Some(point)) = (usage, made.headline.usage.point())
        && sample.stat.as_ref().is_ok_and(|stat| stat.anon.max(stat.file) < REAL)
    {
        assert_eq!((made.ledger.total(), Ok(point)), (point, i64::try_from(*usage)));
    }
}

/// And so does a host.
pub fn host(sample: &HostSample) {
    let made = host::ledger(sample);
    sound(&made.ledger);
    let _ = (gap::of_host(&made), findings(Subject::Host(&made)));
}

/// A process of which a walk and counters were read.
pub fn process_sample(walk: Walk, counters: Counters) -> ProcessSample {
    ProcessSample {
        kind: ProcessKind::User,
        counters: Ok(counters),
        walk: Ok(walk),
        ..ProcessSample::missing(1, &Missing::absent("not read"))
    }
}

/// A cgroup of which nothing was read.
pub fn cgroup_sample(version: CgroupVersion) -> CgroupSample {
    let why = Missing::absent("not read");
    let events = Events::missing(&why);
    CgroupSample {
        path: "/a".to_owned(),
        version,
        root: false,
        usage: Err(why.clone()),
        limit: Err(why.clone()),
        limit_is_pods: false,
        swap_limit: Err(why.clone()),
        stat: Err(why.clone()),
        kmem: Err(why),
        events,
        cpus: 2,
        unmarked_files: None,
        churned: 0,
        leaf: true,
        names: None,
    }
}

/// Whether no figure is beyond any machine's memory: sums of those are bounded, not exact.
fn is_real(sample: &ProcessSample) -> bool {
    let counters = sample.counters.as_ref().ok();
    let areas = sample.walk.iter().flat_map(|walk| walk.areas.iter());
    let largest = areas.fold(0_u64, |sum, area| {
        let most = area.rss.max(area.pss).max(area.anonymous).max(area.swap).max(area.lazy_free);
        sum.saturating_add(most).saturating_add(area.size())
    });
    let claims = sample.claims.iter().flat_map(|claim| &claim.parts);
    let claimed = claims.fold(0_u64, |sum, part| sum.saturating_add(part.bytes));
    let counted = counters.map_or(0, |c| c.vsz.max(c.rss).max(c.anon));
    largest.max(claimed).max(counted) < REAL
}

/// Every entry is of its scope's set, in order, with its point within its bounds.
fn sound(ledger: &Ledger) {
    let expected: Vec<Account> = ledger.scope().accounts().collect();
    let found: Vec<Account> = ledger.entries().map(|entry| entry.account).collect();
    assert_eq!(expected, found);
    for entry in ledger.entries() {
        let (Some((low, high)), Some(point)) = (entry.figure.bounds(), entry.figure.point()) else {
            assert_eq!(entry.figure, Figure::Absent, "{entry:?}");
            continue;
        };
        assert!(low <= point && point <= high, "{entry:?}");
        assert!(point >= 0 || entry.account.is_signed(), "{entry:?}");
    }
}
