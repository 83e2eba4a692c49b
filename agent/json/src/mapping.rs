//! The mappings that hold most of an account.

use memgap_ledger::finding::Subject;
use memgap_ledger::largest::Holding;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct MappingJson {
    account: &'static str,
    bytes: u64,
    size: u64,
    resident: u64,
    huge: Option<u64>,
    access: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    special: Option<SpecialJson>,
}

#[derive(Debug, Serialize)]
struct SpecialJson {
    name: &'static str,
    charged: &'static str,
    reclaim: &'static str,
}

/// Those of a process; none of others.
pub fn mappings(subject: Subject<'_>) -> Vec<MappingJson> {
    match subject {
        Subject::Process(process) => process.largest.iter().map(mapping).collect(),
        _ => Vec::new(),
    }
}

fn mapping(holding: &Holding) -> MappingJson {
    MappingJson {
        account: holding.account.name(),
        bytes: holding.bytes,
        size: holding.size,
        resident: holding.resident,
        huge: holding.huge,
        access: String::from_utf8_lossy(&holding.access).into_owned(),
        name: holding.name.to_string(),
        special: holding.special.map(|special| SpecialJson {
            name: special.name,
            charged: special.charge.name(),
            reclaim: special.reclaim.words(),
        }),
    }
}
