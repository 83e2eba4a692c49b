//! Go 1.12 to 1.18: `runtime.memstats` holds the amounts as plain words
//! (runtime/mstats.go of each). Nothing there tells it apart from other memory, so
//! it is found by its symbol.

use std::sync::Arc;
use std::time::Duration;

use memgap_kernel::memory::{Space, u64_at};
use memgap_ledger::claim::Extent;
use memgap_ledger::runtime::{Gc, Runtime};
use memgap_ledger::{Account, Fact, Missing};

use super::statistics::{ADDRESSES, PAGE, TRIES, claim};
use crate::probe::broken;
use crate::{Detail, HeapStatistics, Image, Layout, Mapped};

/// Where the amounts stand in `memstats`, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    heap_sys: usize,
    heap_in_use: usize,
    heap_released: usize,
    /// `mspan_sys`, `mcache_sys`, `buckhash_sys`, `other_sys`.
    metadata: [usize; 4],
    gc_sys: usize,
    pause_total: usize,
    num_gc: u64,
}

const SINCE_12: Shape = Shape {
    heap_sys: 56,
    heap_in_use: 72,
    heap_released: 80,
    metadata: [120, 136, 144, 160],
    gc_sys: 152,
    pause_total: 184,
    num_gc: 4288,
};

const IN_16: Shape = Shape {
    heap_sys: 48,
    heap_in_use: 56,
    heap_released: 64,
    metadata: [104, 120, 128, 160],
    gc_sys: 152,
    ..SINCE_12
};

const SINCE_17: Shape = Shape { pause_total: 176, num_gc: 4280, ..IN_16 };

/// Bytes that hold every field which is read, but the number of collections.
const HEAD: usize = 192;

/// Where a file keeps its heap statistics.
#[derive(Debug)]
struct Old {
    version: String,
    /// Before the bias.
    memstats: u64,
    shape: Shape,
}

/// The minor version of one that is read here.
pub(super) fn minor(version: &str) -> Option<u32> {
    let minor = version.strip_prefix("1.")?.split(|c: char| !c.is_ascii_digit()).next()?;
    minor.parse().ok().filter(|minor| *minor < 19)
}

/// Finds the heap statistics by symbol.
pub(super) fn resolve(image: &Image<'_>, version: &str, minor: u32) -> Fact<Arc<dyn Layout>> {
    let shape = match minor {
        12..=15 => SINCE_12,
        16 => IN_16,
        17 | 18 => SINCE_17,
        _ => return Err(Missing::absent(format!("Go {version} is older than 1.12"))),
    };
    let found = image.elf.symbols(&image.file, ".symtab", ["runtime.memstats"]);
    let [symbol] = found.map_err(|e| broken(format!("its symbols can not be read: {e}")))?;
    let symbol = symbol.ok_or_else(|| {
        let why = "shows its heap statistics by symbol only, and this file has none: build without `-ldflags -s`, or with Go 1.19 or later";
        Missing::absent(format!("Go {version} {why}"))
    })?;
    Ok(Arc::new(Old { version: version.to_owned(), memstats: symbol.address, shape }))
}

impl Layout for Old {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, _: Detail) -> Fact<HeapStatistics> {
        let at = self.memstats.wrapping_add(mapped.bias);
        let mut head = [0; HEAD];
        let word = |head: &[u8], at: usize| u64_at(head, at).unwrap_or_default();
        // Each word is whole; together they may be of a moment between two.
        for _ in 0..TRIES {
            space.read(at, &mut head)?;
            let shape = &self.shape;
            let in_use = word(&head, shape.heap_in_use);
            let released = word(&head, shape.heap_released);
            let idle = word(&head, shape.heap_sys).checked_sub(in_use);
            let is_paged = [in_use, released].iter().all(|bytes| bytes % PAGE == 0);
            if let Some(idle) = idle
                && is_paged
                && released <= idle
                && word(&head, shape.heap_sys) < ADDRESSES
                && in_use > 0
            {
                let mut cycles = [0; 4];
                space.read(at.wrapping_add(shape.num_gc), &mut cycles)?;
                return Ok(self.statistics(&head, u32::from_le_bytes(cycles), idle));
            }
        }
        Err(broken("heap_sys is not the sum of what is in use and idle"))
    }
}

impl Old {
    fn statistics(&self, head: &[u8], cycles: u32, idle: u64) -> HeapStatistics {
        let word = |at: usize| u64_at(head, at).unwrap_or_default();
        let in_use = word(self.shape.heap_in_use);
        let released = word(self.shape.heap_released).min(idle);
        let metadata = self.shape.metadata.iter().fold(0u64, |s, at| s.saturating_add(word(*at)));
        let gc = Gc {
            cycles: Some(cycles.into()),
            paused: Some(Duration::from_nanos(word(self.shape.pause_total))),
            ..Gc::default()
        };
        let runtime = Runtime {
            version: Some(self.version.clone()),
            in_use: Some(in_use),
            free: Some(idle),
            released: Some(released),
            trimmable: Some(idle - released),
            evidence: vec![
                "runtime.memstats found by its symbol".to_owned(),
                "heap_sys is the sum of what is in use and idle".to_owned(),
            ],
            gc: Some(gc),
            ..Runtime::named("go")
        };
        let pages = [(Account::HeapInUse, in_use), (Account::AllocatorFree, idle)];
        let beside =
            [(Account::AllocatorMetadata, metadata), (Account::GcTables, word(self.shape.gc_sys))];
        let claims = vec![claim(Extent::Anywhere, &pages), claim(Extent::Anywhere, &beside)];
        HeapStatistics { runtime, claims }
    }
}
