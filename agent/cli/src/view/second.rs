//! How far a second source is from what a probe read.

use memgap_ledger::finding::Subject;
use memgap_ledger::size::iec;
use memgap_ledger::{Runtime, SecondSource};

use super::terminal::Style;

/// A sentence for each runtime with two sources.
pub fn sources(subject: Subject<'_>, style: &Style) -> String {
    let Subject::Process(process) = subject else { return String::new() };
    let mut text = String::new();
    for runtime in &process.runtimes {
        if let Some(second) = &runtime.second_source {
            let sentence = style.safe(&sentence(runtime, second));
            text += &format!("  {}\n", style.wrap(&sentence, 2, 4));
        }
    }
    text
}

fn sentence(runtime: &Runtime, second: &SecondSource) -> String {
    let differs = match second.differs_by {
        0 => "as its heap statistics do".to_owned(),
        more @ 1.. => format!("{} more than its heap statistics", iec(more)),
        less => format!("{} less than its heap statistics", iec(less.saturating_neg())),
    };
    let in_use = iec(i64::try_from(second.in_use).unwrap_or(i64::MAX));
    format!("{} says that {} has {in_use} in use, {differs}", second.name, runtime.name)
}
