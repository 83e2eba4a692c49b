//! The scenarios, and what they all need.

mod ballast;
mod kept;

mod muzzy;
mod page_cache;
mod reuse;

use std::path::Path;

use memgap_ledger::{CgroupLedger, Figure, Missing, ProcessLedger};

use super::cgroup::{Cgroup, Home};
use super::child::{Child, Word};
use super::signals::Signals;
use super::story::Story;
use super::target::{LIMIT, Program};
use super::{Explain, Stop};

/// One thing to show.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line: what is seen.
    pub title: &'static str,
    /// Runs it.
    pub play: fn(&Stage<'_>) -> Result<Story, Stop>,
}

/// Every scenario, in the order of the telling.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "muzzy",
        title: "a program frees 200 MiB, and its RSS does not fall",
        play: muzzy::play,
    },
    Scenario {
        name: "reuse",
        title: "the same usage, the same working set, and one will be killed",
        play: reuse::play,
    },
    Scenario { name: "ballast", title: "1 GiB more VSZ that costs nothing", play: ballast::play },
    Scenario {
        name: "kept",
        title: "a program frees two pieces of three, and its RSS does not fall",
        play: kept::play,
    },
    Scenario {
        name: "page-cache",
        title: "a file of 128 MiB is read, and counts as used memory",
        play: page_cache::play,
    },
];

/// What scenarios play on: the reader, the signals, a home for cgroups.
pub struct Stage<'a> {
    explain: &'a Explain<'a>,
    signals: Signals,
    home: Result<Home, String>,
}

impl<'a> Stage<'a> {
    /// Finds out what this machine offers.
    pub fn set(explain: &'a Explain<'a>, signals: Signals) -> Self {
        let home = explain.own.as_ref().map_err(ToString::to_string).and_then(Home::find);
        Self { explain, signals, home }
    }

    fn child(&self, program: Program, malloc: &str) -> Result<Child<'_>, Stop> {
        Child::start(program, malloc, Path::new("."), &self.signals)
    }

    /// Puts a child into a cgroup with the limit [`LIMIT`], where there can be one.
    fn enclose<'s>(&self, name: &str, child: Child<'s>) -> Enclosed<'s> {
        let make = || {
            let cgroup = self.home.as_ref().map_err(Clone::clone)?.cgroup(name, LIMIT)?;
            cgroup.admit(child.pid())?;
            Ok(cgroup)
        };
        let cgroup = make();
        Enclosed { child, cgroup }
    }

    fn process(&self, child: &Child<'_>) -> Result<ProcessLedger, Stop> {
        (self.explain.process)(child.pid()).map_err(|m| failed(&m))
    }

    fn cgroup(&self, cgroup: &Cgroup) -> Result<CgroupLedger, Stop> {
        (self.explain.cgroup)(&cgroup.path).map_err(|m| failed(&m))
    }
}

/// A child in its cgroup, or why it is in none. Dropped in this order: a cgroup
/// can not be removed before its processes ended.
struct Enclosed<'a> {
    child: Child<'a>,
    cgroup: Result<Cgroup, String>,
}

/// A program's own figure, absent where it did not tell it.
fn own(word: &Word, name: &str) -> Figure {
    word.get(name).map_or(Figure::Absent, |bytes| Figure::Exact(*bytes))
}

/// A size of ours as an amount.
fn bytes(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The difference of two figures' points.
fn less(a: Figure, b: Figure) -> Figure {
    match (a.point(), b.point()) {
        (Some(a), Some(b)) => Figure::Exact(a.saturating_sub(b)),
        _ => Figure::Absent,
    }
}

fn failed(missing: &Missing) -> Stop {
    Stop::Fail(format!("memgap can not explain its program: {missing}"))
}
