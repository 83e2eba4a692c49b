//! Runtimes and allocators whose own statistics were read.

use std::fmt;
use std::time::Duration;

use crate::fact::Missing;
use crate::figure::{difference, signed};

/// A runtime or allocator in a process, in the words of its own statistics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Runtime {
    /// Stable lower-case name, the owner of its claims: `go`, `hotspot`, `glibc`.
    pub name: String,
    /// Its version, where the program tells it.
    pub version: Option<String>,
    /// The file that holds it, made printable.
    pub file: String,
    /// How long before the sample its heap statistics were read.
    pub age: Duration,
    /// Heap memory in use, in bytes of address space; `None` where its heap statistics were
    /// found and tell no amount.
    pub in_use: Option<u64>,
    /// The least and the most that it can be, where the heap statistics were read in part or
    /// changed meanwhile.
    pub in_use_bounds: Option<(u64, u64)>,
    /// Of that, what objects take: the rest are the ends of their size classes.
    pub objects: Option<u64>,
    /// Heap memory that it keeps free, resident or given back.
    pub free: Option<u64>,
    /// Of that, what it gave back to the kernel.
    pub released: Option<u64>,
    /// Of what it gave back, what the kernel may take when it needs it (`MADV_FREE`):
    /// still resident where it has not, or where it was written again.
    pub lazily_freed: Option<u64>,
    /// Of that, what still is in memory, where every page was looked at.
    pub lazily_freed_resident: Option<u64>,
    /// Of what is free and was not given back, what it could give back, in whole pages.
    pub trimmable: Option<u64>,
    /// Stacks that it manages itself: of goroutines, of green threads.
    pub stacks: Option<u64>,
    /// What the answer rests on: how the heap statistics were found, which rules they keep.
    pub evidence: Vec<String>,
    /// Its garbage collector, if it has one.
    pub gc: Option<Gc>,
    /// What the program's own endpoint says, where it was asked too.
    pub second_source: Option<SecondSource>,
}

/// A runtime or allocator that is in a process, and whose heap statistics were not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Stable lower-case name; empty where it is not known what is in the process.
    pub name: String,
    /// The file or mapping that shows it, made printable; empty where there is none.
    pub file: String,
    /// Why they were not.
    pub why: Missing,
    /// Whether its heap lies in the memory of another allocator. Then no memory of the
    /// process is left out with it.
    pub within_another: bool,
}

/// A runtime or allocator of a process, or what is known of one that was not read.
pub type Found = Result<Runtime, Unread>;

/// What a second source says is in use, where the first was a probe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecondSource {
    /// The endpoint's address.
    pub name: String,
    /// Bytes in use by its word.
    pub in_use: u64,
    /// Its word less the probe's: what changed between the two readings, at best.
    pub differs_by: i64,
}

/// What a garbage collector says of itself; `None` is what it does not tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Gc {
    /// Which collector, where a runtime has several: `G1`, `ZGC`.
    pub name: Option<String>,
    /// Collections since the start.
    pub cycles: Option<u64>,
    /// Time that the program was stopped for since the start.
    pub paused: Option<Duration>,
    /// Bytes that survived the last collection.
    pub live: Option<u64>,
    /// Bytes at which the next collection begins.
    pub goal: Option<u64>,
    /// Growth over the live heap that begins a collection, in percent (`GOGC`).
    pub percent: Option<u32>,
    /// Bytes that it was configured to stay below (`GOMEMLIMIT`, `-Xmx`).
    pub limit: Option<u64>,
    /// What it did lately, where it was read twice.
    pub recent: Option<RecentGc>,
}

/// What a garbage collector did between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecentGc {
    /// Collections.
    pub cycles: u64,
    /// The time between the readings.
    pub over: Duration,
}

impl RecentGc {
    /// Collections a minute, rounded down; `None` where no time has passed.
    pub fn per_minute(&self) -> Option<u64> {
        let minute = u128::from(self.cycles) * Duration::from_mins(1).as_nanos();
        u64::try_from(minute.checked_div(self.over.as_nanos())?).ok()
    }
}

impl Runtime {
    /// A runtime of which nothing but its name is known.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: None,
            file: String::new(),
            age: Duration::ZERO,
            in_use: None,
            in_use_bounds: None,
            objects: None,
            free: None,
            released: None,
            lazily_freed: None,
            lazily_freed_resident: None,
            trimmable: None,
            stacks: None,
            evidence: Vec::new(),
            gc: None,
            second_source: None,
        }
    }
}

impl Unread {
    /// What keeps the whole process from being looked at.
    pub fn process(why: Missing) -> Self {
        Self { name: String::new(), file: String::new(), why, within_another: false }
    }

    /// The lack, named after the runtime and the file that it is of.
    pub fn missing(&self) -> Missing {
        if self.name.is_empty() {
            return self.why.clone();
        }
        Missing::new(self.why.kind, self.to_string())
    }
}

impl std::error::Error for Unread {}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name.is_empty(), self.file.is_empty()) {
            (true, _) => write!(f, "{}", self.why),
            (false, true) => write!(f, "{}: {}", self.name, self.why),
            (false, false) => write!(f, "{} in {}: {}", self.name, self.file, self.why),
        }
    }
}

/// By how much in use may be below and above what all heap statistics together tell.
pub(crate) fn left_open(runtimes: &[Found]) -> (i64, i64) {
    let open = |runtime: &Runtime| {
        let (in_use, (low, high)) = (runtime.in_use?, runtime.in_use_bounds?);
        Some((in_use.saturating_sub(low), high.saturating_sub(in_use)))
    };
    let sum =
        |(below, above): (u64, u64), (b, a)| (below.saturating_add(b), above.saturating_add(a));
    let (below, above) = runtimes.iter().flatten().filter_map(open).fold((0, 0), sum);
    (signed(below), signed(above))
}

/// What of in use was not there after the last garbage collections, as far as they tell: less
/// than nothing where they count what is live more widely.
pub(crate) fn since_gc(runtimes: &[Runtime]) -> i64 {
    let since = |runtime: &Runtime| Some(difference(runtime.in_use?, runtime.gc.as_ref()?.live?));
    runtimes.iter().filter_map(since).fold(0, i64::saturating_add)
}
