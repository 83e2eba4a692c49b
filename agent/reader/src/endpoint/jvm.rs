//! Java machines: `jvm_memory_*` of client_java (0.x and 1.x), Micrometer and
//! OpenTelemetry's agent. Figures of the MXBeans, so of HotSpot in all but name.

use std::io;

use memgap_ledger::Account;

use super::series::{Row, Values};
use super::{Figures, parts, rest};

/// Which area (`heap`, `nonheap`), then which pool, by each library's labels.
const LABELS: &[&str] = &["area", "jvm_memory_type", "id", "jvm_memory_pool_name", "pool"];

const INFO: &str = "jvm_info";
const COLLECTIONS: &str = "jvm_gc_collection_seconds_count";
/// In use and committed: by area, and by pool where that is another metric.
const NEW: Names = Names {
    used: "jvm_memory_used_bytes",
    committed: "jvm_memory_committed_bytes",
    pools: "jvm_memory_pool_committed_bytes",
};
/// The same before client_java 0.10.
const OLD: Names = Names {
    used: "jvm_memory_bytes_used",
    committed: "jvm_memory_bytes_committed",
    pools: "jvm_memory_pool_bytes_committed",
};

struct Names {
    used: &'static str,
    committed: &'static str,
    pools: &'static str,
}

const fn row(name: &'static str) -> Row {
    Row { name, labels: LABELS }
}

pub(super) const ROWS: &[Row] = &[
    Row { name: INFO, labels: &["version"] },
    Row { name: COLLECTIONS, labels: &["gc"] },
    row(NEW.used),
    row(NEW.committed),
    row(NEW.pools),
    row(OLD.used),
    row(OLD.committed),
    row(OLD.pools),
];

pub(super) fn figures(values: &Values) -> io::Result<Option<Figures>> {
    let names = if values.one(NEW.used).is_some() { NEW } else { OLD };
    let Some(in_use) = values.sum(names.used, is_heap) else { return Ok(None) };
    let committed = values.sum(names.committed, is_heap);
    let pool = |wanted: fn(&str) -> bool| {
        let by_pool = |labels: &[String]| labels.iter().any(|label| wanted(label));
        values.sum(names.pools, by_pool).or_else(|| values.sum(names.committed, by_pool))
    };
    let others = [
        // The pool holds the compressed class space, which has one beside it.
        (Account::Metaspace, pool(|name| name == "Metaspace")),
        (Account::JitCode, pool(is_code)),
    ];
    Ok(Some(Figures {
        runtime: "hotspot",
        version: values.all(INFO).next().and_then(|(labels, _)| labels.first().cloned()),
        in_use,
        free: rest(committed, Some(in_use), "more used than committed heap")?,
        released: None,
        others: parts(&others),
        cycles: values.sum(COLLECTIONS, |_| true),
    }))
}

fn is_heap(labels: &[String]) -> bool {
    labels.iter().take(2).any(|area| area == "heap")
}

/// `CodeCache` and `Code Cache` as a whole, `CodeHeap 'profiled nmethods'` in parts.
fn is_code(pool: &str) -> bool {
    pool.starts_with("CodeHeap") || matches!(pool, "CodeCache" | "Code Cache")
}
