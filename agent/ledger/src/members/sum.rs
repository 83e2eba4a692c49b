//! What processes sum up to. Those of a cgroup are its own and those of the cgroups below
//! it: their sums add up, so that none is looked at twice.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::account::{ANONYMOUS, Account};
use crate::busy_gc::BusyGc;
use crate::fact::{Missing, MissingKind};
use crate::figure::Figure;
use crate::in_use::Charged;
use crate::kept::Kept;
use crate::kernel_memory::OfProcesses;
use crate::mapped::Mapped;
use crate::process::ProcessLedger;
use crate::retained::Retained;
use crate::runtime::since_gc;
use crate::sample::ProcessKind;

/// The sum over some processes. Threads of the kernel and zombies hold nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    /// How many there are, how many of them can hold memory, and were walked.
    pub processes: usize,
    pub users: usize,
    pub walked_users: usize,
    /// What is charged for those that were walked and for the others.
    pub walked: i64,
    pub unwalked: i64,
    /// Lazily freed memory of those that were walked, and of those that were just now: the
    /// least that is.
    pub lazy: i64,
    pub lazy_now: i64,
    /// Age of the oldest walk.
    pub oldest: Duration,
    /// What their counters may tell beyond what they are charged for.
    pub skew: Figure,
    /// What they keep locked, as far as they were walked: page cache, and other memory.
    pub locked_file: Figure,
    pub locked_other: Figure,
    /// What their own counters tell of the kernel's memory.
    pub kernel: Option<OfProcesses>,
    /// What those that were walked have in use, and what the others do.
    pub in_use_walked: Option<Charged>,
    pub in_use_unwalked: Option<Charged>,
    pub in_use_at_most: i64,
    /// What of that was allocated since the last garbage collections.
    pub since_gc: i64,
    /// Whether heap statistics were read of one of them.
    pub is_read: bool,
    /// Names of the runtimes and allocators that were read, and of those that were not.
    pub runtimes: BTreeSet<String>,
    pub unread: BTreeSet<String>,
    pub busiest_gc: Option<BusyGc>,
    /// What allocators could give back.
    pub retained: Option<Retained>,
    /// What they keep free in pages with memory in use.
    pub pinned: Option<Retained>,
    pub mapped: Option<Mapped>,
    /// Why one could not be looked into for want of rights.
    pub denied: Option<Missing>,
    held: [Held; ANONYMOUS.len()],
}

/// What is charged for processes on one account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// In the measure of what is charged.
    pub figure: Figure,
    /// How many processes tell.
    pub reported: usize,
    /// What of it is of processes without a walk, and may be lazily freed.
    pub lumps: i64,
    /// Why a process does not tell: one reason stands for all.
    lack: Option<Missing>,
}

impl Sum {
    /// The sum over some processes.
    pub fn of<'p>(processes: impl IntoIterator<Item = &'p ProcessLedger>) -> Self {
        let mut sum = Self::default();
        processes.into_iter().for_each(|process| sum.add(process));
        sum
    }

    /// Adds a process.
    pub fn add(&mut self, process: &ProcessLedger) {
        self.processes += 1;
        self.kernel = either(self.kernel, OfProcesses::of(process), OfProcesses::plus);
        // Whose it counts for is charged for it, be that one in the cgroup or not.
        if process.is_counted_elsewhere() {
            return;
        }
        self.locked_file = self.locked_file.plus(process.locked_file);
        self.locked_other = self.locked_other.plus(process.locked_other);
        self.mapped = either(self.mapped, process.mapped, Mapped::plus);
        self.is_read |= process.in_use.is_some();
        note_names(&mut self.runtimes, process.runtimes.iter().map(|runtime| &runtime.name));
        let unread = process.unread.iter().map(|unread| &unread.name);
        note_names(&mut self.unread, unread.filter(|name| !name.is_empty()));
        self.be_busier(BusyGc::of(process));
        if let Some(kept) = Kept::of(process) {
            retain(&mut self.retained, Retained::returnable(process, &kept));
            retain(&mut self.pinned, Retained::pinned(process, &kept));
        }
        self.add_lacks(process);
        if process.kind == ProcessKind::User {
            self.add_memory(process);
        }
    }

    /// Adds the processes of another sum.
    pub fn plus(&mut self, other: &Self) {
        self.processes += other.processes;
        self.users += other.users;
        self.walked_users += other.walked_users;
        for (sum, more) in [
            (&mut self.walked, other.walked),
            (&mut self.unwalked, other.unwalked),
            (&mut self.lazy, other.lazy),
            (&mut self.lazy_now, other.lazy_now),
            (&mut self.in_use_at_most, other.in_use_at_most),
            (&mut self.since_gc, other.since_gc),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.oldest = self.oldest.max(other.oldest);
        self.skew = self.skew.plus(other.skew);
        self.locked_file = self.locked_file.plus(other.locked_file);
        self.locked_other = self.locked_other.plus(other.locked_other);
        self.kernel = either(self.kernel, other.kernel, OfProcesses::plus);
        self.mapped = either(self.mapped, other.mapped, Mapped::plus);
        use_more(&mut self.in_use_walked, other.in_use_walked.as_ref());
        use_more(&mut self.in_use_unwalked, other.in_use_unwalked.as_ref());
        self.is_read |= other.is_read;
        note_names(&mut self.runtimes, &other.runtimes);
        note_names(&mut self.unread, &other.unread);
        self.be_busier(other.busiest_gc.clone());
        retain(&mut self.retained, other.retained.clone());
        retain(&mut self.pinned, other.pinned.clone());
        note_lack(&mut self.denied, other.denied.as_ref());
        for (sum, more) in self.held.iter_mut().zip(&other.held) {
            sum.figure = sum.figure.plus(more.figure);
            sum.reported += more.reported;
            sum.lumps = sum.lumps.saturating_add(more.lumps);
            note_lack(&mut sum.lack, more.lack.as_ref());
        }
    }

    /// What is charged on an account, one of [`ANONYMOUS`].
    pub fn held(&self, account: Account) -> &Held {
        const NOTHING: &Held = &Held { figure: Figure::Absent, reported: 0, lumps: 0, lack: None };
        let at = ANONYMOUS.iter().position(|one| *one == account);
        at.map_or(NOTHING, |at| &self.held[at])
    }

    /// Why no process tells an account.
    pub fn unreported(&self, account: Account) -> Option<&Missing> {
        self.held(account).lack.as_ref()
    }

    /// All address space of shared memory, where it is known of every process.
    pub fn shmem_space(&self) -> Option<u64> {
        let mapped = self.mapped.map_or(0, |mapped| mapped.shmem_space);
        (self.walked_users == self.users).then_some(mapped)
    }

    /// Whether every process was looked at just now.
    pub fn is_all_seen_now(&self) -> bool {
        self.unwalked == 0 && self.oldest == Duration::ZERO
    }

    fn add_memory(&mut self, process: &ProcessLedger) {
        self.users += 1;
        let of = |account| process.charged.iter().find(|(a, _)| *a == account).map(|(_, b)| *b);
        let all = process.charged.iter().fold(0i64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        if let Some(age) = process.walk_age {
            self.walked_users += 1;
            let lazy = of(Account::LazyFree).unwrap_or(0);
            self.walked = self.walked.saturating_add(all);
            self.lazy = self.lazy.saturating_add(lazy);
            self.oldest = self.oldest.max(age);
            if age == Duration::ZERO {
                self.lazy_now = self.lazy_now.saturating_add(lazy);
            }
            use_more(&mut self.in_use_walked, process.charged_in_use.as_ref());
        } else {
            self.unwalked = self.unwalked.saturating_add(all);
            use_more(&mut self.in_use_unwalked, process.charged_in_use.as_ref());
        }
        self.in_use_at_most = self.in_use_at_most.saturating_add(process.in_use_at_most);
        self.since_gc = self.since_gc.saturating_add(since_gc(&process.runtimes));
        self.skew = self.skew.plus(process.charged_skew);
        for (held, account) in self.held.iter_mut().zip(ANONYMOUS) {
            let Some(charged) = of(*account) else { continue };
            held.figure = held.figure.plus(charge(process.ledger.figure(*account), charged));
            held.reported += 1;
            // What an allocator gave back lazily is among its free memory until a walk tells.
            let is_lump = account.is_residual() || *account == Account::AllocatorFree;
            if process.walk_age.is_none() && is_lump {
                held.lumps = held.lumps.saturating_add(charged.max(0));
            }
        }
    }

    fn add_lacks(&mut self, process: &ProcessLedger) {
        for absence in &process.absent {
            if absence.missing.kind == MissingKind::Denied {
                note_lack(&mut self.denied, Some(&absence.missing));
            }
            let at = ANONYMOUS.iter().position(|account| account.name() == absence.what);
            if let Some(at) = at {
                note_lack(&mut self.held[at].lack, Some(&absence.missing));
            }
        }
    }

    fn be_busier(&mut self, other: Option<BusyGc>) {
        let rank = |busy: &BusyGc| (busy.per_minute, Reverse(busy.pid));
        if let Some(other) = other
            && self.busiest_gc.as_ref().is_none_or(|busiest| rank(busiest) < rank(&other))
        {
            self.busiest_gc = Some(other);
        }
    }
}

/// A member's figure in the measure of what is charged for it: its bounds keep
/// their distance from the point.
fn charge(figure: Figure, charged: i64) -> Figure {
    let (Some((low, high)), Some(point)) = (figure.bounds(), figure.point()) else {
        return Figure::Absent;
    };
    let low = charged.saturating_sub(point.saturating_sub(low)).max(0).min(charged);
    let high = charged.saturating_add(high.saturating_sub(point));
    Figure::interval(low, charged, high)
}

fn either<T>(a: Option<T>, b: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (one, None) | (None, one) => one,
    }
}

fn use_more(sum: &mut Option<Charged>, more: Option<&Charged>) {
    if let Some(more) = more {
        sum.get_or_insert_with(Charged::none).add(more);
    }
}

fn retain(sum: &mut Option<Retained>, other: Option<Retained>) {
    *sum = match (sum.take(), other) {
        (Some(one), Some(other)) => Some(one.plus(other)),
        (one, other) => one.or(other),
    };
}

fn note_names<'n>(names: &mut BTreeSet<String>, more: impl IntoIterator<Item = &'n String>) {
    for name in more {
        if !names.contains(name) {
            names.insert(name.clone());
        }
    }
}

/// Of two reasons the one that stands for both; most are the same text.
fn note_lack(lack: &mut Option<Missing>, more: Option<&Missing>) {
    let Some(more) = more else { return };
    let is_better = lack.as_ref().is_none_or(|lack| {
        !Arc::ptr_eq(&lack.why, &more.why) && (more.kind, &more.why) < (lack.kind, &lack.why)
    });
    if is_better {
        *lack = Some(more.clone());
    }
}
