//! Ledgers of cgroups, kept from one time to the next: one whose sample and whose processes
//! are as they were is the same one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cgroup::{self, CgroupLedger};
use crate::fact::{Fact, Missing};
use crate::identity::Identity;
use crate::limits;
use crate::members::Sum;
use crate::process::ProcessLedger;
use crate::sample::CgroupSample;
use crate::watched::Watched;

/// The cgroups of a machine as they were last, in the order of their samples.
#[derive(Debug, Default)]
pub(super) struct Kept {
    cgroups: Vec<Cgroup>,
    /// Why it was not known which processes they hold.
    hidden: Option<Missing>,
    /// How many sums were made.
    made: u64,
}

#[derive(Debug)]
struct Cgroup {
    sample: CgroupSample,
    /// The processes that are in no cgroup below it.
    own: Vec<Arc<ProcessLedger>>,
    /// The numbers of the sums directly below it.
    below: Vec<u64>,
    /// Of its own processes and of all below it; another sum has another number.
    sum: Sum,
    number: u64,
    ledger: Arc<CgroupLedger>,
    /// Where it is watched.
    watched: Option<Box<Watched>>,
}

/// How many cgroups are judged at a time: each takes some 50 us.
const MOST_JUDGED: usize = 16;

/// How cgroups and processes belong together, each cgroup by its place among the samples.
struct Tree<'a> {
    own: Vec<Vec<&'a Arc<ProcessLedger>>>,
    below: Vec<Vec<usize>>,
    /// Every cgroup, after those below it.
    order: Vec<usize>,
}

impl Kept {
    /// Brings them up to date. `hidden` is why no process tells its cgroup.
    pub fn read(
        &mut self,
        samples: &[CgroupSample],
        processes: &[Arc<ProcessLedger>],
        hidden: Option<&Missing>,
    ) {
        if self.hidden.as_ref() != hidden {
            self.cgroups.clear();
            self.hidden = hidden.cloned();
        }
        let places: BTreeMap<&str, usize> =
            samples.iter().enumerate().map(|(at, sample)| (sample.path.as_str(), at)).collect();
        let tree = Tree::of(samples, processes, &places);
        let mut kept: Vec<Option<Cgroup>> = samples.iter().map(|_| None).collect();
        for cgroup in self.cgroups.drain(..) {
            if let Some(at) = places.get(cgroup.sample.path.as_str()) {
                kept[*at] = Some(cgroup);
            }
        }
        for &at in &tree.order {
            let mut before = kept[at].take();
            let watched = before.as_mut().and_then(|before| before.watched.take());
            let below: Vec<&Cgroup> =
                tree.below[at].iter().filter_map(|at| kept[*at].as_ref()).collect();
            let (sample, own) = (&samples[at], &tree.own[at]);
            let mut next = match before.filter(|before| before.holds(own, &below)) {
                Some(same) => same.with(sample, hidden),
                None => {
                    self.made += 1;
                    Cgroup::new(sample, own, &below, hidden, self.made)
                }
            };
            next.watched = watched;
            kept[at] = Some(next);
        }
        self.cgroups = kept.into_iter().flatten().collect();
    }

    /// Finds the room of each.
    pub fn settle(&mut self, swap_free: &Fact<u64>) {
        let ledgers: Vec<&CgroupLedger> = self.cgroups.iter().map(|kept| &*kept.ledger).collect();
        let rooms = limits::rooms(&ledgers, swap_free);
        for (kept, room) in self.cgroups.iter_mut().zip(rooms) {
            if kept.ledger.room != room {
                Arc::make_mut(&mut kept.ledger).set_room(room);
            }
        }
    }

    /// Notes what each holds, and says what is known by that. Of those that are due those that have been
    /// for longest are judged, no more than [`MOST_JUDGED`] at a time.
    pub fn watch(&mut self, at: Duration) {
        let mut due = Vec::new();
        for (nth, kept) in self.cgroups.iter_mut().enumerate() {
            if !is_watched(&kept.ledger) {
                continue;
            }
            let watched = kept.watched.get_or_insert_with(|| Box::new(Watched::new()));
            watched.push(at, &kept.ledger);
            if watched.due() <= at {
                due.push((watched.due(), nth));
            }
        }
        due.sort_unstable();
        for (_, nth) in due.into_iter().take(MOST_JUDGED) {
            let kept = &mut self.cgroups[nth];
            if let Some(watched) = &mut kept.watched {
                watched.judge(&kept.ledger);
            }
        }
        for kept in &mut self.cgroups {
            if let Some(watched) = &kept.watched
                && kept.ledger.outlook != *watched.outlook()
            {
                Arc::make_mut(&mut kept.ledger).outlook = watched.outlook().clone();
            }
        }
    }

    /// The ledgers, in the order of the samples.
    pub fn ledgers(&self) -> Vec<Arc<CgroupLedger>> {
        self.cgroups.iter().map(|kept| Arc::clone(&kept.ledger)).collect()
    }
}

impl Cgroup {
    fn new(
        sample: &CgroupSample,
        own: &[&Arc<ProcessLedger>],
        below: &[&Self],
        hidden: Option<&Missing>,
        number: u64,
    ) -> Self {
        let mut sum = Sum::of(own.iter().map(|process| &***process));
        for cgroup in below {
            sum.plus(&cgroup.sum);
        }
        Self {
            sample: sample.clone(),
            own: own.iter().map(|process| Arc::clone(process)).collect(),
            below: below.iter().map(|cgroup| cgroup.number).collect(),
            ledger: Arc::new(cgroup::of_sum(sample, hidden.map_or(Ok(&sum), Err))),
            sum,
            number,
            watched: None,
        }
    }

    /// Whether its processes, and those of the cgroups directly below it, are as they were.
    fn holds(&self, own: &[&Arc<ProcessLedger>], below: &[&Self]) -> bool {
        self.own.len() == own.len()
            && self.own.iter().zip(own).all(|(before, now)| Arc::ptr_eq(before, now))
            && self.below.iter().eq(below.iter().map(|cgroup| &cgroup.number))
    }

    /// The same with another sample.
    fn with(mut self, sample: &CgroupSample, hidden: Option<&Missing>) -> Self {
        if self.sample != *sample {
            self.sample = sample.clone();
            self.ledger = Arc::new(cgroup::of_sum(sample, hidden.map_or(Ok(&self.sum), Err)));
        }
        self
    }
}

impl<'a> Tree<'a> {
    fn of(
        samples: &'a [CgroupSample],
        processes: &'a [Arc<ProcessLedger>],
        places: &BTreeMap<&str, usize>,
    ) -> Self {
        let mut own = vec![Vec::new(); samples.len()];
        // Processes of one cgroup often follow each other.
        let mut last = ("", None);
        for process in processes {
            let Some(path) = process.cgroup.as_deref() else { continue };
            if path != last.0 {
                last = (path, nearest(path, places));
            }
            if let Some(at) = last.1 {
                own[at].push(process);
            }
        }
        let mut below = vec![Vec::new(); samples.len()];
        for (at, sample) in samples.iter().enumerate() {
            if let Some(above) = limits::parent(&sample.path).and_then(|path| nearest(path, places))
            {
                below[above].push(at);
            }
        }
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(samples[*at].path.len()));
        Self { own, below, order }
    }
}

/// Containers and what holds no other: of the rest the sums say little.
fn is_watched(cgroup: &CgroupLedger) -> bool {
    cgroup.leaf || matches!(cgroup.identity, Identity::Container(_))
}

/// The cgroup of that path or, as it is charged for it, the nearest above it.
fn nearest(path: &str, places: &BTreeMap<&str, usize>) -> Option<usize> {
    let mut path = Some(path);
    while let Some(there) = path {
        if let Some(at) = places.get(there) {
            return Some(*at);
        }
        path = limits::parent(there);
    }
    None
}
