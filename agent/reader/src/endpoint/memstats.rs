//! `runtime.MemStats` of Go, whichever way a program shows it (runtime/mstats.go).

use serde::Deserialize;

/// The figures that are used, in bytes; `None` is one that was not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MemStats {
    /// Spans with an object in them.
    pub heap_inuse: Option<u64>,
    /// Spans without one, given back to the kernel or not.
    pub heap_idle: Option<u64>,
    /// Of `heap_idle`, what was given back.
    pub heap_released: Option<u64>,
    /// Spans that goroutines' stacks are in.
    pub stack_inuse: Option<u64>,
    /// Descriptions of spans.
    #[serde(rename = "MSpanSys")]
    pub mspan_sys: Option<u64>,
    /// Caches of each processor.
    #[serde(rename = "MCacheSys")]
    pub mcache_sys: Option<u64>,
    /// Tables of the profiler.
    pub buck_hash_sys: Option<u64>,
    /// Tables of the garbage collector.
    #[serde(rename = "GCSys")]
    pub gc_sys: Option<u64>,
    /// Everything else of the runtime.
    pub other_sys: Option<u64>,
    /// Collections since the start: a count.
    #[serde(rename = "NumGC")]
    pub num_gc: Option<u64>,
}

impl MemStats {
    /// A figure by its name in Go; `None` for those that are not used.
    pub(crate) fn figure(&mut self, name: &[u8]) -> Option<&mut Option<u64>> {
        Some(match name {
            b"HeapInuse" => &mut self.heap_inuse,
            b"HeapIdle" => &mut self.heap_idle,
            b"HeapReleased" => &mut self.heap_released,
            b"StackInuse" => &mut self.stack_inuse,
            b"MSpanSys" => &mut self.mspan_sys,
            b"MCacheSys" => &mut self.mcache_sys,
            b"BuckHashSys" => &mut self.buck_hash_sys,
            b"GCSys" => &mut self.gc_sys,
            b"OtherSys" => &mut self.other_sys,
            b"NumGC" => &mut self.num_gc,
            _ => return None,
        })
    }

    /// All figures that are there.
    pub(crate) fn figures(&self) -> impl Iterator<Item = u64> {
        [
            self.heap_inuse,
            self.heap_idle,
            self.heap_released,
            self.stack_inuse,
            self.mspan_sys,
            self.mcache_sys,
            self.buck_hash_sys,
            self.gc_sys,
            self.other_sys,
            self.num_gc,
        ]
        .into_iter()
        .flatten()
    }
}
