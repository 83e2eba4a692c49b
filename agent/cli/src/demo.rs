//! `memgap demo`: programs with known memory, explained live, the kernel's
//! headline beside the truth. It is a check too: it fails where the ledger is
//! further from the truth than stated.
//!
//! Whatever ends the demo, a signal or a panic too, ends its programs and
//! removes its cgroups: they go with the values that stand for them.

mod cgroup;
mod child;
mod outcome;
mod pages;
mod scenario;
mod signals;
mod story;
mod target;

use std::io;

use clap::builder::PossibleValuesParser;
use memgap_ledger::{CgroupLedger, Fact, ProcessLedger};

pub use cgroup::Own;
pub use outcome::{Demo, Outcome};
use scenario::{SCENARIOS, Scenario, Stage};
use signals::Signals;
pub use target::{Program, run as target};

/// What is to be shown.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// The scenarios to run [default: all]
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(SCENARIOS.iter().map(|s| s.name)))]
    names: Vec<String>,
    /// List the scenarios and run none
    #[arg(long)]
    list: bool,
}

/// How the demo reads the machine: ledgers made anew at each call.
pub struct Explain<'a> {
    /// The ledger of the process with this pid.
    pub process: &'a dyn Fn(u32) -> Fact<ProcessLedger>,
    /// The ledger of the cgroup with this path below the hierarchy's mount.
    pub cgroup: &'a dyn Fn(&str) -> Fact<CgroupLedger>,
    /// Our own cgroup: cgroups of the demo are made below it.
    pub own: Fact<Own>,
}

/// Why a scenario did not come to its end.
#[derive(Debug)]
pub enum Stop {
    /// This machine or user can not have it.
    Skip(String),
    /// Memgap could not explain what it must.
    Fail(String),
    /// A signal asked for the end.
    Signal(u8),
}

/// How the demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every scenario that ran agrees with the truth.
    Agreed,
    /// One does not.
    Disagreed,
    /// A signal ended it.
    Signal(u8),
}

/// Plays the scenarios that were asked for and hands over each as it ends. A
/// `shown` that fails ends the demo too.
pub fn run(
    args: &DemoArgs,
    explain: &Explain<'_>,
    reported: &mut dyn FnMut(&Outcome) -> io::Result<()>,
) -> io::Result<End> {
    let stage = Stage::set(explain, Signals::catch()?);
    let mut result = End::Agreed;
    for scenario in args.chosen() {
        let end = (scenario.play)(&stage);
        if let Err(Stop::Signal(signal)) = end {
            return Ok(End::Signal(signal));
        }
        let one = Outcome { scenario, end };
        if !one.agrees() {
            result = End::Disagreed;
        }
        reported(&one)?;
    }
    Ok(result)
}

impl DemoArgs {
    /// The list of scenarios, where it was asked for.
    pub fn list(&self) -> Option<String> {
        let lines: Vec<String> =
            self.chosen().map(|s| format!("{:11} {}\n", s.name, s.title)).collect();
        self.list.then(|| lines.concat())
    }

    fn chosen(&self) -> impl Iterator<Item = &'static Scenario> {
        SCENARIOS
            .iter()
            .filter(|s| self.names.is_empty() || self.names.iter().any(|name| name == s.name))
    }
}
