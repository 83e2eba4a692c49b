//! `memgap why FINDING`: the page of a finding. `memgap why TARGET`: why it was killed.

use memgap_json as json;
use memgap_ledger::MissingKind;
use memgap_ledger::finding;
use memgap_ledger::post_mortem::PostMortem;
use memgap_reader::{Error, Reader, Target, post_mortem};

use crate::output::{Answer, FAILED, IN_PART, Output};
use crate::view::{self, article};

/// Shows the page of the finding of that name, or what is known of kills of that target.
pub fn run(
    what: &str,
    open: impl FnOnce() -> Result<Reader, Error>,
    output: &Output,
) -> anyhow::Result<Answer> {
    if let Some(diagnosis) = finding::ALL.iter().find(|diagnosis| diagnosis.id == what) {
        let text = output.text(
            || json::finding_page(diagnosis),
            |style| article::article(diagnosis.page, style),
        )?;
        return Ok(Answer::whole(text));
    }
    let target: Target = what.parse()?;
    let found = post_mortem(&open()?, &target)?;
    if is_nothing(&found) && matches!(target, Target::Name(_)) {
        let findings: Vec<&str> = finding::ALL.iter().map(|diagnosis| diagnosis.id).collect();
        anyhow::bail!(
            "{}, and no such process runs; findings are {}",
            found.verdict(),
            findings.join(", ")
        );
    }
    let text = output.text(
        || json::post_mortem(&found, output.time),
        |style| view::post_mortem::page(&found, output.time, style),
    )?;
    Ok(Answer { text, code: code(&found) })
}

/// Whether there is nothing of that name, now or in a log that could be read.
fn is_nothing(found: &PostMortem) -> bool {
    !found.is_there && found.kills.is_empty() && found.log.is_ok()
}

fn code(found: &PostMortem) -> u8 {
    match &found.log {
        Err(lack) if lack.kind == MissingKind::Denied => IN_PART,
        Err(_) if !found.is_there => FAILED,
        _ if is_nothing(found) => FAILED,
        _ => 0,
    }
}
