//! What explains one subject.

use std::borrow::Cow;

use memgap_ledger::account::RSS;
use memgap_ledger::finding::{self, Finding, Subject};
use memgap_ledger::ledger::Entry;
use memgap_ledger::{Account, Figure, Gap, Scope, gap, note, reason, verdict};
use serde::Serialize;

use crate::absent::{AbsentJson, absent};
use crate::headline::{Headline, headline_of};
use crate::limits::{EventsJson, RoomJson, events, room};
use crate::mapping::{MappingJson, mappings};
use crate::runtime::{RuntimeJson, UnreadJson, runtimes, unread};
use crate::scope::{ScopeJson, scope};

/// What explains one process, cgroup or host.
#[derive(Debug, Serialize)]
pub struct Explanation {
    scope: ScopeJson,
    verdict: String,
    headline: Headline,
    accounts: Vec<AccountJson>,
    runtimes: Vec<RuntimeJson>,
    unread: Vec<UnreadJson>,
    findings: Vec<FindingJson>,
    gaps: Vec<GapJson>,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mappings: Vec<MappingJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<RoomJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<EventsJson>,
    absent: Vec<AbsentJson>,
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
struct FindingJson {
    id: &'static str,
    bytes: Option<i64>,
    low: Option<i64>,
    high: Option<i64>,
    severity: &'static str,
    confidence: &'static str,
    summary: String,
    evidence: Vec<String>,
    is_not: &'static str,
    remedy: Cow<'static, str>,
}

/// A finding, and what it is about.
#[derive(Debug, Serialize)]
pub struct Found {
    scope: ScopeJson,
    finding: FindingJson,
}

#[derive(Debug, Serialize)]
struct GapJson {
    from: &'static str,
    to: &'static str,
    bytes: i64,
    why: String,
}

/// Explains a subject; `others` are processes of the same name.
pub fn explanation(subject: Subject<'_>, others: &[u32]) -> Explanation {
    let gaps = match subject {
        Subject::Process(p) => gap::of_process(p),
        Subject::Cgroup(c) => gap::of_cgroup(c),
        Subject::Host(h) => gap::of_host(h),
    };
    let ledger = reason::ledger(subject);
    let findings = finding::findings(subject);
    Explanation {
        scope: scope(subject, others),
        verdict: verdict::verdict(subject, &findings),
        headline: headline_of(subject),
        accounts: ledger.entries().map(|e| account_of(ledger.scope(), &e)).collect(),
        runtimes: runtimes(subject),
        unread: unread(subject),
        findings: findings.into_iter().map(finding_of).collect(),
        gaps: gaps.into_iter().map(gap_of).collect(),
        notes: note::notes(subject),
        mappings: mappings(subject),
        room: room(subject),
        events: events(subject),
        absent: absent(reason::reasons(subject)),
    }
}

/// A finding by itself.
pub fn of_finding(subject: Subject<'_>, finding: Finding) -> Found {
    Found { scope: scope(subject, &[]), finding: finding_of(finding) }
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
        is_not: finding.is_not,
        remedy: finding.remedy,
    }
}

fn gap_of(gap: Gap) -> GapJson {
    GapJson { from: gap.from, to: gap.to, bytes: gap.bytes, why: gap.why }
}
