//! The JSON documents, described by `docs/schema/memgap-1.json`. Bytes are
//! integers; what is not known is `null` with its reason in `absent`, never 0.

use std::time::SystemTime;

use memgap_ledger::account::RSS;
use memgap_ledger::finding::{self, Finding, Subject};
use memgap_ledger::ledger::Entry;
use memgap_ledger::sample::{CgroupVersion, ProcessKind};
use memgap_ledger::{Account, CgroupLedger, Figure, Gap, Identity, ProcessLedger, Scope, gap};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::reason::Reason;
use super::time::rfc3339;
use super::{headline, reason};

/// The version of every document. Members are added under it, none changes.
const SCHEMA: &str = "memgap/1";

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

    /// The document as one indented text with a newline at its end.
    pub fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

/// What explains one process, cgroup or host.
#[derive(Debug, Serialize)]
pub struct Explanation {
    scope: ScopeJson,
    headline: Headline,
    accounts: Vec<AccountJson>,
    runtimes: Vec<Runtime>,
    findings: Vec<FindingJson>,
    gaps: Vec<GapJson>,
    absent: Vec<AbsentJson>,
}

/// What is explained.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum ScopeJson {
    Process {
        pid: u32,
        name: String,
        state: &'static str,
        cgroup: Option<String>,
        /// Other processes of the same name.
        others: Vec<u32>,
    },
    Cgroup {
        path: String,
        version: u8,
        leaf: bool,
        identity: IdentityJson,
        /// `null` where they could not be listed.
        processes: Option<usize>,
    },
    Host {},
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum IdentityJson {
    Container { id: String, runtime: String, pod_uid: String, names: Option<Names> },
    Pod { uid: String },
    Unit { name: String },
    Other {},
}

#[derive(Debug, Serialize)]
struct Names {
    namespace: String,
    pod: String,
    container: String,
}

/// Figures by name, and the bounds of those that are intervals.
#[derive(Debug)]
struct Headline {
    figures: Vec<(&'static str, Figure)>,
    /// Shares, 0 to 1: what of a cgroup's anonymous memory books claim.
    ratios: Vec<(&'static str, Option<f64>)>,
}

#[derive(Debug, Serialize)]
struct AccountJson {
    name: &'static str,
    class: &'static str,
    axis: &'static str,
    bytes: Option<i64>,
    quality: &'static str,
    low: Option<i64>,
    high: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Runtime {
    name: String,
}

#[derive(Debug, Serialize)]
struct FindingJson {
    id: &'static str,
    bytes: Option<i64>,
    low: Option<i64>,
    high: Option<i64>,
    severity: &'static str,
    confidence: &'static str,
    summary: String,
    evidence: Vec<String>,
    remedy: &'static str,
}

#[derive(Debug, Serialize)]
struct GapJson {
    from: &'static str,
    to: &'static str,
    bytes: i64,
    why: String,
}

#[derive(Debug, Serialize)]
struct AbsentJson {
    what: &'static str,
    why: String,
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Bounds {
    low: i64,
    high: i64,
}

/// `memgap ps`.
#[derive(Debug, Serialize)]
pub struct Processes {
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

/// What a command wrote: files, or a text for another program.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Paths of the files that were written, below the directory named.
    Files(Vec<String>),
    /// A man page or a completion script.
    Text(String),
}

/// Explains a subject; `others` are processes of the same name.
pub fn explanation(subject: Subject<'_>, others: &[u32]) -> Explanation {
    let runtimes = match subject {
        Subject::Process(p) => &*p.runtimes,
        Subject::Cgroup(c) => &*c.runtimes,
        Subject::Host(_) => &[],
    };
    let gaps = match subject {
        Subject::Process(p) => gap::of_process(p),
        Subject::Cgroup(c) => gap::of_cgroup(c),
        Subject::Host(h) => gap::of_host(h),
    };
    let ledger = reason::ledger(subject);
    Explanation {
        scope: scope(subject, others),
        headline: headline_of(subject),
        accounts: ledger.entries().iter().map(|e| account_of(ledger.scope(), e)).collect(),
        runtimes: runtimes.iter().map(|name| Runtime { name: name.clone() }).collect(),
        findings: finding::findings(subject).into_iter().map(finding_of).collect(),
        gaps: gaps.into_iter().map(gap_of).collect(),
        absent: absent(reason::reasons(subject)),
    }
}

/// The processes of `memgap ps`, in the order given.
pub fn processes(processes: &[ProcessLedger]) -> Processes {
    Processes { processes: processes.iter().map(|p| line(Subject::Process(p))).collect() }
}

/// The cgroups of `memgap ps --cgroups`, in the order given.
pub fn cgroups(cgroups: &[CgroupLedger]) -> Cgroups {
    Cgroups { cgroups: cgroups.iter().map(|c| line(Subject::Cgroup(c))).collect() }
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

/// Which headline figure an account is part of.
pub fn axis(scope: Scope, account: Account) -> &'static str {
    match scope {
        Scope::Process if RSS.contains(&account) => "rss",
        Scope::Process => "vsz",
        Scope::Cgroup => "usage",
        Scope::Host => "total",
    }
}

fn line(subject: Subject<'_>) -> Line {
    Line {
        scope: scope(subject, &[]),
        headline: headline_of(subject),
        absent: absent(reason::broad(subject)),
    }
}

fn scope(subject: Subject<'_>, others: &[u32]) -> ScopeJson {
    match subject {
        Subject::Process(p) => ScopeJson::Process {
            pid: p.pid,
            name: p.name.clone(),
            state: match p.kind {
                ProcessKind::User => "user",
                ProcessKind::Kernel => "kernel",
                ProcessKind::Zombie => "zombie",
            },
            cgroup: p.cgroup.clone(),
            others: others.to_vec(),
        },
        Subject::Cgroup(c) => ScopeJson::Cgroup {
            path: c.path.clone(),
            version: match c.version {
                CgroupVersion::V1 => 1,
                CgroupVersion::V2 => 2,
            },
            leaf: c.leaf,
            identity: identity(&c.identity),
            processes: c.processes,
        },
        Subject::Host(_) => ScopeJson::Host {},
    }
}

fn identity(identity: &Identity) -> IdentityJson {
    match identity {
        Identity::Container(c) => IdentityJson::Container {
            id: c.id.clone(),
            runtime: c.runtime.to_owned(),
            pod_uid: c.pod_uid.clone(),
            names: c.names.as_ref().map(|n| Names {
                namespace: n.namespace.clone(),
                pod: n.pod.clone(),
                container: n.container.clone(),
            }),
        },
        Identity::Pod { uid } => IdentityJson::Pod { uid: uid.clone() },
        Identity::Unit { name } => IdentityJson::Unit { name: name.clone() },
        Identity::Other => IdentityJson::Other {},
    }
}

fn headline_of(subject: Subject<'_>) -> Headline {
    let figures = headline::figures(subject).into_iter().map(|h| (h.name, h.figure));
    let ratios = match subject {
        Subject::Cgroup(c) => vec![("in_use_coverage", c.headline.in_use_coverage)],
        _ => Vec::new(),
    };
    Headline { figures: figures.chain(headline::details(subject)).collect(), ratios }
}

impl Serialize for Headline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut bounds = Vec::new();
        for (name, figure) in &self.figures {
            map.serialize_entry(name, &figure.point())?;
            if let Figure::Interval { low, high, .. } = *figure {
                bounds.push((*name, Bounds { low, high }));
            }
        }
        for (name, ratio) in &self.ratios {
            map.serialize_entry(name, ratio)?;
        }
        map.serialize_entry("bounds", &Map(&bounds))?;
        map.end()
    }
}

/// Pairs as an object, in their order.
struct Map<'a, V>(&'a [(&'static str, V)]);

impl<V: Serialize> Serialize for Map<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn account_of(scope: Scope, entry: &Entry) -> AccountJson {
    let known = entry.figure != Figure::Absent;
    let bounds = entry.figure.bounds();
    AccountJson {
        name: entry.account.name(),
        class: entry.account.class().name(),
        axis: axis(scope, entry.account),
        bytes: entry.figure.point(),
        quality: entry.figure.quality(),
        low: bounds.map(|b| b.0),
        high: bounds.map(|b| b.1),
        source: known.then_some(entry.source),
        age_seconds: known.then_some(entry.age.as_secs_f64()),
    }
}

fn finding_of(finding: Finding) -> FindingJson {
    let bounds = finding.bytes.bounds();
    FindingJson {
        id: finding.id,
        bytes: finding.bytes.point(),
        low: bounds.map(|b| b.0),
        high: bounds.map(|b| b.1),
        severity: finding.severity.name(),
        confidence: finding.confidence.name(),
        summary: finding.summary,
        evidence: finding.evidence,
        remedy: finding.remedy,
    }
}

fn gap_of(gap: Gap) -> GapJson {
    GapJson { from: gap.from, to: gap.to, bytes: gap.bytes, why: gap.why }
}

fn absent(reasons: Vec<Reason>) -> Vec<AbsentJson> {
    reasons
        .into_iter()
        .map(|r| AbsentJson { what: r.what, why: r.why, kind: r.kind.name() })
        .collect()
}
