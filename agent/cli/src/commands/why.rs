//! `memgap why FINDING`: the page of a finding.

use memgap_json as json;
use memgap_ledger::finding;

use crate::output::{Answer, Output};
use crate::view::article;

/// Shows the page of the finding of that name.
pub fn run(name: &str, output: &Output) -> anyhow::Result<Answer> {
    let found = finding::ALL.iter().find(|diagnosis| diagnosis.id == name);
    let diagnosis = found.ok_or_else(|| anyhow::anyhow!("{name} is no finding"))?;
    let text = output
        .text(|| json::finding_page(diagnosis), |style| article::article(diagnosis.page, style))?;
    Ok(Answer::whole(text))
}
