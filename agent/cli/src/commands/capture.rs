//! `memgap capture`: what the reader reads, as files.

use memgap_json::{self as json, Counts};
use memgap_ledger::MissingKind;
use memgap_reader::{Reader, Target};

use crate::args::Capture;
use crate::output::{Answer, Output};
use crate::view::table;

/// Captures what a user names.
pub fn run(reader: &Reader, capture: &Capture, output: &Output) -> anyhow::Result<Answer> {
    let target: Target = capture.target.as_deref().unwrap_or("host").parse()?;
    let done = memgap_reader::capture(reader, &target, &capture.directory, capture.redact)?;
    let counts = Counts {
        processes: done.processes,
        cgroups: done.cgroups,
        files: done.files,
        bytes: done.bytes,
        redacted: capture.redact,
    };
    let directory = capture.directory.to_string_lossy();
    let text = output.text(
        || json::capture(&directory, counts, &done.lacks),
        |style| table::capture(&directory, counts, &done.lacks, style),
    )?;
    Ok(Answer::of(text, done.lacks.iter().any(|lack| lack.kind == MissingKind::Denied)))
}
