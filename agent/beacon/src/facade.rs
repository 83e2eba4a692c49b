//! The same figures through the `metrics` facade, under the names that exporters
//! give them.

use metrics::gauge;

use crate::Statistics;

pub(crate) fn set(statistics: &Statistics, gauges: &[(&str, u64)]) {
    for (name, bytes) in [
        ("jemalloc_allocated_bytes", statistics.allocated),
        ("jemalloc_active_bytes", statistics.active),
        ("jemalloc_metadata_bytes", statistics.metadata),
        ("jemalloc_resident_bytes", statistics.resident),
        ("jemalloc_mapped_bytes", statistics.mapped),
        ("jemalloc_retained_bytes", statistics.retained),
        ("jemalloc_dirty_bytes", statistics.dirty),
        ("jemalloc_muzzy_bytes", statistics.muzzy),
    ] {
        gauge!(name).set(bytes as f64);
    }
    for (name, value) in gauges {
        gauge!((*name).to_owned()).set(*value as f64);
    }
}
