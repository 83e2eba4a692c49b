//! Which limit a cgroup meets first, and how far it is from there: the least, over itself
//! and the cgroups above it, of limit less required, and of what can still be swapped out
//! beside that.

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
    let tree = Tree::of(cgroups);
    let rooms: Vec<_> = (0..cgroups.len()).map(|at| tree.room(at, swap_free)).collect();
    for (cgroup, room) in cgroups.iter_mut().zip(rooms) {
        cgroup.absent.retain(|absence| absence.what != "room");
        cgroup.absent.extend(room.as_ref().err().map(|missing| Absence::new("room", missing)));
        cgroup.room = room;
    }
}

/// Cgroups by their place in the hierarchy.
struct Tree<'a> {
    cgroups: &'a [CgroupLedger],
    by_path: BTreeMap<&'a str, usize>,
    below: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Tree<'a> {
    fn of(cgroups: &'a [CgroupLedger]) -> Self {
        let by_path = cgroups.iter().enumerate().map(|(at, c)| (c.path.as_str(), at)).collect();
        let mut below: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, cgroup) in cgroups.iter().enumerate() {
            if let Some(parent) = parent(&cgroup.path) {
                below.entry(parent).or_default().push(at);
            }
        }
        Self { cgroups, by_path, below }
    }

    /// From the outermost to the cgroup itself.
    fn chain(&self, at: usize) -> Vec<&'a CgroupLedger> {
        let mut chain = vec![&self.cgroups[at]];
        let mut path = self.cgroups[at].path.as_str();
        while let Some(above) = parent(path) {
            chain.extend(self.by_path.get(above).map(|at| &self.cgroups[*at]));
            path = above;
        }
        chain.reverse();
        chain
    }

    fn room(&self, at: usize, swap_free: &Fact<u64>) -> Fact<Room> {
        let chain = self.chain(at);
        let mut least: Option<(Figure, usize)> = None;
        for (level, cgroup) in chain.iter().enumerate() {
            let Some(limit) = cgroup.headline.limit.filter(|_| !cgroup.limit_is_pods) else {
                continue;
            };
            let swap = swap_left(&chain, level, swap_free);
            let room =
                room_below(limit, required(cgroup, &self.cgroups[at]), swap).ok_or_else(|| {
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
            required(chain[level], &self.cgroups[at]),
            swap_left(&chain, level, swap_free),
        );
        if let Some(towards) = chain.get(level + 1) {
            self.describe(&mut limit, towards);
        }
        Ok(Room { bytes, limit, is_whole })
    }

    /// Says what holds the memory of a cgroup above; `towards` is the one below it on the
    /// way to the cgroup that is asked about.
    fn describe(&self, binding: &mut Binding, towards: &CgroupLedger) {
        let Some(at) = self.by_path.get(binding.path.as_str()) else { return };
        let below: Vec<&CgroupLedger> = self
            .below
            .get(binding.path.as_str())
            .into_iter()
            .flatten()
            .map(|at| &self.cgroups[*at])
            .collect();
        let required = |cgroup: &CgroupLedger| cgroup.headline.required.point().unwrap_or(0);
        let others = below.iter().filter(|cgroup| cgroup.path != towards.path);
        binding.sibling = others
            .map(|cgroup| (cgroup.path.clone(), required(cgroup)))
            .max_by_key(|(_, bytes)| *bytes)
            .filter(|(_, bytes)| *bytes >= MATTERS);
        let rest = |all: i64, of: &dyn Fn(&CgroupLedger) -> i64| {
            below.iter().fold(all, |rest, cgroup| rest.saturating_sub(of(cgroup)))
        };
        let bytes = rest(binding.required.point().unwrap_or(0), &required);
        let most = KINDS.iter().max_by_key(|(_, accounts)| {
            rest(self.cgroups[*at].ledger.sum(accounts), &|cgroup| cgroup.ledger.sum(accounts))
        });
        binding.orphaned = most.map(|(kind, _)| (bytes, *kind)).filter(|_| bytes >= MATTERS);
    }
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
fn parent(path: &str) -> Option<&str> {
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
