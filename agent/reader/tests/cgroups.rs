//! The cgroups of the machine that the tests run on.

use std::path::Path;

use memgap_ledger::cgroup;
use memgap_ledger::sample::CgroupSample;
use memgap_ledger::{Account, CgroupLedger, Missing};
use memgap_reader::{Cgroups, Dir};

/// Linux 6.16 keeps charges of so many cgroups in stock on each processor.
const STOCKS: u64 = 7;

fn open() -> Cgroups {
    let proc = Dir::open(Path::new("/proc")).expect("procfs is mounted");
    Cgroups::open(&proc, None, Path::new("/var/log/containers")).expect("a memory controller")
}

/// The residual of a sample, once the sum of its books was seen to be its usage.
fn residual(sample: &CgroupSample) -> Option<i64> {
    let unread = Missing::absent("processes are not read here");
    let ledger = cgroup::ledger(sample, Err(&unread));
    assert_eq!(ledger.ledger.total(), ledger.headline.usage.point()?, "{}", sample.path);
    Some(ledger.ledger.booked(Account::ChargeResidual))
}

#[test]
fn the_books_of_every_cgroup_close() {
    let cgroups = open();
    let all = cgroups.all().expect("readable");
    assert!(all.is_sorted_by(|a, b| a.path < b.path));
    assert!(all.first().is_some_and(|c| c.path == "/"));
    for sample in &all {
        let below = format!("{}/", sample.path.trim_end_matches('/'));
        let descendants = all.iter().filter(|c| c.path.starts_with(&below)).count() as u64;
        assert_eq!(sample.leaf, descendants == 0, "{}", sample.path);
        let stocks = descendants.min(STOCKS) * u64::from(sample.cpus) * (256 << 10);
        let bound = CgroupLedger::residual_bound(sample.cpus) + stocks;
        // Others allocate while we read: the best of some readings counts.
        let again = (0..20).map_while(|_| cgroups.one(&sample.path).ok());
        let best = again.filter_map(|s| residual(&s)).min_by_key(|r| r.unsigned_abs());
        println!("{} {:?} of {bound}, leaf: {}", sample.path, best, sample.leaf);
        assert!(best.is_none_or(|r| r.unsigned_abs() <= bound), "{}: {best:?}", sample.path);
    }
}
