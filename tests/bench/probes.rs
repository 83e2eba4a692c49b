//! What it costs to read the books of a live program: once its variables are found,
//! and to find them.

use std::hint::black_box;
use std::process::{Child, Command};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

use memgap_reader::memory::{Bounds, Live, Space};
use memgap_reader::probe::{Attached, Detail, Probes};
use memgap_reader::{Buf, Collector, Reader, Roots, WalkPolicy};
use memgap_tests::glibc::Library;
use memgap_tests::golang::{Build, toolchains};
use memgap_tests::java::machines;
use memgap_tests::jemalloc::jemallocs;
use memgap_tests::node::nodes;
use memgap_tests::python::pythons;
use memgap_tests::target::Target;
use rustix::time::{ClockId, clock_gettime};

fn golang(c: &mut Criterion) {
    let toolchain = toolchains().expect("tests/golang/fetch fetches them").pop().expect("many");
    let program = toolchain.build(Build::Stripped).expect("it builds");
    let target = Target::run(&program, &[("STEPS", "steady churn")]).expect("it runs");
    of_target(c, "go", &target);
}

fn hotspot(c: &mut Criterion) {
    let machines = machines().expect("tests/java/fetch fetches them");
    let machine = machines.iter().find(|m| m.release() == 17).expect("17 is among them");
    let collectors = ["Serial", "Parallel", "G1", "Z"];
    for collector in collectors {
        let flag = format!("-XX:+Use{collector}GC");
        // G1 has 1,024 regions then.
        let flags = [&flag, "-Xms1g", "-Xmx1g"];
        let mut command = machine.command(&flags, 100).expect("javac compiles it");
        let target = Target::spawn(&mut command).expect("it says its first word");
        of_target(c, &format!("hotspot/{collector}"), &target);
    }
}

/// On every collection, with a hundred free chunks or so; and every chunk of 1 GiB, of
/// which half a million are free.
fn glibc(c: &mut Criterion) {
    let run = |steps| {
        let mut command = Library::Own.malloc().expect("cc compiles it");
        Target::spawn(command.env("STEPS", steps)).expect("it says its first word")
    };
    of_target(c, "glibc", &run("last"));
    let target = run("large");
    let (memory, attached) = attach(&target, "glibc");
    let mut group = c.benchmark_group("glibc/1 GiB");
    group.sample_size(10);
    for (name, bounds, detail) in [
        ("read", Bounds::COUNTERS, Detail::Counters),
        ("every chunk", Bounds::PAGES, Detail::Pages),
    ] {
        let space = || Space::new(&memory, bounds);
        group.bench_function(name, |b| b.iter(|| attached.read(&space(), detail).expect("sound")));
    }
    group.finish();
}

fn cpython(c: &mut Criterion) {
    let pythons = pythons().expect("tests/python/fetch fetches them");
    let python = pythons.iter().find(|p| p.version == "3.11").expect("3.11 is among them");
    of_target(c, "cpython", &python.run(&[]).expect("it says its first word"));
}

fn v8(c: &mut Criterion) {
    // One call a chunk, and two.
    for node in nodes().expect("tests/node/fetch fetches them").iter().skip(2) {
        let target = node.run().expect("it says its first word");
        of_target(c, &format!("v8/node {}", node.version), &target);
    }
}

/// The memory of a target and its runtime of a name.
fn attach(target: &Target, name: &str) -> (Live, Attached) {
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let process = reader.open_process(target.pid()).expect("it runs");
    let found = Probes::default().attach(&process, &mut Buf::default());
    let mut found = found.expect("its maps are read").into_iter().flatten();
    let attached = found.find(|one| name.starts_with(one.probe()));
    let memory = Live::open(&process).expect("we may read it");
    (memory, attached.expect("its runtime"))
}

/// Finding the variables of the target's runtime, and reading its books.
fn of_target(c: &mut Criterion, name: &str, target: &Target) {
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let process = reader.open_process(target.pid()).expect("it runs");
    let (memory, attached) = attach(target, name);
    let mut buf = Buf::default();

    let mut group = c.benchmark_group(name);
    group.bench_function("find", |b| {
        b.iter(|| Probes::default().attach(&process, &mut buf).expect("its maps are read"));
    });
    group.bench_function("read", |b| {
        let space = || Space::new(&memory, Bounds::COUNTERS);
        b.iter(|| attached.read(&space(), Detail::Counters).expect("its rules hold"));
    });
    group.finish();
}

/// A thousand processes with the C library alone, whose files are known: the CPU time
/// that it takes to look at all, and that of a collection, which looks at those that are due.
fn nothing(c: &mut Criterion) {
    let sleepers = Sleepers::start(1000);
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let (probes, mut buf) = (Probes::default(), Buf::default());
    let mut group = c.benchmark_group("1000 sleepers");
    let mut look = || {
        let before = thread_cpu();
        for sleeper in &sleepers.0 {
            let process = reader.open_process(sleeper.id()).expect("it runs");
            black_box(probes.attach(&process, &mut buf).expect("its maps are read"));
        }
        thread_cpu().saturating_sub(before)
    };
    group.bench_function("looks", |b| b.iter_custom(|times| (0..times).map(|_| look()).sum()));
    let policy = WalkPolicy { budget_share: 0.0, ..WalkPolicy::default() };
    let mut collector = Collector::new(reader, policy).with_probe_share(1.0);
    let mut spent = || collector.collect().expect("procfs is readable").1.tier2.cpu;
    // Each is new twice.
    spent();
    spent();
    group.bench_function("a collection", |b| {
        b.iter_custom(|times| (0..times).map(|_| spent()).sum());
    });
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

/// One arena with its counters; without statistics the extents of 64 MiB, of which a
/// quarter is in slabs of one page.
fn jemalloc(c: &mut Criterion) {
    for one in jemallocs().expect("tests/jemalloc/fetch fetches them") {
        let target = one.start("narenas:1,dirty_decay_ms:-1").expect("it says its first word");
        let name = format!("jemalloc/{} {}", one.version, one.kind);
        let (memory, attached) = attach(&target, "jemalloc");
        let space = || Space::new(&memory, Bounds::COUNTERS);
        c.bench_function(&name, |b| {
            b.iter(|| attached.read(&space(), Detail::Counters).expect("its rules hold"));
        });
    }
}

criterion_group!(benches, nothing, golang, hotspot, glibc, cpython, v8, jemalloc);
criterion_main!(benches);
