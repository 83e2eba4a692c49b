//! The program that tests/vm/run starts in a virtual machine: it makes cgroups
//! whose memory is known, asks the real memgap about them, and holds the answers
//! against the kernel's own files.
//!
//! It prints a line for each scenario, `vm-guest TAB name TAB ok|failed TAB words TAB seconds`,
//! and `vm-guest TAB end` when it got through all of them.

mod actor;
mod exporter;
mod findings;
mod group;
mod harm;
mod kernel;
mod memgap;
mod memory;
mod scenarios;
mod stalls;
mod statistics;
mod told;

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::findings::Findings;
use crate::group::Group;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["run", only, skip] => {
            run(only, skip);
            Ok(())
        }
        ["actor"] => actor::obey(),
        ["actor", group, program @ ..] => actor::enter(Path::new(group), program),
        _ => bail_usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vm-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bail_usage() -> Result<()> {
    bail!("usage: vm-guest run ONLY SKIP | actor [CGROUP [PROGRAM...]]")
}

/// Runs the scenarios whose names begin with the one, but those that the other lists, with
/// commas between them.
fn run(only: &str, skip: &str) {
    let is_asked_for =
        |name: &str| name.starts_with(only) && skip.split(',').all(|skipped| skipped != name);
    for (name, scenario) in scenarios::ALL.iter().filter(|(name, _)| is_asked_for(name)) {
        let started = Instant::now();
        let mut findings = Findings::default();
        let ended = Group::new(name).and_then(|mut group| scenario(&mut group, &mut findings));
        if let Err(error) = ended {
            findings.failures.push(format!("{error:#}"));
        }
        let verdict = match findings.failures.is_empty() {
            true if findings.left_out => "left",
            true => "ok",
            false => "failed",
        };
        let (figures, seconds) = (findings.figures.join(", "), started.elapsed().as_secs());
        println!("vm-guest\t{name}\t{verdict}\t{figures}\t{seconds}");
        for failure in &findings.failures {
            println!("vm-guest\t{name}\twhy\t{failure}");
        }
    }
    println!("vm-guest\tend");
}
