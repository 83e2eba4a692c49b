//! jemalloc's statistics: jemalloc(3), `stats.*`.

use tikv_jemalloc_ctl::{epoch, raw};

use crate::Error;

/// jemalloc's own figures at one time, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Given out to the program.
    pub allocated: u64,
    /// In pages in use.
    pub active: u64,
    /// Taken for its own tables.
    pub metadata: u64,
    /// Resident at most, as jemalloc sees it: without what it gave back lazily.
    pub resident: u64,
    /// Mapped, without `retained`.
    pub mapped: u64,
    /// Given back to the kernel, the addresses kept.
    pub retained: u64,
    /// Free, and not given back yet.
    pub dirty: u64,
    /// Given back lazily (`MADV_FREE`).
    pub muzzy: u64,
}

impl Statistics {
    /// The statistics of this moment: jemalloc sums them up once an epoch.
    pub(crate) fn read() -> Result<Self, Error> {
        epoch::advance().map_err(reported)?;
        let page = size(b"arenas.page\0")?;
        let pages = |name: &[u8]| size(name).map(|count| count.saturating_mul(page));
        Ok(Self {
            allocated: size(b"stats.allocated\0")?,
            active: size(b"stats.active\0")?,
            metadata: size(b"stats.metadata\0")?,
            resident: size(b"stats.resident\0")?,
            mapped: size(b"stats.mapped\0")?,
            retained: size(b"stats.retained\0")?,
            // `MALLCTL_ARENAS_ALL`: the sums over all arenas.
            dirty: pages(b"stats.arenas.4096.pdirty\0")?,
            muzzy: pages(b"stats.arenas.4096.pmuzzy\0")?,
        })
    }
}

fn reported(error: tikv_jemalloc_ctl::Error) -> Error {
    Error::Statistics(error.to_string())
}

#[allow(unsafe_code, reason = "the crate has no safe name for all of these statistics")]
fn size(name: &[u8]) -> Result<u64, Error> {
    // SAFETY: every name that is asked for is of type `size_t` (jemalloc(3)).
    unsafe { raw::read::<usize>(name) }.map(|value| value as u64).map_err(reported)
}
