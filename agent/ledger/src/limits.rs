//! Which limit a cgroup meets first, and how far it is from there: the least, over itself
//! and the cgroups above it, of limit less required, and of what can still be swapped out
//! beside that.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::absence::Absence;
use crate::account::{ANONYMOUS, Account, KERNEL};
use crate::cgroup::CgroupLedger;
use crate::fact::{Fact, Missing};
use crate::figure::{Figure, signed};
use crate::room::{Binding, Room};

/// Less than this is charged to a cgroup itself without being worth a word.
const MATTERS: i64 = 4 << 20;

/// Finds the room of every cgroup, from the others and the free swap space of the host.
pub fn settle(cgroups: &mut [CgroupLedger], swap_free: &Fact<u64>) {
    let rooms = rooms(&cgroups.iter().collect::<Vec<_>>(), swap_free);
    for (cgroup, room) in cgroups.iter_mut().zip(rooms) {
        cgroup.set_room(room);
    }
}

/// The room of each, in their order.
pub(crate) fn rooms(cgroups: &[&CgroupLedger], swap_free: &Fact<u64>) -> Vec<Fact<Room>> {
    let mut tree = Tree::of(cgroups);
    (0..cgroups.len()).map(|at| tree.room(at, swap_free)).collect()
}

impl CgroupLedger {
    pub(crate) fn set_room(&mut self, room: Fact<Room>) {
        self.absent.retain(|absence| absence.what != "room");
        self.absent.extend(room.as_ref().err().map(|missing| Absence::new("room", missing)));
        self.room = room;
    }
}

/// Cgroups by their place in the hierarchy.
struct Tree<'a> {
    cgroups: &'a [&'a CgroupLedger],
    by_path: BTreeMap<&'a str, usize>,
    below: BTreeMap<&'a str, Vec<usize>>,
    /// Of those that bind others: the same for each of them.
    holders: BTreeMap<usize, Holders>,
}

impl<'a> Tree<'a> {
    fn of(cgroups: &'a [&'a CgroupLedger]) -> Self {
        let by_path = cgroups.iter().enumerate().map(|(at, c)| (c.path.as_str(), at)).collect();
        let mut below: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, cgroup) in cgroups.iter().enumerate() {
            if let Some(parent) = parent(&cgroup.path) {
                below.entry(parent).or_default().push(at);
            }
        }
        Self { cgroups, by_path, below, holders: BTreeMap::new() }
    }

    /// From the outermost to the cgroup itself.
    fn chain(&self, at: usize) -> Vec<&'a CgroupLedger> {
        let mut chain = vec![self.cgroups[at]];
        let mut path = self.cgroups[at].path.as_str();
        while let Some(above) = parent(path) {
            chain.extend(self.by_path.get(above).map(|at| self.cgroups[*at]));
            path = above;
        }
        chain.reverse();
        chain
    }

    fn room(&mut self, at: usize, swap_free: &Fact<u64>) -> Fact<Room> {
        let chain = self.chain(at);
        let mut least: Option<(Figure, usize)> = None;
        for (level, cgroup) in chain.iter().enumerate() {
            let Some(limit) = cgroup.headline.limit.filter(|_| !cgroup.limit_is_pods) else {
                continue;
            };
            let swap = swap_left(&chain, level, swap_free);
            let room =
                room_below(limit, required(cgroup, self.cgroups[at]), swap).ok_or_else(|| {
                    Missing::absent(format!("what {} requires is not known", cgroup.path))
                })?;
            least = Some(match least {
                Some((bytes, _)) if room.point() < bytes.point() => (least_of(bytes, room), level),
                Some((bytes, before)) => (least_of(bytes, room), before),
                None => (room, level),
            });
        }
        let is_whole = chain.first().is_some_and(|top| top.root);
        let (mut bytes, level) = least.ok_or_else(|| unlimited(is_whole))?;
        if !is_whole {
            // A limit that nobody showed us may be met at once.
            let (_, high) = bytes.bounds().unwrap_or((0, 0));
            bytes = Figure::interval(0, bytes.point().unwrap_or(0), high);
        }
        let mut limit = binding(
            chain[level],
            required(chain[level], self.cgroups[at]),
            swap_left(&chain, level, swap_free),
        );
        if let Some(towards) = chain.get(level + 1) {
            self.describe(&mut limit, towards);
        }
        Ok(Room { bytes, limit, is_whole })
    }

    /// Says what holds the memory of a cgroup above; `towards` is the one below it on the
    /// way to the cgroup that is asked about.
    fn describe(&mut self, binding: &mut Binding, towards: &CgroupLedger) {
        let Some(&at) = self.by_path.get(binding.path.as_str()) else { return };
        let holders = self.holders.get(&at).copied().unwrap_or_else(|| self.holders_of(at));
        self.holders.insert(at, holders);
        let mut others = holders.largest.into_iter().flatten();
        let largest = others.find(|(at, _)| self.cgroups[*at].path != towards.path);
        binding.sibling = largest
            .filter(|(_, bytes)| *bytes >= MATTERS)
            .map(|(at, bytes)| (self.cgroups[at].path.clone(), bytes));
        let bytes = binding.required.point().unwrap_or(0).saturating_sub(holders.required);
        binding.orphaned = holders.kind.map(|kind| (bytes, kind)).filter(|_| bytes >= MATTERS);
    }

    fn holders_of(&self, at: usize) -> Holders {
        let path = self.cgroups[at].path.as_str();
        let below = || self.below.get(path).into_iter().flatten().copied();
        let required = |at: usize| self.cgroups[at].headline.required.point().unwrap_or(0);
        let mut sizes: Vec<(usize, i64)> = below().map(|at| (at, required(at))).collect();
        sizes.sort_by_key(|(_, bytes)| Reverse(*bytes));
        let most = KINDS.iter().max_by_key(|(_, accounts)| {
            let sum = |at: usize| self.cgroups[at].ledger.sum(accounts);
            below().fold(sum(at), |rest, at| rest.saturating_sub(sum(at)))
        });
        Holders {
            largest: [sizes.first().copied(), sizes.get(1).copied()],
            required: sizes.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes)),
            kind: most.map(|(kind, _)| *kind),
        }
    }
}

/// What holds the memory of a cgroup that has others below it.
#[derive(Debug, Clone, Copy)]
struct Holders {
    /// The two cgroups directly below it that require most, and how much.
    largest: [Option<(usize, i64)>; 2],
    /// What all of them require together.
    required: i64,
    /// Of which kind most is that none of them holds.
    kind: Option<&'static str>,
}

fn binding(cgroup: &CgroupLedger, required: Figure, swap: Figure) -> Binding {
    Binding {
        path: cgroup.path.clone(),
        identity: cgroup.identity.clone(),
        bytes: cgroup.headline.limit.unwrap_or(u64::MAX),
        required,
        swap,
        sibling: None,
        orphaned: None,
    }
}

/// What required memory can be, in words.
const KINDS: &[(&str, &[Account])] = &[
    ("tmpfs and other shared memory", &[Account::Shmem]),
    ("page cache", &[Account::PageCache]),
    ("anonymous memory", ANONYMOUS),
    ("kernel memory", KERNEL),
];

/// The path of the cgroup above; `None` for the root.
pub(crate) fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/') {
        Some((_, "")) | None => None,
        Some(("", _)) => Some("/"),
        Some((above, _)) => Some(above),
    }
}

/// What can be swapped out more when the limit at a level is met: by that level and all
/// above it, and at least as much as the cgroup itself may.
fn swap_left(chain: &[&CgroupLedger], level: usize, swap_free: &Fact<u64>) -> Figure {
    let free = swap_free.as_ref().ok().copied();
    let (mut low, mut high) = (free.unwrap_or(0), free.unwrap_or(u64::MAX));
    for (at, cgroup) in chain.iter().enumerate() {
        let (least, most) = match (&cgroup.swap_limit, &cgroup.events.swap) {
            (Ok(None), _) => (u64::MAX, u64::MAX),
            (Ok(Some(limit)), Ok(used)) => {
                let left = limit.saturating_sub(*used);
                (left, left)
            }
            (Ok(Some(limit)), Err(_)) => (0, *limit),
            (Err(_), _) if cgroup.root => (u64::MAX, u64::MAX),
            (Err(_), _) => (0, u64::MAX),
        };
        low = low.min(least);
        high = if at <= level { high.min(most) } else { high };
    }
    Figure::interval(signed(low), signed(low), signed(high.max(low)))
}

/// What a cgroup requires, when of the processes in it those of `below` alone were read:
/// what they freed lazily it has freed, and what they wrote again it needs.
fn required(cgroup: &CgroupLedger, below: &CgroupLedger) -> Figure {
    let required = cgroup.headline.required;
    let (Some(point), Some((low, high))) = (required.point(), required.bounds()) else {
        return Figure::Absent;
    };
    if cgroup.processes.is_some() || below.processes.is_none() {
        return required;
    }
    let lazy = below.ledger.figure(Account::LazyFree).bounds().map_or(0, |(low, _)| low);
    let hidden = below.headline.working_set_hidden;
    let hidden_low = hidden.bounds().map_or(0, |(low, _)| low);
    let high = high.saturating_sub(lazy).max(low);
    let low = low.saturating_add(hidden_low).min(high);
    Figure::interval(low, point.saturating_add(hidden.point().unwrap_or(0)).clamp(low, high), high)
}

/// `None` where what is required is not known.
fn room_below(limit: u64, required: Figure, swap: Figure) -> Option<Figure> {
    let (low, high) = required.bounds()?;
    let (swap_low, swap_high) = swap.bounds()?;
    let left = |required: i64, swap: i64| {
        signed(limit).saturating_sub(required).saturating_add(swap).max(0)
    };
    let point = left(required.point()?, swap.point()?);
    Some(Figure::interval(left(high, swap_low), point, left(low, swap_high)))
}

fn least_of(a: Figure, b: Figure) -> Figure {
    let (Some((al, ah)), Some((bl, bh))) = (a.bounds(), b.bounds()) else { return Figure::Absent };
    let point = a.point().unwrap_or(0).min(b.point().unwrap_or(0));
    Figure::interval(al.min(bl), point, ah.min(bh))
}

fn unlimited(is_whole: bool) -> Missing {
    Missing::absent(if is_whole {
        "neither it nor a cgroup above it has a limit: the host's MemAvailable is what it can have"
    } else {
        "it has no limit, and those above it are not mounted here"
    })
}
