//! Harm: what a thousand looks into a program change for it and its cgroup. A twin
//! that nobody looks into tells what would have been without them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use memgap_ledger::{Missing, Runtime};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;

use crate::findings::Findings;
use crate::group::Group;
use crate::kernel;

const KIB: i64 = 1024;
const LOOKS: usize = 1000;
/// Looks that may run out of time before the books are found.
const TRIES: usize = 16;
/// What a look reads: pages of counters. The heap has a thousand times as many.
const COUNTERS: i64 = 64 * KIB;
/// Updates that wait in per-CPU batches: of lists, and of their counters.
const BATCHES: i64 = 256 * KIB;
/// What is swapped out, by whatever way the kernel chooses.
const SWAPPED: i64 = 24 << 20;

/// A program whose books a probe reads.
pub struct Program {
    /// The name of its runtime or allocator.
    pub runtime: &'static str,
    /// What starts it; it says a line when it is ready.
    pub words: &'static [&'static str],
    /// What stands in its environment.
    pub environment: &'static [(&'static str, &'static str)],
    /// The line that makes it free memory; it says a line when it has.
    pub free: &'static str,
    /// Whether it leaves what it freed to the kernel to take.
    pub frees_lazily: bool,
}

/// Looks into one of two and requires that the kernel tells no difference.
pub fn check(program: &Program, findings: &mut Findings) -> Result<()> {
    let mut twin = Twin::start("twin", program)?;
    let mut probed = Twin::start("probed", program)?;
    let reader = Reader::open(Roots::default())?;
    // Finding the books reads more than they take; it is done once for each file.
    for tries in 1.. {
        if look(&reader, &probed, program)? {
            break;
        }
        ensure!(tries < TRIES, "the books of {} are not found", program.runtime);
    }
    for one in [&mut twin, &mut probed] {
        one.press(program)?;
        one.forget()?;
        one.settle()?;
    }
    let (process, lists, unprobed) = (probed.process()?, probed.lists()?, twin.lists()?);
    let mut answered = 0;
    for _ in 0..LOOKS {
        answered += usize::from(look(&reader, &probed, program)?);
    }
    findings.figures.push(format!("looks {answered}"));
    ensure!(answered > LOOKS / 2, "{answered} of {LOOKS} looks were answered");
    for (name, is) in probed.process()? {
        let tolerance = match name {
            "Referenced" => COUNTERS,
            "LazyFree" => BATCHES,
            _ => 0,
        };
        findings.near(name, is, process[name], tolerance);
    }
    let looked = probed.lists()?;
    for (name, was) in &lists {
        findings.near(name, looked[name], *was, BATCHES);
    }
    for one in [&twin, &probed] {
        one.age()?;
        one.age()?;
    }
    let (aged, unprobed_aged) = (probed.lists()?, twin.lists()?);
    for (name, was) in &lists {
        // Without generations it takes reclaim to age, and how much that frees is its
        // own affair: what it finds referenced it makes active.
        if kernel::has_generations() || name.starts_with("active") {
            let moved = unprobed_aged[name] - unprobed[name];
            findings.near(&format!("aged {name}"), aged[name] - was, moved, BATCHES);
        }
    }
    probed.touch(findings)
}

/// Reads the books as collections do. A look of a busy machine may run out of time;
/// then the next one answers.
fn look(reader: &Reader, probed: &Twin, program: &Program) -> Result<bool> {
    let sample = reader.process(probed.group.pid(), Depth::Runtimes)?;
    let is_it = |books: &Runtime| books.name == program.runtime && books.in_use.is_some();
    let out_of_time = |why: &Missing| why.why.contains("bound of time");
    let found = sample.runtimes.iter().flatten().any(is_it);
    let refused = sample.runtimes.iter().any(|one| one.as_ref().is_err_and(out_of_time));
    ensure!(found || refused, "{} is not read: {:?}", program.runtime, sample.runtimes);
    Ok(found)
}

/// A program in a cgroup of its own.
struct Twin {
    /// Goes on before the group ends.
    frozen: Option<Frozen>,
    group: Group,
}

impl Twin {
    fn start(name: &str, program: &Program) -> Result<Self> {
        let mut group = Group::running(name, program.words, program.environment)?;
        group.set("memory.swap.max", "max")?;
        group.hear()?;
        Ok(Self { frozen: None, group })
    }

    /// Has some of its memory swapped out and some freed, and the program stand still.
    fn press(&mut self, program: &Program) -> Result<()> {
        self.group.reclaim(SWAPPED)?;
        self.group.say(program.free)?;
        self.group.hear()?;
        self.frozen = Some(Frozen::stop(self.group.pid())?);
        let process = self.process()?;
        let is_so = process["VmSwap"] > 0 && (process["LazyFree"] > 0) == program.frees_lazily;
        ensure!(is_so, "its memory is not as it was to be: {process:?}");
        Ok(())
    }

    /// Has the kernel forget which pages were referenced.
    fn forget(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.group.pid());
        fs::write(&path, "1").with_context(|| format!("failed to write {path}"))
    }

    /// What the kernel says of the process.
    fn process(&self) -> Result<BTreeMap<&'static str, i64>> {
        let pid = self.group.pid();
        let mut figures = BTreeMap::new();
        for name in ["VmRSS", "VmPTE", "VmSwap"] {
            figures.insert(name, kernel::status(pid, name)?);
        }
        for name in ["Rss", "LazyFree", "Referenced"] {
            figures.insert(name, kernel::smaps(pid, name)?);
        }
        Ok(figures)
    }

    /// What the kernel says of its cgroup.
    fn lists(&self) -> Result<BTreeMap<&'static str, i64>> {
        let stat = self.group.stat()?;
        let mut figures = BTreeMap::new();
        for name in ["active_anon", "inactive_anon", "active_file", "inactive_file"] {
            figures.insert(name, stat.get(name)?);
        }
        figures.insert("working set", self.group.usage()? - stat.get("inactive_file")?);
        Ok(figures)
    }

    /// Ages it until nothing moves any more: there are four generations. Without
    /// them nothing moves unless reclaim is asked for.
    fn settle(&self) -> Result<()> {
        let rounds = if kernel::has_generations() { 4 } else { 0 };
        (0..rounds).try_for_each(|_| self.age())
    }

    /// Has the kernel look which pages were referenced.
    fn age(&self) -> Result<()> {
        if kernel::has_generations() { self.group.age() } else { self.group.reclaim(2 << 20) }
    }

    /// That these figures would tell: a read of memory in use shows in them.
    fn touch(&self, findings: &mut Findings) -> Result<()> {
        let pid = self.group.pid();
        let before = self.process()?["Referenced"];
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut page = [0];
        for address in kernel::present(pid)? {
            // Pages of the kernel's are mapped too, and refuse.
            let _ = memory.read_at(&mut page, address);
        }
        let seen = self.process()?["Referenced"] - before;
        findings.note("seen", seen);
        ensure!(seen > 8 << 20, "reading all of it shows {seen} bytes in Referenced");
        Ok(())
    }
}
