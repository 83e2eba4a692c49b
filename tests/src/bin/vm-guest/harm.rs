//! Harm: what a thousand looks into a program change for it and its cgroup. A twin
//! that nobody looks into tells what would have been without them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use memgap_kernel::Buf;
use memgap_kernel::memory::{Bounds, Live, Space};
use memgap_probes::{Attached, Detail, Probes};
use memgap_reader::{Reader, Roots};

use crate::findings::Findings;
use crate::group::Group;
use crate::kernel;
use anyhow::{Context, Result, bail, ensure};
use memgap_tests::frozen::Frozen;

const KIB: i64 = 1024;
const LOOKS: usize = 1000;
/// Looks that may run out of time before the heap statistics are found.
const TRIES: usize = 16;
/// What a look reads of counters. The heap has a thousand times as many pages.
pub const COUNTERS: i64 = 64 * KIB;
/// Updates that wait in per-CPU batches: of lists, and of their counters.
const BATCHES: i64 = 256 * KIB;
/// What is swapped out at the least, and what is asked for at once.
const SWAPPED: i64 = 16 << 20;
const REQUEST: i64 = 1 << 20;

/// A program whose heap statistics a probe reads.
pub struct Program {
    /// The name of its runtime or allocator.
    pub runtime: &'static str,
    /// What starts it; it says a line when it is ready.
    pub words: &'static [&'static str],
    /// What stands in its environment.
    pub environment: &'static [(&'static str, &'static str)],
    /// The lines that make it free memory; it says a line when it has.
    pub free: &'static [&'static str],
    /// Whether it leaves what it freed to the kernel to take.
    pub frees_lazily: bool,
    /// What a look may reference, in bytes.
    pub reads: i64,
}

/// Looks into one of two and requires that the kernel tells no difference.
pub fn check(program: &Program, findings: &mut Findings) -> Result<()> {
    let mut twin = Twin::start("twin", program)?;
    let mut probed = Twin::start("probed", program)?;
    // Finding the heap statistics reads more than they take; it is done once for each file.
    let mut looks = Looks::new(program.runtime, probed.group.pid())?;
    for one in [&mut twin, &mut probed] {
        one.press(program)?;
    }
    // What the last step left is read before the pages that it takes are counted.
    looks.answered()?;
    for one in [&twin, &probed] {
        one.forget()?;
        one.settle()?;
    }
    let (process, lists, unprobed) = (probed.process()?, probed.lists()?, twin.lists()?);
    let mut answered = 0;
    for _ in 0..LOOKS {
        answered += usize::from(looks.look()?);
    }
    findings.figures.push(format!("looks {answered}"));
    ensure!(answered > LOOKS / 2, "{answered} of {LOOKS} looks were answered");
    for (name, is) in probed.process()? {
        let tolerance = match name {
            "Referenced" => program.reads,
            "LazyFree" => BATCHES,
            _ => 0,
        };
        findings.near(name, is, process[name], tolerance);
    }
    let tolerance = BATCHES + program.reads;
    let looked = probed.lists()?;
    for (name, was) in &lists {
        findings.near(name, looked[name], *was, tolerance);
    }
    for one in [&twin, &probed] {
        one.age()?;
        one.age()?;
    }
    let (aged, unprobed_aged) = (probed.lists()?, twin.lists()?);
    for (name, was) in &lists {
        let moved = unprobed_aged[name] - unprobed[name];
        let what = format!("aged {name}");
        // How much moves besides is the kernel's affair, and without generations that of
        // reclaim, for it takes that to age. What it finds referenced is active then.
        if kernel::has_generations() || name.starts_with("active") {
            findings.at_most(&what, aged[name] - was, moved.max(0) + tolerance);
        }
    }
    probed.touch(program, findings)
}

/// Reads the heap statistics of a program as collections do: found once, then read again and again.
struct Looks {
    memory: Live,
    statistics: Attached,
}

impl Looks {
    fn new(runtime: &str, pid: u32) -> Result<Self> {
        let process = Reader::open(Roots::default())?.open_process(pid)?;
        let memory = Live::open(&process)?;
        let (probes, mut buf) = (Probes::default(), Buf::default());
        // A look of a busy machine may run out of time; then the next one answers.
        for _ in 0..TRIES {
            let found = probes.attach(&process, &mut buf)?;
            let it = found.into_iter().flatten().find(|statistics| statistics.probe() == runtime);
            if let Some(statistics) = it {
                let mut looks = Self { memory, statistics };
                looks.answered()?;
                return Ok(looks);
            }
        }
        bail!("the heap statistics of {runtime} are not found");
    }

    /// Looks until that is answered.
    fn answered(&mut self) -> Result<()> {
        for _ in 0..TRIES {
            if self.look()? {
                return Ok(());
            }
        }
        bail!("no look is answered in time");
    }

    /// Whether the heap statistics were read, and not out of time.
    fn look(&mut self) -> Result<bool> {
        let space = Space::new(&self.memory, Bounds::COUNTERS);
        match self.statistics.read(&space, Detail::Counters) {
            Ok(statistics) => {
                ensure!(statistics.runtime.in_use.is_some(), "they tell nothing: {statistics:?}");
                Ok(true)
            }
            Err(lack) if lack.to_string().contains("bound of time") => Ok(false),
            Err(lack) => Err(lack.into()),
        }
    }
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
        group.add_report()?;
        Ok(Self { frozen: None, group })
    }

    /// Has some of its memory swapped out and some freed, and the program stand still.
    fn press(&mut self, program: &Program) -> Result<()> {
        // The kernel takes more at once than it is asked for.
        for _ in 0..SWAPPED / REQUEST {
            if kernel::status(self.group.pid(), "VmSwap")? >= SWAPPED {
                break;
            }
            self.group.reclaim(REQUEST)?;
        }
        for line in program.free {
            self.group.say(line)?;
            self.group.add_report()?;
        }
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
        for name in ["Rss", "LazyFree"] {
            figures.insert(name, kernel::smaps(pid, name)?);
        }
        figures.insert("Referenced", kernel::referenced(pid)?);
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
    fn touch(&self, program: &Program, findings: &mut Findings) -> Result<()> {
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
        ensure!(seen > 4 * program.reads, "reading all of it shows {seen} bytes in Referenced");
        Ok(())
    }
}
