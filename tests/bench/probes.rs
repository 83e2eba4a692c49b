//! What it costs to read the books of a live program: once its variables are found,
//! and to find them.

use criterion::{Criterion, criterion_group, criterion_main};

use memgap_reader::memory::{Bounds, Live, Space};
use memgap_reader::probe::{Detail, Probes};
use memgap_reader::{Buf, Reader, Roots};
use memgap_tests::java::machines;
use memgap_tests::target::Target;

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
        let reader = Reader::open(Roots::default()).expect("procfs is mounted");
        let process = reader.open_process(target.pid()).expect("it runs");
        let memory = Live::open(&process).expect("we may read it");
        let mut buf = Buf::default();

        let mut group = c.benchmark_group(format!("hotspot/{collector}"));
        group.bench_function("find", |b| {
            b.iter(|| Probes::default().attach(&process, &mut buf).expect("its maps are read"));
        });
        let found = Probes::default().attach(&process, &mut buf).expect("its maps are read");
        let attached = found.into_iter().flatten().next().expect("its libjvm");
        group.bench_function("read", |b| {
            let space = || Space::new(&memory, Bounds::COUNTERS);
            b.iter(|| attached.read(&space(), Detail::Counters).expect("its rules hold"));
        });
        group.finish();
    }
}

criterion_group!(benches, hotspot);
criterion_main!(benches);
