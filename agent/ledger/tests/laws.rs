//! The laws of the ledger on any sample: sums close on their points, no account
//! but the signed ones is negative, points lie within their bounds, order does
//! not matter, the account set is fixed, and nothing panics or overflows.

mod any;

use memgap_ledger::account::{self, Account, Scope};
use memgap_ledger::finding::{Severity, Subject, findings};
use memgap_ledger::sample::{CgroupSample, HostSample, ProcessSample};
use memgap_ledger::verdict::verdict;
use memgap_ledger::{
    Absence, CgroupLedger, Coverage, Figure, Ledger, Machine, Missing, ProcessLedger, cgroup, gap,
    host, process,
};
use proptest::prelude::*;

use crate::any::Scale;

/// Every entry is of the scope's fixed set, in order, with its point inside.
fn sound(ledger: &Ledger) -> Result<(), TestCaseError> {
    let expected: Vec<_> = ledger.scope().accounts().collect();
    let found: Vec<_> = ledger.entries().map(|e| e.account).collect();
    prop_assert_eq!(expected, found);
    for entry in ledger.entries() {
        let Some((low, high)) = entry.figure.bounds() else { continue };
        let point = entry.figure.point().expect("bounds have a point");
        prop_assert!(low <= point && point <= high, "{entry:?}");
        prop_assert!(point >= 0 || entry.account.is_signed(), "{entry:?}");
    }
    Ok(())
}

/// Every figure that is absent has its reason.
fn reasoned(ledger: &Ledger, absent: &[Absence]) -> Result<(), TestCaseError> {
    for entry in ledger.entries().filter(|e| e.figure == Figure::Absent) {
        let reason = absent.iter().find(|a| a.what == entry.account.name());
        prop_assert!(reason.is_some_and(|r| *r.missing.why != *"not read"), "{entry:?}");
    }
    Ok(())
}

fn explained(process: &ProcessLedger) -> Result<(), TestCaseError> {
    sound(&process.ledger)?;
    reasoned(&process.ledger, &process.absent)?;
    let _ = gap::of_process(process);
    judged(Subject::Process(process))?;
    if let Some(share) = process.unexplained_share() {
        prop_assert!(share >= 0.0);
    }
    Ok(())
}

/// Whatever was read: the verdict is one line, and never "no fault" beside a warning.
fn judged(subject: Subject<'_>) -> Result<(), TestCaseError> {
    let found = findings(subject);
    let text = verdict(subject, &found);
    prop_assert!(!text.contains('\n') && text.len() < 900, "{}", text);
    let is_grave = found.first().is_some_and(|finding| finding.severity > Severity::Info);
    prop_assert!(!(is_grave && text.contains("no fault")), "{}", text);
    prop_assert!(found.is_sorted_by_key(|finding| std::cmp::Reverse(finding.severity)));
    Ok(())
}

fn is_known(figure: Figure) -> bool {
    figure != Figure::Absent
}

fn cgroup_of(sample: &CgroupSample, members: &[ProcessLedger]) -> CgroupLedger {
    let members: Vec<&ProcessLedger> = members.iter().collect();
    cgroup::ledger(sample, Ok(&members))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_process_closes_on_rss_and_on_vsz(sample in any::process(Scale::Real)) {
        let made = process::ledger(&sample);
        explained(&made)?;
        if let Some(rss) = made.headline.rss.point() {
            prop_assert_eq!(made.ledger.sum(account::RSS), rss);
        }
        if let Some(vsz) = made.headline.vsz.point() {
            prop_assert_eq!(made.ledger.total(), vsz);
        }
    }

    #[test]
    fn what_statistics_explain_is_part_of_what_the_kernel_counts(sample in any::process(Scale::Real)) {
        let made = process::ledger(&sample);
        let coverage = Coverage::of([&made]);
        prop_assert!(coverage.owners.values().all(|bytes| *bytes >= 0));
        // A walk that is dated is brought forward, and then its heap may be too small.
        if sample.walk.as_ref().is_ok_and(|walk| walk.age.is_zero()) {
            prop_assert!(coverage.mappings() >= 0, "{coverage:?}");
        }
    }

    /// `skew` is the kernel's disagreement with itself and nothing else: without
    /// it the accounts are the walk's own Rss.
    #[test]
    fn without_skew_the_accounts_are_the_walk(sample in any::process(Scale::Real)) {
        let made = process::ledger(&sample);
        let fresh = sample.walk.as_ref().ok().filter(|w| w.age.is_zero());
        if let (Some(walk), true) = (fresh, any::is_user(&sample)) {
            let rss: u64 = walk.areas.iter().map(|a| a.rss).sum();
            let skew = made.ledger.booked(Account::Skew);
            prop_assert_eq!(made.ledger.sum(account::RSS) - skew, i64::try_from(rss).expect("real"));
            let lazy: u64 = walk.areas.iter().map(|a| a.lazy_free).sum();
            prop_assert_eq!(made.ledger.booked(Account::LazyFree), i64::try_from(lazy).expect("real"));
        }
    }

    /// Law P3.
    #[test]
    fn in_use_is_somewhere(sample in any::process(Scale::Real)) {
        let made = process::ledger(&sample);
        let by_owner: u64 = made.in_use_by.iter().map(|(_, bytes)| bytes).sum();
        prop_assert_eq!(by_owner, made.in_use.map_or(0, |in_use| in_use.total));
        if let Some(in_use) = made.in_use {
            let places = [in_use.resident, in_use.untouched, in_use.swapped, in_use.lazy];
            let sum: i64 = places.iter().map(|f| f.point().expect("known")).sum();
            prop_assert_eq!(sum, i64::try_from(in_use.total).expect("real"));
        }
    }

    #[test]
    fn the_order_of_claims_does_not_matter(sample in any::process(Scale::Real), seed in any::<u64>()) {
        let mut shuffled = sample.clone();
        any::shuffle(&mut shuffled.claims, seed);
        prop_assert_eq!(process::ledger(&sample), process::ledger(&shuffled));
    }

    #[test]
    fn a_cgroup_closes_on_its_usage(
        sample in any::cgroup(Scale::Real),
        members in prop::collection::vec(any::process(Scale::Real), 0..4),
        seed in any::<u64>(),
    ) {
        let mut members: Vec<_> = members.iter().map(process::ledger).collect();
        let made = cgroup_of(&sample, &members);
        sound(&made.ledger)?;
        reasoned(&made.ledger, &made.absent)?;
        if let Some(usage) = made.headline.usage.point() {
            prop_assert_eq!(made.ledger.total(), usage);
        }
        any::shuffle(&mut members, seed);
        prop_assert_eq!(&cgroup_of(&sample, &members), &made);
        let gaps = gap::of_cgroup(&made);
        for one in gaps.iter().filter(|gap| gap.from == "in_use") {
            let parts = gap::beyond(&made, one.bytes);
            prop_assert_eq!(parts.iter().map(|part| part.bytes).sum::<i64>(), one.bytes);
        }
        judged(Subject::Cgroup(&made))?;
    }

    /// C1: the bracket and what is lazily freed are memory.stat's `anon`, split.
    #[test]
    fn a_cgroup_splits_anon_and_nothing_else(
        sample in any::cgroup(Scale::Real),
        members in prop::collection::vec(any::process(Scale::Real), 0..4),
        listed in any::<bool>(),
    ) {
        let members: Vec<_> = members.iter().map(process::ledger).collect();
        let lack = Missing::absent("not listed");
        let made = if listed { cgroup_of(&sample, &members) } else { cgroup::ledger(&sample, Err(&lack)) };
        if let Ok(stat) = &sample.stat {
            let split = made.ledger.sum(account::ANONYMOUS)
                + made.ledger.booked(Account::Skew)
                + made.ledger.booked(Account::MovedCharges)
                + made.ledger.booked(Account::LazyFree);
            prop_assert_eq!(split, i64::try_from(stat.anon).expect("real"));
        }
    }

    /// What came or went between two readings is not called moved.
    #[test]
    fn what_has_moved_leaves_open_what_changed_while_it_was_read(
        sample in any::cgroup(Scale::Real),
        members in prop::collection::vec(any::process(Scale::Real), 0..4),
    ) {
        let members: Vec<_> = members.iter().map(process::ledger).collect();
        let made = cgroup_of(&sample, &members);
        let moved = made.ledger.figure(Account::MovedCharges);
        if let (Some(point), Some((low, high))) = (moved.point(), moved.bounds()) {
            let churned = i64::try_from(sample.churned).expect("real");
            prop_assert!(low <= point - churned && high >= point + churned);
        }
    }

    /// C2 and C3: both are cuts through the usage.
    #[test]
    fn the_cuts_lie_within_the_usage(sample in any::cgroup(Scale::Real)) {
        let made = cgroup_of(&sample, &[]);
        if let (Ok(usage), Ok(stat)) = (&sample.usage, &sample.stat) {
            let expected = usage.saturating_sub(stat.inactive_file);
            prop_assert_eq!(made.headline.working_set, Figure::exact(expected));
            let (low, high) = made.headline.required.bounds().expect("usage and stat are known");
            prop_assert!(low >= 0 && high >= low);
        }
        if is_known(made.headline.working_set_hidden) {
            let (low, _) = made.headline.working_set_hidden.bounds().expect("known");
            prop_assert!(low >= 0);
        }
    }

    /// Every account has its part in why RSS exceeds what is in use.
    #[test]
    fn the_parts_of_a_gap_add_up(sample in any::process(Scale::Real)) {
        let made = process::ledger(&sample);
        for one in gap::of_process(&made).iter().filter(|gap| gap.to == "in_use") {
            let parts = gap::process_parts(&made);
            prop_assert_eq!(parts.iter().map(|part| part.bytes).sum::<i64>(), one.bytes);
        }
    }

    #[test]
    fn the_host_closes_on_its_total(sample in any::host(Scale::Real)) {
        let made = host::ledger(&sample);
        sound(&made.ledger)?;
        reasoned(&made.ledger, &made.absent)?;
        if let Ok(meminfo) = &sample.meminfo {
            prop_assert_eq!(made.ledger.total(), i64::try_from(meminfo.mem_total).expect("real"));
        }
        if let Some(parts) = gap::host_parts(&made) {
            let gap = &gap::of_host(&made)[0];
            prop_assert_eq!(parts.iter().map(|part| part.bytes).sum::<i64>(), gap.bytes);
        }
        let _ = gap::of_host(&made);
        judged(Subject::Host(&made))?;
    }

    #[test]
    fn nothing_panics_or_overflows(
        process in any::process(Scale::Absurd),
        cgroup in any::cgroup(Scale::Absurd),
        host in any::host(Scale::Absurd),
    ) {
        let machine = Machine::of(&any::machine(host, vec![cgroup], vec![process.clone(), process]));
        for process in &machine.processes {
            explained(process)?;
        }
        for cgroup in machine.cgroups.iter().flatten() {
            sound(&cgroup.ledger)?;
            let _ = gap::of_cgroup(cgroup);
            judged(Subject::Cgroup(cgroup))?;
        }
        sound(&machine.host.ledger)?;
    }
}

/// A reading that fails changes figures, never the set of accounts.
#[test]
fn an_empty_sample_has_every_account() {
    let why = Missing::absent("not read");
    let process = process::ledger(&ProcessSample::missing(1, &why));
    assert!(sound(&process.ledger).is_ok());
    assert!(process.ledger.entries().all(|e| e.figure == Figure::Absent));
    let host = HostSample {
        meminfo: Err(why.clone()),
        pcp: Err(why.clone()),
        sock: Err(why.clone()),
        vmstat: Err(why.clone()),
        huge_pages: Err(why),
        cpus: 1,
    };
    assert_eq!(host::ledger(&host).ledger.entries().count(), Scope::Host.accounts().count());
}
