//! How much of a process is lazily freed, by a sample of its pages: for who has mappings
//! that are too large to be walked.
//!
//! `pagemap` tells which page of memory lies behind an address, to who has
//! `CAP_SYS_ADMIN`, and `kpageflags` what that page is: anonymous, and not swap backed, if
//! it was lazily freed (Documentation/admin-guide/mm/pagemap.rst). It stays so when it is
//! written again, until reclaim comes by; only a walk tells that. So this is the most that
//! can be lazily freed.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use memgap_ledger::{Fact, Figure, Missing, MissingKind};

use crate::file::{Buf, missing};
use crate::process::Process;
use crate::source::maps::{self, Mapping};
use crate::source::pagemap;
use crate::turns::Turns;

/// Name of the file below procfs.
const FLAGS: &str = "kpageflags";

/// Pages that are looked at, each by itself: with half of them lazily freed the high bound is
/// 3 % of all above the point.
const SAMPLES: u64 = 1 << 12;

/// Time between two pauses for the target: nobody is to notice that it is looked at.
const STRETCH: Duration = Duration::from_micros(100);

/// Mappings in which they may lie.
const MAX_MAPPINGS: usize = 1 << 14;

/// Standard deviations on either side that hold 999 of 1,000 samples.
const WIDE: f64 = 3.291;

/// An entry of either file.
const ENTRY: u64 = size_of::<u64>() as u64;
const PRESENT: u64 = 1 << 63;
const FRAME: u64 = (1 << 55) - 1;

/// include/uapi/linux/kernel-page-flags.h.
const DIRTY: u64 = 1 << 4;
const ANON: u64 = 1 << 12;
const SWAP_BACKED: u64 = 1 << 14;
const COMPOUND_HEAD: u64 = 1 << 15;
const COMPOUND_TAIL: u64 = 1 << 16;

/// Pages in the largest folio of anonymous memory, as a power of 2.
const MAX_ORDER: u32 = 13;

/// What is lazily freed in private anonymous mappings, in bytes: none at the least, for what was
/// written again is among it; as the sample has it; and at the most, in 999 of 1,000 samples.
pub fn estimate(process: &Process, procfs: &Path, buf: &mut Buf) -> Fact<Figure> {
    let pagemap = process.file(pagemap::NAME)?;
    let path = procfs.join(FLAGS);
    let flags = File::open(&path).map_err(|error| missing(&path, &error))?;
    let mapped = Mapped::of(process, buf)?;
    let pages = Pages { pagemap: &pagemap, flags: &flags };
    let samples = SAMPLES.min(mapped.pages);
    let (mut turns, mut lazy) = (Turns::within(STRETCH), 0);
    for sample in 0..samples {
        let Some(address) = mapped.address(sample, samples) else { continue };
        let is_lazy = turns.take(|| pages.is_lazy(address));
        lazy += u64::from(is_lazy.map_err(|error| failed(process, &error))?);
    }
    let page = rustix::param::page_size() as f64;
    let (point, high) = shares(lazy, samples);
    #[allow(clippy::cast_possible_truncation, reason = "it is less than an address space")]
    let bytes = |share: f64| (share * mapped.pages as f64 * page) as i64;
    Ok(Figure::interval(0, bytes(point), bytes(high)))
}

fn failed(process: &Process, error: &io::Error) -> Missing {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let why = format!(
            "which page lies where in process {} is not told: that takes CAP_SYS_ADMIN",
            process.pid()
        );
        return Missing::new(MissingKind::Denied, why);
    }
    let why = format!("failed to look at pages of process {}: {error}", process.pid());
    Missing::new(MissingKind::Malformed, why)
}

/// The share of all that was found so often in a sample, and the most that it may be (Wilson's
/// interval). There is one sample in each of as many parts of one size, which is never worse
/// than as many anywhere.
fn shares(found: u64, samples: u64) -> (f64, f64) {
    if samples == 0 {
        return (0.0, 0.0);
    }
    let (n, share) = (samples as f64, found as f64 / samples as f64);
    let square = WIDE * WIDE / n;
    let spread = WIDE * (share * (1.0 - share) / n + square / (4.0 * n)).sqrt();
    (share, ((share + square / 2.0 + spread) / (1.0 + square)).min(1.0))
}

/// The private anonymous mappings of a process.
#[derive(Debug, Default)]
struct Mapped {
    /// The first address of each, and the number of its first page among all pages.
    starts: Vec<(u64, u64)>,
    pages: u64,
}

impl Mapped {
    fn of(process: &Process, buf: &mut Buf) -> Fact<Self> {
        let mut mapped = Self::default();
        let page = rustix::param::page_size() as u64;
        let mut is_over = false;
        maps::read(process, maps::SHARE, buf, |mapping| {
            if !is_asked(mapping) {
                return ControlFlow::Continue(());
            }
            is_over = mapped.starts.len() == MAX_MAPPINGS;
            if is_over {
                return ControlFlow::Break(());
            }
            mapped.starts.push((mapping.start, mapped.pages));
            mapped.pages = mapped.pages.saturating_add((mapping.end - mapping.start) / page);
            ControlFlow::Continue(())
        })?;
        if is_over {
            let why = format!(
                "process {} has more than {MAX_MAPPINGS} mappings of anonymous memory",
                process.pid()
            );
            return Err(Missing::new(MissingKind::Refused, why));
        }
        Ok(mapped)
    }

    /// A page somewhere in one of so many parts of all of them.
    fn address(&self, part: u64, parts: u64) -> Option<u64> {
        let bound = |part: u64| {
            let at = u128::from(self.pages) * u128::from(part) / u128::from(parts);
            u64::try_from(at).unwrap_or(self.pages)
        };
        let (first, last) = (bound(part), bound(part + 1));
        // Where it lies in its part follows no pattern that memory could follow too.
        let number = first + scattered(part.wrapping_add(self.pages)) % (last - first).max(1);
        let at = self.starts.partition_point(|(_, first)| *first <= number).checked_sub(1)?;
        let (start, first) = *self.starts.get(at)?;
        Some(start + (number - first) * rustix::param::page_size() as u64)
    }
}

/// Whether memory there can be lazily freed, and is in use at all.
fn is_asked(mapping: &Mapping<'_>) -> bool {
    let is_anonymous = mapping.inode == 0 && mapping.device == (0, 0);
    // Also without vsyscall, which lies beyond all pages.
    is_anonymous && mapping.access[3] == b'p' && mapping.access[..2] != *b"--"
}

/// Numbers without a pattern from numbers with one (SplitMix64).
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What the kernel tells of pages.
struct Pages<'f> {
    pagemap: &'f File,
    flags: &'f File,
}

impl Pages<'_> {
    fn is_lazy(&self, address: u64) -> io::Result<bool> {
        let page = rustix::param::page_size() as u64;
        let entry = entry(self.pagemap, address / page)?;
        if entry & PRESENT == 0 {
            return Ok(false);
        }
        let frame = entry & FRAME;
        if frame == 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let flags = self.flags_of(frame)?;
        Ok(flags & (ANON | SWAP_BACKED | DIRTY) == ANON)
    }

    /// The flags of a page; of one within a larger folio, those of its first page, for the
    /// others do not have them. Folios lie at multiples of their size, so the first that one
    /// comes to is its own.
    fn flags_of(&self, frame: u64) -> io::Result<u64> {
        let own = entry(self.flags, frame)?;
        if own & COMPOUND_TAIL == 0 {
            return Ok(own);
        }
        for order in 1..=MAX_ORDER {
            let first = frame >> order << order;
            let flags = entry(self.flags, first)?;
            if first != frame && flags & COMPOUND_HEAD != 0 {
                return Ok(flags);
            }
        }
        // It was freed meanwhile.
        Ok(own | SWAP_BACKED)
    }
}

fn entry(file: &File, number: u64) -> io::Result<u64> {
    let mut bytes = [0; size_of::<u64>()];
    file.read_exact_at(&mut bytes, number.saturating_mul(ENTRY))?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_between_nothing_and_all() {
        assert_eq!(shares(0, 0), (0.0, 0.0));
        let (none, most) = shares(0, 4096);
        assert!(none.abs() < 1e-9 && most > 0.0 && most < 0.003, "{most}");
        let (half, most) = shares(2048, 4096);
        assert!((half - 0.5).abs() < 1e-9 && most > 0.51 && most < 0.53, "{most}");
        let (all, most) = shares(4096, 4096);
        assert!((all - 1.0).abs() < 1e-9 && (most - 1.0).abs() < 1e-9, "{most}");
    }

    #[test]
    fn each_part_has_its_page() {
        let page = rustix::param::page_size() as u64;
        let mapped = Mapped { starts: vec![(page, 0), (100 * page, 3)], pages: 10 };
        let pages: Vec<u64> =
            (0..10).filter_map(|part| mapped.address(part, 10)).map(|at| at / page).collect();
        assert_eq!(pages, [1, 2, 3, 100, 101, 102, 103, 104, 105, 106]);
        for part in 0..3 {
            let at = mapped.address(part, 3).expect("there are pages");
            assert!(mapped.address(part + 1, 4).is_some() && at >= page && at < 107 * page);
        }
        assert_eq!(Mapped::default().address(0, 1), None);
    }
}
