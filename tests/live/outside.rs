//! Memory outside of a collected heap, and of several allocators: found by the runtimes' own
//! words, and gone where the program takes the remedy.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memgap_ledger::finding::{self, Finding, Subject};
use memgap_ledger::process;
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::golang::{Build, toolchains};
use memgap_tests::java::machine;
use memgap_tests::jemalloc::jemallocs;
use memgap_tests::node::nodes;
use memgap_tests::target::{Target, compiled};

const MIB: i64 = 1 << 20;

fn look(target: &Target, id: &str) -> Result<Option<Finding>> {
    let made =
        process::ledger(&Reader::open(Roots::default())?.process(target.pid(), Depth::Full)?);
    let found = finding::findings(Subject::Process(&made));
    println!("{} {}: {:?} {found:#?}", made.name, made.pid, made.owners);
    Ok(found.into_iter().find(|finding| finding.id == id))
}

/// What is said to lie outside holds what does by the runtime's own words, and no more than the
/// runtime itself takes beside it.
fn assert_outside(found: &Finding, said: i64, own: i64) -> Result<()> {
    let (low, high) = found.bytes.bounds().context("an amount")?;
    assert!(high >= said - MIB && low <= said + own, "{said}: {found:?}");
    Ok(())
}

#[test]
fn memory_of_c_in_a_go_program() -> Result<()> {
    let toolchain = toolchains()?.pop().context("one is fetched")?;
    let program = toolchain.build(Build::Cgo)?;
    let steady = Target::run(&program, &[("STEPS", "steady")])?;
    assert_eq!(look(&steady, "off-heap")?, None, "it has nothing of C");
    let mut target = Target::run(&program, &[("STEPS", "steady cgo")])?;
    let found = look(&target, "off-heap")?.context("50 MiB of C")?;
    assert_outside(&found, 50 * MIB, 4 * MIB)?;
    target.take("free-c")?;
    assert_eq!(look(&target, "off-heap")?, None, "C.free and malloc_trim");
    Ok(())
}

#[test]
fn buffers_of_a_node() -> Result<()> {
    let node = nodes()?.pop().context("one is fetched")?;
    let mut target = node.run_target("buffers")?;
    assert_eq!(look(&target, "off-heap")?, None, "no buffer was made yet");
    target.step()?;
    let said = i64::try_from(target.holds("external")?)?;
    let found = look(&target, "off-heap")?.context("96 MiB of buffers")?;
    assert_outside(&found, said, 24 * MIB)?;
    target.step()?;
    let left = i64::try_from(target.holds("external")?)?;
    assert!(left < 8 * MIB, "{left}");
    // A thread of V8 frees them, some time after the collection.
    let begin = Instant::now();
    while look(&target, "off-heap")?.is_some() {
        ensure!(begin.elapsed() < Duration::from_secs(30), "they are not freed");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn direct_buffers_of_a_java_program() -> Result<()> {
    let machine = machine(17)?;
    let flags = ["-Xmx256m", "-Xms256m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC"];
    let heap = Target::spawn(&mut machine.command(&flags, 300)?)?;
    assert_eq!(look(&heap, "off-heap")?, None, "its heap is most of it");
    let target = Target::spawn(machine.command(&flags, 300)?.arg("192"))?;
    let found = look(&target, "off-heap")?.context("192 MiB of direct buffers")?;
    // Symbols, compilers, tables.
    assert_outside(&found, 192 * MIB, 64 * MIB)?;
    // What the remedy bounds is refused to the program.
    let bounded = [&flags[..], &["-XX:MaxDirectMemorySize=64m"]].concat();
    let output = machine.command(&bounded, 300)?.arg("192").output()?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains("direct buffer memory"), "{words}");
    Ok(())
}

#[test]
fn two_allocators_in_one_process() -> Result<()> {
    let all = jemallocs()?;
    let library = all.iter().find_map(|one| one.library()).context("Debian's own")?;
    // It asks for more thread-local memory than libraries get that are loaded late.
    let tunables = "glibc.rtld.optional_static_tls=32768";
    let environment = [("LIBRARY", library), ("GLIBC_TUNABLES", tunables)];
    let mut target = Target::run(&compiled("twoheaps")?, &environment)?;
    assert_eq!(look(&target, "several-allocators")?, None, "the other one serves nothing yet");
    target.step()?;
    let found = look(&target, "several-allocators")?.context("two serve it")?;
    assert!(found.bytes.point().is_some_and(|bytes| (bytes - 24 * MIB).abs() < MIB), "{found:?}");
    assert!(found.brief.contains("jemalloc") && found.brief.contains("glibc"), "{found:?}");
    // One allocator for all, and small pieces of the C library's beside it.
    let alone = all.iter().find(|one| one.is_library()).context("Debian's own")?;
    assert_eq!(look(&alone.start("")?, "several-allocators")?, None);
    Ok(())
}
