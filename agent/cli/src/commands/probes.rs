//! `memgap probes`: what is read, and what of it in the processes of a target.

use memgap_json::{self as json, Known};
use memgap_ledger::{Coverage, ProcessLedger, process};
use memgap_reader::{Depth, Found, PROBES, RULES, Reader, find};

use crate::output::{Answer, Output};
use crate::view::table;

/// Every probe and what it reads, and what else is named.
pub fn list(output: &Output) -> anyhow::Result<Answer> {
    list_probes(&[], None, output)
}

/// What the probes read in the processes of a target.
pub fn of_target(reader: &Reader, target: &str, output: &Output) -> anyhow::Result<Answer> {
    let samples = match find(reader, &target.parse()?)? {
        Found::Process { pid, .. } => vec![reader.process(pid, Depth::Full)?],
        Found::Cgroup { path } => reader.members(&path, Depth::Full)?,
        Found::Host => reader.processes(Depth::Listed)?,
    };
    let mut found: Vec<ProcessLedger> = samples.iter().map(process::ledger).collect();
    let coverage = Coverage::of(&found);
    found.retain(|p| !p.runtimes.is_empty() || !p.unread.is_empty());
    list_probes(&found, Some(&coverage), output)
}

fn list_probes(
    found: &[ProcessLedger],
    coverage: Option<&Coverage>,
    output: &Output,
) -> anyhow::Result<Answer> {
    let known = Known {
        read: PROBES.iter().map(|probe| (probe.name(), probe.about())).collect(),
        named: RULES.iter().map(|rule| (rule.name, rule.about)).collect(),
    };
    let in_part = found.iter().any(ProcessLedger::is_denied);
    let document = || json::probes(&known, found, coverage);
    let text = output.text(document, |style| table::probes(&known, found, coverage, style))?;
    Ok(Answer::of(text, in_part))
}
