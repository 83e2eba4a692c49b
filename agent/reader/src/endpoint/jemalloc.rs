//! jemalloc: its `stats.*`, under the names that programs and exporters give them.

use std::io;

use memgap_ledger::Account;

use super::series::{Row, Values};
use super::{Figures, parts, rest};

/// The name of the heap statistics.
pub(super) const NAME: &str = "jemalloc";

/// Where the statistics of one program stand.
struct Names {
    allocated: &'static str,
    active: &'static str,
    metadata: &'static str,
    resident: &'static str,
}

const PLAIN: Names = Names {
    allocated: "jemalloc_allocated_bytes",
    active: "jemalloc_active_bytes",
    metadata: "jemalloc_metadata_bytes",
    resident: "jemalloc_resident_bytes",
};
const BARE: Names = Names {
    allocated: "jemalloc_allocated",
    active: "jemalloc_active",
    metadata: "jemalloc_metadata",
    resident: "jemalloc_resident",
};
const CLICKHOUSE: Names = Names {
    allocated: "ClickHouseAsyncMetrics_jemalloc_allocated",
    active: "ClickHouseAsyncMetrics_jemalloc_active",
    metadata: "ClickHouseAsyncMetrics_jemalloc_metadata",
    resident: "ClickHouseAsyncMetrics_jemalloc_resident",
};
/// redis_exporter, of the server that it asks; `INFO memory` has no metadata.
const REDIS: Names = Names {
    allocated: "redis_allocator_allocated_bytes",
    active: "redis_allocator_active_bytes",
    metadata: "",
    resident: "redis_allocator_resident_bytes",
};
const NAMED: [&Names; 4] = [&PLAIN, &BARE, &CLICKHOUSE, &REDIS];

/// One metric, whose label tells the statistic.
const LABELLED: [&str; 2] = ["memgap_exporter_jemalloc_bytes", "tikv_allocator_stats"];

const fn labelled(name: &'static str) -> Row {
    Row { name, labels: &["stat", "type"] }
}

pub(super) const ROWS: &[Row] = &[
    Row::single(PLAIN.allocated),
    Row::single(PLAIN.active),
    Row::single(PLAIN.metadata),
    Row::single(PLAIN.resident),
    Row::single(BARE.allocated),
    Row::single(BARE.active),
    Row::single(BARE.metadata),
    Row::single(BARE.resident),
    Row::single(CLICKHOUSE.allocated),
    Row::single(CLICKHOUSE.active),
    Row::single(CLICKHOUSE.metadata),
    Row::single(CLICKHOUSE.resident),
    Row::single(REDIS.allocated),
    Row::single(REDIS.active),
    Row::single(REDIS.resident),
    labelled(LABELLED[0]),
    labelled(LABELLED[1]),
];

/// Whether the endpoint speaks for another process than its own.
pub(super) fn is_of_another(values: &Values) -> bool {
    values.one(REDIS.allocated).is_some()
}

pub(super) fn figures(values: &Values) -> io::Result<Option<Figures>> {
    if let Some(names) = NAMED.iter().find(|names| values.one(names.allocated).is_some()) {
        let [allocated, active, metadata, resident] =
            [names.allocated, names.active, names.metadata, names.resident].map(|n| values.one(n));
        return of(allocated, active, metadata, resident);
    }
    for name in LABELLED {
        let one = |stat: &str| values.sum(name, |labels| labels.iter().any(|label| label == stat));
        if one("allocated").is_some() {
            return of(one("allocated"), one("active"), one("metadata"), one("resident"));
        }
    }
    Ok(None)
}

fn of(
    allocated: Option<u64>,
    active: Option<u64>,
    metadata: Option<u64>,
    resident: Option<u64>,
) -> io::Result<Option<Figures>> {
    let Some(in_use) = allocated else { return Ok(None) };
    let holes = rest(active, allocated, "more allocated than active memory")?;
    // Pages that were in use and are kept: resident, neither active nor metadata.
    let held = active.and_then(|active| active.checked_add(metadata.unwrap_or(0)));
    let dirty = resident.zip(held).map_or(0, |(resident, held)| resident.saturating_sub(held));
    Ok(Some(Figures {
        runtime: NAME,
        version: None,
        in_use,
        free: holes.map(|holes| holes.saturating_add(dirty)),
        released: None,
        others: parts(&[(Account::AllocatorMetadata, metadata)]),
        cycles: None,
    }))
}
