//! `memgap diff`: two targets, one at two times, or two saved documents, account by account.

use std::io::Read;
use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::{Context, anyhow, bail};
use memgap_json::{self as json, Saved};
use memgap_ledger::diff::{self, Between, Side};
use memgap_ledger::{Scope, reason};
use memgap_reader::{Depth, Reader, Target, find};

use super::seen;
use crate::args::Diff;
use crate::output::{Answer, Output};
use crate::patience;
use crate::view;

/// The longest document that is read.
const LONGEST: u64 = 64 << 20;

/// How a saved document is told from a target.
const SAVED: &str = ".json";

/// What was read, and whether part of it was kept from us.
struct Found {
    side: Side,
    in_part: bool,
}

/// Compares what a user names.
pub fn run(
    open: impl FnOnce() -> anyhow::Result<Reader>,
    asked: &Diff,
    output: &Output,
) -> anyhow::Result<Answer> {
    let (from, to, between) = match (asked.second.as_deref(), asked.after) {
        (None, Some(after)) => {
            let reader = open()?;
            let (first, began) = (read(&reader, &asked.first)?, Instant::now());
            patience::pause(after);
            let second = read(&reader, &asked.first)?;
            (first, second, Between::Times(began.elapsed()))
        }
        (Some(second), None) => two(open, &asked.first, second)?,
        // The command line asks for one of them.
        _ => bail!("name a second target, or give --for"),
    };
    let found = diff::diff(&from.side, &to.side, between).ok_or_else(|| {
        let [from, to] = [from.side.scope, to.side.scope].map(word);
        anyhow!("{from} and {to} do not have the same accounts: name two of one kind")
    })?;
    let text = output.text(|| json::diff(&found), |style| view::diff::page(&found, style))?;
    Ok(Answer::of(text, from.in_part || to.in_part))
}

fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::Process => "a process",
        Scope::Cgroup => "a cgroup",
        Scope::Host => "the host",
    }
}

fn two(
    open: impl FnOnce() -> anyhow::Result<Reader>,
    first: &str,
    second: &str,
) -> anyhow::Result<(Found, Found, Between)> {
    let saved = |word: &str| word.ends_with(SAVED).then(|| load(Path::new(word))).transpose();
    let whole = |side| Found { side, in_part: false };
    match (saved(first)?, saved(second)?) {
        (Some(first), Some(second)) => {
            let between = first.until(&second).map_or(Between::Things, Between::Times);
            Ok((whole(first.side), whole(second.side), between))
        }
        (None, None) => {
            let reader = open()?;
            Ok((read(&reader, first)?, read(&reader, second)?, Between::Things))
        }
        (Some(first), None) => {
            let reader = open()?;
            let second = read(&reader, second)?;
            let now = Saved { side: second.side, time: SystemTime::now() };
            let between = first.until(&now).map_or(Between::Things, Between::Times);
            Ok((whole(first.side), Found { side: now.side, in_part: second.in_part }, between))
        }
        (None, Some(second)) => Ok((read(&open()?, first)?, whole(second.side), Between::Things)),
    }
}

fn read(reader: &Reader, word: &str) -> anyhow::Result<Found> {
    let target: Target = word.parse()?;
    let seen = seen::read(reader, find(reader, &target)?, Depth::Full, |_| Ok(()))?;
    Ok(Found { side: Side::of(seen.subject()), in_part: reason::is_denied(seen.subject()) })
}

/// A document that was saved before.
fn load(path: &Path) -> anyhow::Result<Saved> {
    let shown = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("failed to open {shown}"))?;
    let mut text = Vec::new();
    file.take(LONGEST + 1)
        .read_to_end(&mut text)
        .with_context(|| format!("failed to read {shown}"))?;
    if text.len() as u64 > LONGEST {
        bail!("{shown} is longer than any document of one target");
    }
    Saved::read(&text).map_err(|why| anyhow!("{shown}: {why}"))
}
