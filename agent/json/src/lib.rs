//! The JSON documents, described by `docs/schema/memgap-1.json`. Bytes are
//! integers; what is not known is `null` with its reason in `absent`, never 0.

mod absent;
pub mod advice;
mod coverage;
mod diff;
mod explanation;
mod headline;
pub mod last_ledger;
mod limits;
mod mapping;
mod post_mortem;
mod program;
pub mod recording;
mod runtime;
mod saved;
mod scope;
mod time;
pub mod watch;

use std::io::Write;
use std::time::SystemTime;

use memgap_ledger::finding::{Diagnosis, Subject};
use memgap_ledger::{CgroupLedger, Coverage, Missing, ProcessLedger, Program, Scope, reason};
use serde::Serialize;

use absent::{AbsentJson, absent, lacking};
use coverage::CoverageJson;
pub use coverage::coverage;
pub use diff::diff;

pub use explanation::{Found, axis, explanation, of_finding};
use headline::{Headline, headline_of};
pub use post_mortem::{PostMortemJson, post_mortem};
use runtime::{RuntimeJson, UnreadJson, runtimes, unread};
pub use saved::Saved;
use scope::{ScopeJson, scope};
pub use time::{parse as parse_time, rfc3339};

/// The version of every document. Members are added under it, none changes.
pub const SCHEMA: &str = "memgap/1";

/// A document: the version, the time of the reading, and what it says.
#[derive(Debug, Serialize)]
pub struct Document<T> {
    schema: &'static str,
    time: String,
    #[serde(flatten)]
    body: T,
}

impl<T: Serialize> Document<T> {
    /// A document that was read at `time`.
    pub fn new(time: SystemTime, body: T) -> Self {
        Self { schema: SCHEMA, time: rfc3339(time), body }
    }

    /// Writes the document as one line, without its end.
    pub fn write(&self, out: impl Write) -> serde_json::Result<()> {
        serde_json::to_writer(out, self)
    }

    /// The document as one indented text with a newline at its end.
    pub fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

/// What can be read, and what is only named: names, and what stands behind them.
#[derive(Debug)]
pub struct Known<'k> {
    /// What probes read.
    pub read: Vec<(&'k str, &'k str)>,
    /// What is named where it is, and not read, or not in each form.
    pub named: Vec<(&'k str, &'k str)>,
}

/// `memgap ps`.
#[derive(Debug, Serialize)]
pub struct Processes {
    programs: Vec<program::ProgramJson>,
    processes: Vec<Line>,
}

/// `memgap ps --cgroups`.
#[derive(Debug, Serialize)]
pub struct Cgroups {
    cgroups: Vec<Line>,
}

/// One process or cgroup of `memgap ps`.
#[derive(Debug, Serialize)]
struct Line {
    scope: ScopeJson,
    headline: Headline,
    absent: Vec<AbsentJson>,
}

/// `memgap accounts`.
#[derive(Debug, Serialize)]
pub struct Accounts {
    accounts: Vec<AccountHelp>,
}

#[derive(Debug, Serialize)]
struct AccountHelp {
    scope: &'static str,
    axis: &'static str,
    name: &'static str,
    class: &'static str,
    signed: bool,
    help: &'static str,
}

/// `memgap why`.
#[derive(Debug, Serialize)]
pub struct FindingPage {
    finding: &'static str,
    page: &'static str,
}

/// `memgap probes`.
#[derive(Debug, Serialize)]
pub struct Probes {
    probes: Vec<ProbeHelp>,
    named: Vec<ProbeHelp>,
    found: Vec<FoundIn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<CoverageJson>,
}

#[derive(Debug, Serialize)]
struct ProbeHelp {
    name: String,
    about: String,
}

/// The runtimes of one process.
#[derive(Debug, Serialize)]
struct FoundIn {
    scope: ScopeJson,
    runtimes: Vec<RuntimeJson>,
    unread: Vec<UnreadJson>,
    absent: Vec<AbsentJson>,
}

/// What a command wrote: files, or a text for another program.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Paths of the files that were written, below the directory named.
    Files(Vec<String>),
    /// A man page or a completion script.
    Text(String),
}

/// What a capture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Processes, whole or in part.
    pub processes: usize,
    /// Cgroups.
    pub cgroups: usize,
    /// Files that were written.
    pub files: usize,
    /// Their length together.
    pub bytes: u64,
    /// Whether names were replaced.
    pub redacted: bool,
}

/// `memgap capture`.
#[derive(Debug, Serialize)]
pub struct Capture {
    directory: String,
    captured: Counts,
    absent: Vec<AbsentJson>,
}

/// What a capture holds, and what it lacks.
pub fn capture(directory: &str, captured: Counts, lacks: &[Missing]) -> Capture {
    Capture { directory: directory.to_owned(), captured, absent: lacking(lacks) }
}

/// The programs of `memgap ps` and their processes, in the order given.
pub fn processes(programs: &[Program], processes: &[ProcessLedger]) -> Processes {
    Processes {
        programs: programs.iter().map(program::program).collect(),
        processes: processes.iter().map(|p| line(Subject::Process(p))).collect(),
    }
}

/// The cgroups of `memgap ps --cgroups`, in the order given.
pub fn cgroups(cgroups: &[CgroupLedger]) -> Cgroups {
    Cgroups { cgroups: cgroups.iter().map(|c| line(Subject::Cgroup(c))).collect() }
}

/// The probes by name and what else is named, the processes in which they found something, and how much of
/// the memory of all that were asked for is explained.
pub fn probes(known: &Known<'_>, found: &[ProcessLedger], coverage: Option<&Coverage>) -> Probes {
    let help = |(name, about): &(&str, &str)| ProbeHelp {
        name: (*name).to_owned(),
        about: (*about).to_owned(),
    };
    let one = |process: &ProcessLedger| {
        let subject = Subject::Process(process);
        let mut lacks = reason::reasons(subject);
        lacks.retain(|lack| lack.what == "runtime");
        FoundIn {
            scope: scope(subject, &[]),
            runtimes: runtimes(subject),
            unread: unread(subject),
            absent: absent(lacks),
        }
    };
    Probes {
        probes: known.read.iter().map(help).collect(),
        named: known.named.iter().map(help).collect(),
        found: found.iter().map(one).collect(),
        coverage: coverage.map(CoverageJson::from),
    }
}

/// Every account of every scope.
pub fn accounts() -> Accounts {
    let help = |scope: Scope| {
        scope.accounts().map(move |account| AccountHelp {
            scope: scope.name(),
            axis: axis(scope, account),
            name: account.name(),
            class: account.class().name(),
            signed: account.is_signed(),
            help: account.help(),
        })
    };
    Accounts { accounts: Scope::ALL.into_iter().flat_map(help).collect() }
}

/// The page of a finding, in Markdown.
pub fn finding_page(diagnosis: &Diagnosis) -> FindingPage {
    FindingPage { finding: diagnosis.id, page: diagnosis.page }
}

fn line(subject: Subject<'_>) -> Line {
    Line {
        scope: scope(subject, &[]),
        headline: headline_of(subject),
        absent: absent(reason::broad(subject)),
    }
}
