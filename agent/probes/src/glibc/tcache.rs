//! `tcache_perthread_struct`: free chunks that a thread keeps for itself, since 2.26.
//! Arenas count them as in use.

use memgap_kernel::memory::{Space, u16_at, u64_at};

use super::arena::FLAGS;
use super::{ALIGN, is_chunk};

/// Bins of one size each, 16 bytes apart from 32 on. Those behind them, since 2.42,
/// hold chunks of many sizes.
const SMALL: usize = 64;
/// Chunks that a bin may hold; the default is 7, since 2.43 it is 16.
const MOST: u16 = 127;

/// How the caches of a process look: by the size of the chunk that one stands in.
#[derive(Debug, Clone, Copy)]
struct Form {
    bins: usize,
    /// Bytes of each number.
    width: usize,
    /// Whether numbers tell how many chunks a bin has room for yet.
    counts_down: bool,
}

fn form(chunk: u64) -> Option<Form> {
    let (bins, width, counts_down) = match chunk {
        0x250 => (SMALL, 1, false),
        0x290 => (SMALL, 2, false),
        0x300 => (SMALL + 12, 2, true),
        _ => return None,
    };
    Some(Form { bins, width, counts_down })
}

/// Bytes of a chunk that may hold a cache; `None` for one of another size.
pub(super) fn length(chunk: u64) -> Option<usize> {
    form(chunk).map(|form| form.entries() + form.bins * 8)
}

/// The bytes that a cache keeps; `None` where the bytes are none, or an empty one.
/// `fill` is `mp_.tcache_count`.
pub(super) fn kept(chunk: u64, bytes: &[u8], fill: u16, space: &Space<'_>) -> Option<u64> {
    let form = form(chunk)?;
    let mut kept = 0u64;
    for bin in 0..form.bins {
        let count = form.count(bytes, bin, fill)?;
        let entry = u64_at(bytes, form.entries() + bin * 8)?;
        if (count == 0) != (entry == 0) || count > MOST.max(fill) {
            return None;
        }
        if count == 0 {
            continue;
        }
        let (size, mut next) = link(entry, space)?;
        if bin < SMALL {
            if size != 32 + bin as u64 * ALIGN {
                return None;
            }
            kept = kept.checked_add(size * u64::from(count))?;
            continue;
        }
        kept = kept.checked_add(size)?;
        for _ in 1..count {
            let (size, after) = link(next, space)?;
            kept = kept.checked_add(size)?;
            next = after;
        }
    }
    (kept > 0).then_some(kept)
}

impl Form {
    fn entries(self) -> usize {
        (self.bins * self.width).next_multiple_of(8)
    }

    fn count(self, bytes: &[u8], bin: usize, fill: u16) -> Option<u16> {
        let number = match self.width {
            1 => u16::from(*bytes.get(bin)?),
            _ => u16_at(bytes, bin * 2)?,
        };
        if self.counts_down { fill.checked_sub(number) } else { Some(number) }
    }
}

/// The size of a kept chunk, and the one that follows it. Links are mangled where
/// bins of many sizes are.
fn link(entry: u64, space: &Space<'_>) -> Option<(u64, u64)> {
    let at = entry.checked_sub(8).filter(|_| is_chunk(entry))?;
    let [size, next] = space.words::<2>(at).ok()?;
    Some((size & !FLAGS, next ^ (entry >> 12)))
}
