//! CPU time that it takes to read the heap statistics of a live program: once its variables are
//! found, and to find them. A target runs only where one of its rows is asked for.

use std::cell::LazyCell;
use std::hint::black_box;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use memgap_kernel::memory::{Bounds, Live, Space};
use memgap_kernel::{Buf, Process};
use memgap_probes::{Attached, Detail, HeapStatistics, Probes};
use memgap_reader::{Collector, Reader, Roots, WalkPolicy};
use rustix::time::{ClockId, clock_gettime};

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use memgap_tests::glibc::Library;
use memgap_tests::golang::{Build, toolchains};
use memgap_tests::java::machines;
use memgap_tests::jemalloc::jemallocs;
use memgap_tests::node::nodes;
use memgap_tests::python::pythons;
use memgap_tests::target::{Target, compiled_with};

fn golang(c: &mut Criterion) {
    let target = || {
        let toolchain = toolchains().expect("tests/golang/fetch fetches them").pop();
        let program = toolchain.expect("many").build(Build::Stripped).expect("it builds");
        Target::run(&program, &[("STEPS", "steady churn")]).expect("it runs")
    };
    rows(c, "go", "go", &[Row::Find, Row::Again], target);
}

fn hotspot(c: &mut Criterion) {
    for collector in ["Serial", "Parallel", "G1", "Z"] {
        let target = || {
            let machines = machines().expect("tests/java/fetch fetches them");
            let machine = machines.iter().find(|m| m.release() == 17).expect("17 is among them");
            // G1 has 1,024 regions then.
            let flags = [&*format!("-XX:+Use{collector}GC"), "-Xms1g", "-Xmx1g"];
            let mut command = machine.command(&flags, 100).expect("javac compiles it");
            Target::spawn(&mut command).expect("it says its first word")
        };
        rows(c, &format!("hotspot/{collector}"), "hotspot", &[Row::Find, Row::Again], target);
    }
}

/// With a hundred free chunks or so; and 1 GiB, of whose million chunks half are free.
fn glibc(c: &mut Criterion) {
    for (name, steps, more) in [("glibc", "last", Row::Find), ("glibc 1 GiB", "large", Row::Deep)] {
        let target = || {
            let mut command = Library::Own.malloc().expect("cc compiles it");
            Target::spawn(command.env("STEPS", steps)).expect("it says its first word")
        };
        rows(c, name, "glibc", &[Row::First, Row::Again, more], target);
    }
}

/// One arena with its counters; without statistics the extents of 64 MiB, of which a
/// quarter is in slabs of one page.
fn jemalloc(c: &mut Criterion) {
    for one in jemallocs().expect("tests/jemalloc/fetch fetches them") {
        let name = format!("jemalloc/{} {}", one.version, one.kind);
        let target = || one.start("narenas:1,dirty_decay_ms:-1").expect("it says its first word");
        rows(c, &name, "jemalloc", &[Row::Again], target);
    }
}

/// Some 80 MiB of small objects.
fn cpython(c: &mut Criterion) {
    for python in pythons().expect("tests/python/fetch fetches them") {
        let name = format!("cpython/{}", python.version);
        let target = || python.run(&[]).expect("it says its first word");
        rows(c, &name, "cpython", &[Row::Find, Row::Again, Row::Deep], target);
    }
}

/// Some 70 MiB of objects.
fn v8(c: &mut Criterion) {
    for node in nodes().expect("tests/node/fetch fetches them") {
        let name = format!("v8/node {}", node.version);
        let target = || node.run().expect("it says its first word");
        rows(c, &name, "v8", &[Row::Find, Row::Again, Row::Deep], target);
    }
}

/// 50,000 blocks of up to half a KiB.
fn musl(c: &mut Criterion) {
    // What `musl-gcc` gives to the compiler.
    let specs = Path::new("/usr/lib/x86_64-linux-musl/musl-gcc.specs").display();
    let target = || {
        let program = compiled_with("blocks", "musl", &[&format!("-specs={specs}")]);
        Target::run(&program.expect("tests/install installs musl"), &[]).expect("it runs")
    };
    rows(c, "musl", "musl", &[Row::Find, Row::Again], target);
}

/// What is measured of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// Finding what runtimes it has, and the variables of each.
    Find,
    /// A reading of its heap statistics, of which nothing is known yet but where they are.
    First,
    /// Another reading, where the first may have left something to start from.
    Again,
    /// A reading for a person, of everything.
    Deep,
}

/// Measures a target that has the runtime of a probe.
fn rows(
    c: &mut Criterion,
    name: &str,
    probe: &'static str,
    rows: &[Row],
    target: impl FnOnce() -> Target,
) {
    let probed = LazyCell::new(|| Probed::of(target(), probe));
    let mut group = c.benchmark_group(name);
    for row in rows {
        let (label, detail) = match row {
            Row::Find => ("find", None),
            Row::First => ("first", None),
            Row::Again => ("again", Some(Detail::Counters)),
            Row::Deep => ("deep", Some(Detail::Pages)),
        };
        // Some take a quarter of a second.
        group.sample_size(if *row == Row::Deep { 20 } else { 100 });
        group.bench_function(label, |b| match (row, detail) {
            (_, Some(detail)) => {
                let attached = probed.attach();
                probed.read(&attached, detail);
                by_cpu(b, || (), |()| probed.read(&attached, detail));
            }
            (Row::Find, _) => by_cpu(b, Probes::default, |probes| probed.attached_by(&probes)),
            (_, None) => {
                by_cpu(b, || probed.attach(), |one| probed.read(&one, Detail::Counters));
            }
        });
    }
    group.finish();
}

/// Measures the CPU time of `work`, without that of what it works on.
fn by_cpu<T, R>(b: &mut Bencher<'_>, setup: impl Fn() -> T, work: impl Fn(T) -> R) {
    let once = || {
        let given = setup();
        let before = thread_cpu();
        black_box(work(given));
        thread_cpu().saturating_sub(before)
    };
    b.iter_custom(|times| (0..times).map(|_| once()).sum());
}

/// A target that can be read.
struct Probed {
    _target: Target,
    process: Process,
    memory: Live,
    probe: &'static str,
    probes: Probes,
}

impl Probed {
    fn of(target: Target, probe: &'static str) -> Self {
        let reader = Reader::open(Roots::default()).expect("procfs is mounted");
        let process = reader.open_process(target.pid()).expect("it runs");
        let memory = Live::open(&process).expect("we may read it");
        Self { _target: target, process, memory, probe, probes: Probes::default() }
    }

    /// The runtime, of which no reading was made.
    fn attach(&self) -> Attached {
        self.attached_by(&self.probes).expect("its runtime")
    }

    fn attached_by(&self, probes: &Probes) -> Option<Attached> {
        let found = probes.attach(&self.process, &mut Buf::default());
        let mut found = found.expect("its maps are read").into_iter().flatten();
        found.find(|one| one.probe() == self.probe)
    }

    fn read(&self, attached: &Attached, detail: Detail) -> HeapStatistics {
        let bounds = match detail {
            Detail::Counters => Bounds::COUNTERS,
            Detail::Pages => Bounds::PAGES,
        };
        // Other programs may have the processor for long.
        let bounds = Bounds { time: Duration::from_mins(1), ..bounds };
        attached.read(&Space::new(&self.memory, bounds), detail).expect("its rules hold")
    }
}

/// A thousand processes with the C library alone, whose files are known: to look at all
/// of them, and a collection, which looks at those that are due and reads all heap statistics.
fn nothing(c: &mut Criterion) {
    let sleepers = LazyCell::new(|| Sleepers::start(1000));
    let open = || Reader::open(Roots::default()).expect("procfs is mounted");
    let mut group = c.benchmark_group("1000 sleepers");
    group.sample_size(20);
    group.bench_function("looks", |b| {
        let (reader, probes, mut buf) = (open(), Probes::default(), Buf::default());
        let mut look = || {
            let before = thread_cpu();
            for sleeper in &sleepers.0 {
                let process = reader.open_process(sleeper.id()).expect("it runs");
                black_box(probes.attach(&process, &mut buf).expect("its maps are read"));
            }
            thread_cpu().saturating_sub(before)
        };
        b.iter_custom(|times| (0..times).map(|_| look()).sum());
    });
    for (name, share) in [("a collection's looks", 0.0), ("a collection's heap statistics", 1.0)] {
        group.bench_function(name, |b| {
            LazyCell::force(&sleepers);
            let policy = WalkPolicy { budget_share: 0.0, ..WalkPolicy::default() };
            let mut collector = Collector::new(open(), policy).with_probe_share(share);
            let mut spent = || collector.collect().expect("procfs is readable").1.tier2.cpu;
            // Each is new twice.
            spent();
            spent();
            b.iter_custom(|times| (0..times).map(|_| spent()).sum());
        });
    }
    group.finish();
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it is not negative")
}

/// Processes that end with the value.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn start(count: usize) -> Self {
        let start = || Command::new("sleep").arg("600").spawn().expect("sleep runs");
        Self((0..count).map(|_| start()).collect())
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for sleeper in &mut self.0 {
            let _ = sleeper.kill();
            let _ = sleeper.wait();
        }
    }
}

criterion_group!(benches, nothing, golang, hotspot, glibc, jemalloc, cpython, v8, musl);
criterion_main!(benches);
