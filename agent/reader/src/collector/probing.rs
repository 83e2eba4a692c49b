//! Tier 2: the heap statistics of runtimes and allocators, by their counters, as far as the
//! budget goes. A process is looked at for runtimes once in a while; the memory of
//! one that has any stays open.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use memgap_ledger::MissingKind;

use super::jobs::{Answer, Budgets, Probed, Work};
use super::probe_state::{Due, SAME};
use super::tracked::ProcessId;
use super::{CollectionStats, Collector, Degraded, of};
use crate::budget::Budget;

/// Share of one CPU that reading heap statistics may take where nothing else is said, 0 to 1.
pub const PROBE_SHARE: f64 = 0.005;

/// Time by the clock that a collection spends on looking for runtimes: files that
/// come from a slow disk cost it, and no CPU.
const LOOKING: Duration = Duration::from_millis(100);

impl Collector {
    /// Lets reading the heap statistics of runtimes and allocators take that share of one CPU,
    /// 0 to 1, instead of [`PROBE_SHARE`].
    #[must_use]
    pub fn with_probe_share(mut self, share: f64) -> Self {
        self.set_probe_share(share);
        self
    }

    /// See [`Self::set_statistics_min_age`].
    #[must_use]
    pub fn with_statistics_min_age(mut self, min_age: Duration) -> Self {
        self.set_statistics_min_age(min_age);
        self
    }

    /// Lets heap statistics take another share of one CPU from now on, with nothing that was saved up before.
    pub fn set_probe_share(&mut self, share: f64) {
        self.probe_budget = Budget::new(share, Duration::ZERO);
    }

    /// Lets heap statistics of a program that runs be shown again until they have that age, as
    /// long as it is about as large: they are read at each collection where this is 0, as it
    /// is first.
    pub fn set_statistics_min_age(&mut self, min_age: Duration) {
        self.probe_pace.set_min_age(min_age);
    }

    /// Looks for runtimes and reads their heap statistics, as far as the budget allows. What
    /// is left out keeps the heap statistics that it has, with their age.
    pub(super) fn probes(&mut self, stats: &mut CollectionStats) {
        let now = Instant::now();
        let users = self.tracked.values().filter(|tracked| tracked.has_memory());
        let due = users.filter_map(|tracked| {
            let due = tracked.probes_due(self.round, &self.probe_pace)?;
            self.may_ask(tracked, now).then_some(due)
        });
        let due = in_order(due.collect());
        if let Some(why) = self.lacks_memory(Degraded::HeapStatistics) {
            stats.probes_skipped += due.len() as u64;
            for Due { pid, .. } in due {
                if let Some(tracked) = self.tracked.get_mut(&pid) {
                    tracked.probes.wait_for(&why);
                }
            }
            self.reader.probes().forget_unused(0);
            return;
        }
        let budgets = self.budgets(self.probe_budget);
        let budgets = Budgets { end: now + LOOKING, handles: self.handles(), ..budgets };
        let mut jobs = VecDeque::with_capacity(due.len());
        for Due { pid, .. } in due {
            let Some(tracked) = self.tracked.get_mut(&pid) else { continue };
            let asks = tracked.probes.asks(self.round, tracked.counters.vsz);
            let id = tracked.id();
            jobs.push_back(self.job(id, Work::Probe(asks)));
        }
        let done = self.have_done(jobs, budgets, usize::MAX, stats);
        stats.tier2.cpu += done.cpu;
        self.probe_budget = done.budgets.budget;
        stats.probes_skipped += done.left.len() as u64;
        for job in done.left {
            let why = self.closed(job.id);
            if let (Some(tracked), Work::Probe(asked)) = (of(&mut self.tracked, job.id), job.work) {
                tracked.probes.memory = asked.memory;
                tracked.probes.wait_for(&why);
            }
        }
        let probes = self.reader.probes();
        probes.forget_unused(2 * SAME);
        stats.files = probes.take_use();
    }

    /// Keeps what a process showed of its runtimes.
    pub(super) fn take_probed(
        &mut self,
        id: ProcessId,
        outcome: Probed,
        stats: &mut CollectionStats,
    ) {
        let Some(tracked) = of(&mut self.tracked, id) else { return };
        let (probes, rss) = (&mut tracked.probes, tracked.counters.rss);
        let (answer, took, waited) = match outcome {
            Probed::LeftOut(memory) => {
                stats.probes_skipped += 1;
                probes.memory = memory;
                return probes.wait();
            }
            Probed::Done(answer, took, waited) => (answer, took, waited),
        };
        tracked.back_off.answered();
        let taken = answer.and_then(|answer| {
            let Answer { found, vsz, read, memory, is_reopened } = *answer;
            if let Some(found) = found {
                self.costly.looked(id, found.as_ref());
                if let Ok(found) = &found {
                    tracked.cost.areas.get_or_insert(found.mappings);
                }
                probes.turn(found, vsz, self.round)?;
            }
            if let Some((read, began)) = read {
                probes.take(read, (began, rss), self.round);
                self.costly.read(id, probes.are_beyond_bounds());
                stats.reopened += u64::from(is_reopened);
            }
            probes.memory = memory;
            Ok(())
        });
        if let Err(lack) = taken
            && lack.kind != MissingKind::Gone
        {
            stats.note("maps", &lack);
        }
        // One that keeps others waiting waits its turn.
        probes.serve(self.round, took.cpu + waited);
        probes.count(stats);
    }
}

/// The longest wait for the least cost first. With the wait squared the mean age of
/// all heap statistics is least; and however dear one is, its turn comes.
fn in_order(mut due: Vec<Due>) -> Vec<Due> {
    let urgency = |one: &Due| {
        let waits = u128::from(one.waits).pow(2);
        waits.saturating_mul(1 << 40) / one.cost.as_nanos().max(1)
    };
    due.sort_unstable_by_key(|one| (Reverse(urgency(one)), one.pid));
    due
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::probe_state::ProbeState;
    use super::*;
    use crate::budget::Budget;

    const MICRO: Duration = Duration::from_micros(1);

    fn pids(due: &[(u32, u64, Duration)]) -> Vec<u32> {
        let due = due.iter().map(|&(pid, waits, cost)| Due { pid, waits, cost }).collect();
        in_order(due).iter().map(|one| one.pid).collect()
    }

    #[test]
    fn a_long_wait_and_a_low_cost_come_first() {
        let equal = [(3, 1, MICRO), (1, 1, MICRO), (2, 1, MICRO)];
        assert_eq!(pids(&equal), [1, 2, 3]);
        assert_eq!(pids(&[(1, 1, 100 * MICRO), (2, 1, 10 * MICRO)]), [2, 1]);
        assert_eq!(pids(&[(1, 4, 100 * MICRO), (2, 1, 10 * MICRO)]), [1, 2]);
        // What costs nothing measurable is no exception.
        assert_eq!(pids(&[(2, 1, Duration::ZERO), (1, u64::MAX, 100 * MICRO)]), [1, 2]);
    }

    /// Rounds of a policy over processes of such costs: how often each is read.
    fn rounds(costs: &[Duration], grant: Duration, rounds: u64) -> Vec<u64> {
        let mut probes: BTreeMap<u32, ProbeState> = BTreeMap::new();
        for pid in 0u32..u32::try_from(costs.len()).expect("few") {
            probes.insert(pid, ProbeState::new(0));
        }
        let mut budget = Budget::new(1.0, Duration::ZERO);
        budget.spend(Duration::from_mins(1));
        let mut reads = vec![0; costs.len()];
        for round in 1..=rounds {
            budget.earn(grant);
            let due =
                probes.iter().filter_map(|(pid, probes)| probes.due(*pid, round, 0)).collect();
            for one in in_order(due) {
                if budget.has_any() {
                    let cost = costs[one.pid as usize];
                    budget.spend(cost);
                    let probes = probes.get_mut(&one.pid).expect("it is there");
                    // As one whose heap statistics are read on every collection.
                    probes.look_anyway = round + 1;
                    probes.serve(round, cost);
                    reads[one.pid as usize] += 1;
                }
            }
        }
        reads
    }

    #[test]
    fn within_the_budget_all_are_read_each_time() {
        let costs = [10 * MICRO; 50];
        assert_eq!(rounds(&costs, 500 * MICRO, 100), [100; 50]);
    }

    #[test]
    fn beyond_the_budget_nothing_starves_and_little_is_lost_to_what_is_dear() {
        // A thousand cheap ones, and ten that would each take half of the grant.
        let costs = [[10 * MICRO; 1000].as_slice(), &[5000 * MICRO; 10]].concat();
        let reads = rounds(&costs, 10_000 * MICRO, 1000);
        let (cheap, dear) = reads.split_at(1000);
        let least = |reads: &[u64]| reads.iter().copied().min().expect("some");
        assert!(least(cheap) >= 250, "{}", least(cheap));
        assert!(least(dear) >= 25, "{}", least(dear));
    }

    #[test]
    fn one_that_costs_more_than_can_be_saved_is_read_and_paid_back() {
        let reads = rounds(&[Duration::from_mins(10)], Duration::from_mins(1), 100);
        assert_eq!(reads, [10]);
    }
}
