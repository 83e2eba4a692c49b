//! Finds `main_arena` and `mp_` in the writable data of a process that maps the file.

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_ledger::{Fact, Missing};

use super::MAX_ARENAS;
use super::{ADDRESSES, Malloc, Parameters, SMALLEST_PAGE, Shape, is_chunk};
use crate::Image;

/// Bytes of a program's data that are looked through: a static program has its
/// own beside the C library's.
const MAX_DATA: u64 = 64 << 20;
/// `struct malloc_state` from its bins on: 127 pairs of links, the map of bins,
/// the links of arenas.
const PAIRS: u64 = 127;
const LAST_PAIR: u64 = (PAIRS - 1) * 16;
pub(super) const NEXT: u64 = PAIRS * 16 + 16;
/// What may come before the bins: 24 bytes since 2.43, 104 to 2.26, 112 between.
const MAX_BEFORE: u64 = 256;
/// Bytes within which the two variables of one source file lie.
const NEAR: u64 = 64 << 10;
/// `DEFAULT_MMAP_MAX`.
pub(super) const MMAP_MAX: u32 = 65_536;

/// What is said where `malloc` was never called, or is laid out in a way that is not known.
pub(super) const IDLE: &str =
    "no arena keeps its rules: the program allocates nothing by it, or it is of an unknown build";

/// Finds the variables.
pub(super) fn malloc(image: &Image<'_>, space: &Space<'_>) -> Fact<Malloc> {
    let data = Data::read(image, space)?;
    let found = data.bins().find_map(|bins| arena(&data, bins, space));
    let (main_arena, shape) = found.ok_or_else(|| Missing::absent(IDLE))?;
    let end = main_end(&data, main_arena, shape, space);
    let parameters = data.parameters(main_arena, end).ok_or_else(|| {
        Missing::absent(
            "mp_ is not distinguished: the program has changed its limits, or its break",
        )
    })?;
    let unbiased = |address: u64| address.wrapping_sub(image.mapped.bias);
    Ok(Malloc {
        version: None,
        main_arena: unbiased(main_arena),
        shape,
        parameters: Parameters {
            mappings: unbiased(parameters.mappings),
            mapped: unbiased(parameters.mapped),
            sbrk_base: unbiased(parameters.sbrk_base),
        },
    })
}

/// Empty lists that are looked at. Programs have some of their own; one that has more
/// is made to.
const MAX_EMPTY: usize = 1 << 16;

/// The writable data of a file in a process, as far as it is resident; in order.
struct Data(Vec<(u64, Vec<u8>)>);

impl Data {
    fn read(image: &Image<'_>, space: &Space<'_>) -> Fact<Self> {
        let mut parts = Vec::new();
        let mut left = MAX_DATA;
        for segment in image.elf.segments.iter().filter(|s| s.writable) {
            let start = segment.address.wrapping_add(image.mapped.bias);
            let end = start.saturating_add(segment.memory_size.min(left));
            for (from, to) in space.resident(start, end)? {
                let mut bytes = vec![0; usize::try_from(to - from).unwrap_or_default()];
                space.read(from, &mut bytes)?;
                parts.push((from, bytes));
            }
            left -= segment.memory_size.min(left);
        }
        parts.sort_unstable_by_key(|(start, _)| *start);
        Ok(Self(parts))
    }

    /// The part that an address may lie in, and where in it.
    fn part(&self, address: u64) -> Option<(&[u8], usize)> {
        let behind = self.0.partition_point(|(start, _)| *start <= address);
        let (start, bytes) = self.0.get(behind.checked_sub(1)?)?;
        Some((bytes, usize::try_from(address - start).ok()?))
    }

    fn word(&self, address: u64) -> Option<u64> {
        self.part(address).and_then(|(bytes, at)| u64_at(bytes, at))
    }

    fn half(&self, address: u64) -> Option<u32> {
        self.part(address).and_then(|(bytes, at)| u32_at(bytes, at))
    }

    /// The addresses of words.
    fn words(&self) -> impl Iterator<Item = u64> {
        let of = |(start, bytes): &(u64, Vec<u8>)| (*start, *start + bytes.len() as u64);
        self.0.iter().map(of).flat_map(|(start, end)| (start.next_multiple_of(8)..end).step_by(8))
    }

    /// Where bins may begin: the last one is never used, so both its links lead to
    /// itself; every other one is empty too, or both its links lead to chunks.
    fn bins(&self) -> impl Iterator<Item = u64> {
        let leads_to_itself = move |pair: u64| {
            let header = pair.wrapping_sub(16);
            self.word(pair) == Some(header) && self.word(pair + 8) == Some(header)
        };
        let empty = self.words().filter(move |pair| leads_to_itself(*pair)).take(MAX_EMPTY);
        empty.filter_map(move |last| {
            let bins = last.checked_sub(LAST_PAIR)?;
            let is_pair = |pair: u64| {
                let links = (self.word(pair), self.word(pair + 8));
                leads_to_itself(pair)
                    || matches!(links, (Some(a), Some(b)) if is_chunk(a) && is_chunk(b))
            };
            (bins..last).step_by(16).all(is_pair).then_some(bins)
        })
    }

    /// `mp_`: limits that few programs change, and amounts that agree.
    fn parameters(&self, main: u64, main_end: Option<(u64, u64)>) -> Option<Parameters> {
        let near = self.words().filter(|word| word.abs_diff(main) < NEAR);
        let candidates = near.flat_map(|sbrk_base| {
            // 2.17 to 2.23 had one more amount, and the numbers may be padded.
            let shapes = [(16, 0), (16, 4), (24, 0), (24, 4)];
            shapes.map(|(above, pad)| self.score(sbrk_base, above, pad, main_end))
        });
        let best = candidates.flatten().max_by_key(|(score, _)| *score);
        best.map(|(_, parameters)| parameters)
    }

    fn score(
        &self,
        sbrk_base: u64,
        above: u64,
        pad: u64,
        main_end: Option<(u64, u64)>,
    ) -> Option<(u32, Parameters)> {
        const ENOUGH: u32 = 4;
        let mapped = sbrk_base.checked_sub(above)?;
        let mappings = mapped.checked_sub(16 + pad)?;
        let (now, most) = (self.word(mapped)?, self.word(mapped + 8)?);
        let [count, limit, most_count, fixed] =
            [0, 4, 8, 12].map(|at| self.half(mappings + at).unwrap_or(u32::MAX));
        let agrees = now <= most
            && most < ADDRESSES
            && now.is_multiple_of(SMALLEST_PAGE)
            && most.is_multiple_of(SMALLEST_PAGE)
            && (now == 0) == (count == 0)
            && (most == 0) == (most_count == 0)
            && count <= most_count
            && fixed <= 1;
        let base = self.word(sbrk_base)?;
        let is_base = main_end.is_some_and(|(end, size)| base.wrapping_add(size) == end);
        let is_limit = limit == MMAP_MAX;
        // tcache_bins and tcache_max_bytes.
        let caches = (self.word(sbrk_base + 8), self.word(sbrk_base + 16));
        let has_caches = matches!(caches, (Some(64 | 76), Some(1..=0x10_0000)));
        let score = 4 * u32::from(is_base) + 3 * u32::from(is_limit) + u32::from(has_caches);
        let is_one = agrees && base < ADDRESSES && score >= ENOUGH;
        is_one.then_some((score, Parameters { mappings, mapped, sbrk_base }))
    }
}

/// `main_arena` by its bins: the list of arenas leads back to it.
fn arena(data: &Data, bins: u64, space: &Space<'_>) -> Option<(u64, Shape)> {
    let first = data.word(bins + NEXT)?;
    (16..=MAX_BEFORE).step_by(8).find_map(|before| {
        let main = bins.checked_sub(before)?;
        let mut sizes = sizes(data.word(bins + NEXT + 16)?, data.word(bins + NEXT + 24)?);
        let mut at = first;
        for _ in 0..MAX_ARENAS {
            if at == main {
                let system_mem = before + NEXT + sizes?;
                return Some((main, Shape { bins: before, system_mem }));
            }
            let last = at.checked_add(before + LAST_PAIR).filter(|_| is_chunk(at))?;
            let link = space.words::<2>(last).ok()?;
            if link != [last - 16; 2] {
                return None;
            }
            let [next, _, a, b] = space.words::<4>(at + before + NEXT).ok()?;
            sizes = sizes.or_else(|| self::sizes(a, b));
            at = next;
        }
        None
    })
}

/// Where `system_mem` is behind the links of arenas: since 2.23 a number of threads
/// stands between, which is small.
fn sizes(threads_or_size: u64, size: u64) -> Option<u64> {
    // No whole pages, where something else has moved the break before.
    let is_size = |word: u64| (SMALLEST_PAGE..ADDRESSES).contains(&word);
    if threads_or_size < SMALLEST_PAGE {
        return is_size(size).then_some(24);
    }
    (is_size(threads_or_size) && size >= threads_or_size).then_some(16)
}

/// The end of the top of the main arena, and how much it holds, where it holds any.
fn main_end(data: &Data, main: u64, shape: Shape, space: &Space<'_>) -> Option<(u64, u64)> {
    let top = data.word(main + shape.bins - 16).filter(|top| is_chunk(*top))?;
    let size = data.word(main + shape.system_mem).filter(|size| *size > 0)?;
    let [top_size] = space.words::<1>(top.checked_add(8)?).ok()?;
    Some((top.wrapping_add(top_size & !7), size))
}
