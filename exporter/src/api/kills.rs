//! The last ledgers of cgroups in which the OOM killer ended something: of what was there
//! before, which nothing can read any more.

mod kept;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use memgap_json::last_ledger::{self, Before};
use memgap_ledger::{CgroupLedger, ProcessLedger};

use crate::homes::with_ledgers;
pub use kept::Item;
use kept::Kept;
use watch::{Seen, Watch};

/// Of the time, the part that reading the kernel's log may take: a fiftieth.
const LOG_PART: u32 = 50;

/// For how long a collection may have read before the look: who was there when it was read
/// may have gone before the look.
const READING: Duration = Duration::from_secs(1);

/// Looks for kills, and keeps what was known before them.
#[derive(Debug)]
pub struct Kills {
    watch: Watch,
    kept: Kept,
    looked: Instant,
    /// When the kernel's log may be read again.
    next_log: Instant,
}

/// What was known of a cgroup before.
#[derive(Debug)]
pub struct Last<'l> {
    /// When.
    pub at: SystemTime,
    /// Its ledger.
    pub ledger: &'l CgroupLedger,
    /// Its processes.
    pub processes: Vec<&'l ProcessLedger>,
}

impl Kills {
    /// Nothing is known yet; what is kept takes so many bytes at most.
    pub fn new(max_bytes: usize) -> Self {
        let now = Instant::now();
        Self { watch: Watch::default(), kept: Kept::new(max_bytes), looked: now, next_log: now }
    }

    /// Looks for kills since the last look. `log` tells of which cgroups the kernel's log says
    /// that something was killed in so much time until now, and `last` what was known of one.
    pub fn look<'l>(
        &mut self,
        cgroups: &[Arc<CgroupLedger>],
        now: SystemTime,
        log: impl FnOnce(Duration) -> Vec<String>,
        last: impl Fn(&str) -> Option<Last<'l>>,
    ) {
        let began = Instant::now();
        let since = began - self.looked;
        self.looked = began;
        let next_log = &mut self.next_log;
        let log = || {
            if *next_log > began {
                return Vec::new();
            }
            let killed = log(since + READING);
            *next_log = Instant::now() + began.elapsed() * LOG_PART;
            killed
        };
        for noticed in self.watch.look(&seen(cgroups), log) {
            let Some(Last { at, ledger, processes }) = last(&noticed.path) else { continue };
            let number = self.kept.number();
            let before = Before { at, ledger, processes: &processes };
            let document = last_ledger::document(number, now, &noticed.evidence, &before);
            let mut bytes = Vec::new();
            if document.write(&mut bytes).is_ok() {
                self.kept.keep(number, now, Arc::new(ledger.clone()), bytes);
            }
        }
        self.kept.expire(now);
    }

    /// What is kept, the last first.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.kept.items()
    }

    /// How many were given up, before their time was over, for want of room.
    pub fn left_out(&self) -> u64 {
        self.kept.left_out()
    }
}

fn seen(cgroups: &[Arc<CgroupLedger>]) -> Vec<Seen<'_>> {
    let homes: std::collections::BTreeSet<&str> =
        with_ledgers(cgroups).map(|cgroup| cgroup.path.as_str()).collect();
    cgroups
        .iter()
        .map(|cgroup| Seen {
            path: &cgroup.path,
            kills: cgroup.events.oom_kills.as_ref().ok().copied(),
            version: cgroup.version,
            is_home: homes.contains(cgroup.path.as_str()),
            is_leaf: cgroup.leaf,
            is_limited: cgroup.room.is_ok(),
        })
        .collect()
}
