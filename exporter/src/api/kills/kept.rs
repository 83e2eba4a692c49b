//! What is kept of kills: for a day, and bounded in number and bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memgap_ledger::{CgroupLedger, Identity};

/// For how long it is kept.
const KEEP: Duration = Duration::from_hours(24);

/// How many at most.
const MOST: usize = 64;

/// The last ledgers that are kept, the oldest first.
#[derive(Debug)]
pub struct Kept {
    items: VecDeque<Item>,
    max_bytes: usize,
    /// How many there were.
    numbers: u32,
    given_up: VecDeque<SystemTime>,
}

/// One of them.
#[derive(Debug)]
pub struct Item {
    /// Counts them from 1.
    pub number: u32,
    /// What it is of.
    pub ledger: Arc<CgroupLedger>,
    /// Its document.
    pub document: Vec<u8>,
    noticed: SystemTime,
}

impl Kept {
    /// Nothing yet, and never more than so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { items: VecDeque::new(), max_bytes, numbers: 0, given_up: VecDeque::new() }
    }

    /// The number of the next one.
    pub fn number(&mut self) -> u32 {
        self.numbers = self.numbers.saturating_add(1);
        self.numbers
    }

    /// Keeps a document. Where there is no room, the oldest goes of whoever has most: who
    /// is killed again and again takes no one else's place.
    pub fn keep(
        &mut self,
        number: u32,
        now: SystemTime,
        ledger: Arc<CgroupLedger>,
        document: Vec<u8>,
    ) {
        self.items.push_back(Item { number, ledger, document, noticed: now });
        while self.items.len() > MOST || self.bytes() > self.max_bytes {
            let at = self.to_go();
            if self.items.remove(at).is_none() {
                return;
            }
            // No more is said than that there were so many.
            if self.given_up.len() < MOST {
                self.given_up.push_back(now);
            }
        }
    }

    /// Gives up what is older than a day.
    pub fn expire(&mut self, now: SystemTime) {
        let is_old = |then: SystemTime| now.duration_since(then).is_ok_and(|age| age > KEEP);
        self.items.retain(|item| !is_old(item.noticed));
        self.given_up.retain(|then| !is_old(*then));
    }

    /// The last first.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().rev()
    }

    /// At least so many were given up within a day.
    pub fn left_out(&self) -> u64 {
        self.given_up.len() as u64
    }

    fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.document.len()).sum()
    }

    /// The place of the one that goes next.
    fn to_go(&self) -> usize {
        let mut by_owner: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (at, item) in self.items.iter().enumerate() {
            by_owner.entry(owner(&item.ledger)).or_insert((0, at)).0 += 1;
        }
        let most = by_owner.values().max_by_key(|(count, at)| (*count, std::cmp::Reverse(*at)));
        most.map_or(0, |(_, oldest)| *oldest)
    }
}

/// Whose a cgroup is: a container that is started anew has another path and id.
fn owner(cgroup: &CgroupLedger) -> String {
    match &cgroup.identity {
        Identity::Container(container) => match &container.names {
            Some(names) => format!("{}/{}/{}", names.namespace, names.pod, names.container),
            None if !container.pod_uid.is_empty() => container.pod_uid.clone(),
            None => cgroup.path.clone(),
        },
        _ => cgroup.path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use memgap_ledger::events::Events;
    use memgap_ledger::sample::{CgroupSample, CgroupVersion};
    use memgap_ledger::{Missing, cgroup};

    use super::*;

    fn ledger(path: &str) -> Arc<CgroupLedger> {
        let unread = || Missing::absent("nothing is read in this test");
        let sample = CgroupSample {
            path: path.to_owned(),
            version: CgroupVersion::V2,
            root: false,
            usage: Ok(1),
            limit: Ok(None),
            limit_is_pods: false,
            swap_limit: Ok(None),
            stat: Err(unread()),
            kmem: Err(unread()),
            events: Events::missing(&unread()),
            cpus: 1,
            unmarked_files: None,
            churned: 0,
            leaf: true,
            names: None,
        };
        Arc::new(cgroup::ledger(&sample, Ok(&[])))
    }

    fn keep(kept: &mut Kept, path: &str, at: SystemTime, length: usize) {
        let number = kept.number();
        kept.keep(number, at, ledger(path), vec![b'x'; length]);
    }

    fn numbers(kept: &Kept) -> Vec<u32> {
        kept.items().map(|item| item.number).collect()
    }

    #[test]
    fn they_are_kept_for_a_day_the_last_first() {
        let start = SystemTime::UNIX_EPOCH + KEEP;
        let mut kept = Kept::new(1 << 20);
        keep(&mut kept, "/a", start, 1);
        keep(&mut kept, "/b", start + KEEP / 2, 1);
        kept.expire(start + KEEP);
        assert_eq!(numbers(&kept), [2, 1]);
        kept.expire(start + KEEP + Duration::from_secs(1));
        assert_eq!((numbers(&kept), kept.left_out()), (vec![2], 0));
        kept.expire(SystemTime::UNIX_EPOCH);
        assert_eq!(numbers(&kept), [2], "a clock that goes back gives up nothing");
    }

    #[test]
    fn who_is_killed_again_and_again_takes_no_one_elses_place() {
        let now = SystemTime::UNIX_EPOCH;
        let mut kept = Kept::new(1 << 20);
        keep(&mut kept, "/quiet", now, 1);
        for _ in 0..3 * MOST {
            keep(&mut kept, "/loop", now, 1);
        }
        let left = numbers(&kept);
        assert_eq!((left.len(), left[MOST - 1]), (MOST, 1));
        assert_eq!(left[0] as usize, 3 * MOST + 1, "the last one is there");
        assert_eq!(kept.left_out(), MOST as u64);
    }

    #[test]
    fn of_many_the_oldest_goes_and_bytes_are_bounded() {
        let now = SystemTime::UNIX_EPOCH;
        let mut kept = Kept::new(10);
        for path in ["/a", "/b", "/c"] {
            keep(&mut kept, path, now, 4);
        }
        assert_eq!(numbers(&kept), [3, 2]);
        keep(&mut kept, "/d", now, 11);
        assert_eq!(kept.items().count(), 0, "what has no room at all is not kept");
    }
}
