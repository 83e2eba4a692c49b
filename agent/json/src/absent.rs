//! What is not known, and why.

use memgap_ledger::Missing;
use serde::Serialize;

use memgap_ledger::reason::Reason;

/// Something that is not known.
#[derive(Debug, Serialize)]
pub struct AbsentJson {
    what: &'static str,
    why: String,
    kind: &'static str,
}

/// The reasons of a subject.
pub fn absent(reasons: Vec<Reason>) -> Vec<AbsentJson> {
    reasons
        .into_iter()
        .map(|r| AbsentJson { what: r.what, why: r.why, kind: r.kind.name() })
        .collect()
}

/// What a capture lacks.
pub fn lacking(lacks: &[Missing]) -> Vec<AbsentJson> {
    lacks.iter().map(|lack| because("capture", lack)).collect()
}

/// Why something is not there.
pub fn because(what: &'static str, lack: &Missing) -> AbsentJson {
    AbsentJson { what, why: lack.why.to_string(), kind: lack.kind.name() }
}
