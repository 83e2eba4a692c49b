//! Man pages and completions, from the definition of the command line.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use memgap_json as json;

use crate::args::Args;
use crate::output::{Answer, Output};

/// The completion script of a shell.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "memgap", &mut script);
    String::from_utf8(script).context("the completion script is not UTF-8")
}

/// The man page of the command itself.
pub fn man() -> anyhow::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Args::command()).render(&mut page)?;
    String::from_utf8(page).context("the man page is not UTF-8")
}

/// Writes a man page for each command below `directory`, and names them.
pub fn man_pages(directory: &Path) -> anyhow::Result<Vec<String>> {
    let failed = || format!("failed to write man pages to {}", directory.display());
    clap_mangen::generate_to(Args::command(), directory).with_context(failed)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(failed)? {
        let name = entry.with_context(failed)?.file_name().to_string_lossy().into_owned();
        if name.starts_with("memgap") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A generated text, as it is or within a document.
pub fn answer(text: &str, output: &Output) -> anyhow::Result<Answer> {
    output.text(|| json::Output::Text(text.to_owned()), |_| text.to_owned()).map(Answer::whole)
}
