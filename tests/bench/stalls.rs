//! How long programs wait to map and unmap memory while somebody looks at them without
//! rest. What it counts is the kernel's doing and memgap's: preempted threads are left
//! out, and the one that looks comes before all others, so that it is not interrupted
//! where it holds a lock. Needs root for that.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memgap_tests::golang::{Build, toolchains};
use memgap_tests::stalls::{Look, Stalls, Tally};
use memgap_tests::target::{Target, compiled, compiled_with, directory};

/// Rounds, in each of which every look has so much time.
const ROUNDS: u32 = 40;
const SLICE: Duration = Duration::from_millis(50);

/// A program whose heap statistics a probe reads, with 1 GiB in its heap or beside it.
struct Program {
    name: &'static str,
    path: PathBuf,
    environment: &'static [(&'static str, &'static str)],
    /// The library to load before the one that counts.
    library: &'static str,
}

fn main() -> Result<()> {
    // Options are for other benchmarks; names choose programs.
    let names: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let counter = compiled_with("stalls", "library", &["-shared", "-fPIC"])?;
    println!(
        "{:9} {:10} {:>6} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "program",
        "look",
        "looks",
        "calls",
        "mean us",
        "p9999 us",
        "blocked",
        "mean us",
        "> 1 ms",
        "most ms"
    );
    for program in programs()? {
        if names.is_empty() || names.iter().any(|name| name == program.name) {
            for (look, tally) in Look::ALL.iter().zip(measure(&program, &counter)?) {
                println!(
                    "{:9} {:10} {:6} {:7} {:8.1} {:8.1} {:8} {:8.1} {:8} {:8.2}",
                    program.name,
                    format!("{look:?}"),
                    tally.looks,
                    tally.calls,
                    tally.time.as_secs_f64() * 1e6 / tally.calls as f64,
                    tally.p9999.as_secs_f64() * 1e6,
                    tally.blocked,
                    tally.mean_blocked(),
                    tally.blocked_long,
                    tally.longest_blocked.as_secs_f64() * 1e3
                );
            }
        }
    }
    Ok(())
}

fn programs() -> Result<Vec<Program>> {
    let program = |name, path, environment, library| Program { name, path, environment, library };
    let toolchain = toolchains()?.pop().context("tests/golang/fetch fetches some")?;
    let go = toolchain.build(Build::Cgo)?;
    let beside = &[("BALLAST", "1024")];
    Ok(vec![
        program("glibc", compiled("malloc")?, &[("STEPS", "large")], ""),
        program("jemalloc", compiled("mallctl")?, beside, "libjemalloc.so.2"),
        program("go", go, &[("STEPS", "steady drop"), ("BALLAST", "1024")], ""),
        // 20,000 of them.
        program("mappings", compiled("manyvmas")?, &[], ""),
        program("large", compiled("ballast")?, &[("BALLAST", "6144")], ""),
        program("pieces", compiled("ballast")?, &[("BALLAST", "6144"), ("PIECES", "96")], ""),
    ])
}

fn measure(program: &Program, counter: &Path) -> Result<[Tally; Look::ALL.len()]> {
    let stalls = Stalls::new(&directory()?.join(format!("stalls-{}", process::id())))?;
    let libraries = format!("{} {}", program.library, counter.display());
    let mut command = Command::new(&program.path);
    command.envs(program.environment.iter().copied());
    command.env("LD_PRELOAD", libraries).env(Stalls::VARIABLE, stalls.path());
    let target = Target::spawn(&mut command)?;
    // What is started from here on would come before others too.
    schedule("--fifo", "1")?;
    let tallies = stalls.during(target.pid(), Look::ALL, ROUNDS, SLICE);
    schedule("--other", "0")?;
    tallies
}

/// Has this thread scheduled so.
fn schedule(policy: &str, priority: &str) -> Result<()> {
    let me = process::id().to_string();
    let status = Command::new("chrt").args([policy, "--pid", priority, &me]).status()?;
    ensure!(status.success(), "chrt {policy}: {status}: run as root");
    Ok(())
}
