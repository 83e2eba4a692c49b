//! Finds the variables without symbols: by the rules that they keep.

use memgap_kernel::memory::{Space, WINDOW, u32_at, u64_at};
use memgap_ledger::{Fact, Missing};

use super::shape::{GC_MISC_SYS, GC_PERCENT, HEAP_MINIMUM, MEMORY_LIMIT, SHAPES, Shape};
use super::{Machine, Variables, calibrate, statistics};
use crate::Image;

/// Places that look like one of the variables; a program that shows more is
/// made to.
const MAX_PLACES: usize = 2048;

const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;

/// Pairs of such places that are tried: a program of thousands of each has millions.
pub(super) const MAX_PAIRS: usize = 8192;

/// What the scan found that looks like a variable.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Of `gcController`.
    controllers: Vec<u64>,
    /// Of one with `GOGC=0`: much else looks like it.
    doubtful: Vec<u64>,
    /// Of `mheap_.pages.mheapLock`.
    own_pointers: Vec<OwnPointer>,
}

/// A word that points a little back, as `pages.mheapLock` does to `mheap_`, and the
/// one that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnPointer {
    at: u64,
    heap: u64,
    gc_misc_sys: u64,
}

/// Finds the variables in a process that maps the image.
pub(super) fn variables(image: &Image<'_>, space: &Space<'_>) -> Fact<Variables> {
    let bias = image.mapped.bias;
    let places = places(image, space)?;
    let machine = match image.elf.machine {
        EM_X86_64 => Machine::Amd64,
        EM_AARCH64 => Machine::Arm64,
        other => return Err(Missing::absent(format!("Go for machine {other} is not known"))),
    };
    let mut why = Missing::absent(
        "gcController was not found: it is of an unknown build, older than 1.19, or not set up",
    );
    for (controller, own, shape) in places.candidates(space) {
        let found = found(shape, controller, own, bias, machine);
        match statistics::prove(&found, bias, space) {
            Ok(()) => return Ok(found),
            Err(lack) => why = lack,
        }
    }
    Err(why)
}

impl OwnPointer {
    fn distance(self) -> u64 {
        self.at.wrapping_sub(self.heap)
    }
}

fn found(shape: Shape, controller: u64, own: OwnPointer, bias: u64, machine: Machine) -> Variables {
    let memstats = own.gc_misc_sys.wrapping_sub(shape.after_deltas() + GC_MISC_SYS as u64);
    Variables {
        version: None,
        gc_controller: controller.wrapping_sub(bias),
        memstats: memstats.wrapping_sub(bias),
        page_alloc: own.heap.wrapping_add(shape.page_alloc).wrapping_sub(bias),
        shape,
        machine,
    }
}

/// Scans what is resident of the image's variables.
fn places(image: &Image<'_>, space: &Space<'_>) -> Fact<Places> {
    let mut places = Places::default();
    let mut buf = vec![0; WINDOW];
    for (start, end) in variable_ranges(image) {
        for (from, to) in space.resident(start, end)? {
            let mut at = from.max(start) & !7;
            let to = to.min(end);
            while at < to {
                let len = usize::try_from(to - at).unwrap_or(WINDOW).min(WINDOW);
                space.read(at, &mut buf[..len])?;
                places.scan(at, &buf[..len]);
                if len < WINDOW {
                    break;
                }
                // The next window sees a variable that this one cuts.
                at += (WINDOW - 64) as u64;
            }
        }
    }
    Ok(places)
}

/// The sections without contents in the file; where their names were cut off, all
/// that may be written.
fn variable_ranges(image: &Image<'_>) -> Vec<(u64, u64)> {
    let bias = image.mapped.bias;
    let range = |address: u64, size: u64| {
        let start = address.wrapping_add(bias);
        (start, start.saturating_add(size))
    };
    let sections = [".noptrbss", ".bss"].map(|name| image.elf.section(name));
    let named: Vec<_> = sections.into_iter().flatten().map(|s| range(s.address, s.size)).collect();
    if !named.is_empty() {
        return named;
    }
    let writable = image.elf.segments.iter().filter(|s| s.writable);
    writable.map(|s| range(s.address, s.memory_size)).collect()
}

impl Places {
    /// What may be the variables: shapes that are known first, then others.
    pub fn candidates(&self, space: &Space<'_>) -> impl Iterator<Item = (u64, OwnPointer, Shape)> {
        let known = self.pairs().flat_map(|(controller, own)| {
            let shapes = SHAPES.iter().filter(move |shape| own.distance() == shape.own_pointer);
            shapes.map(move |shape| (controller, own, *shape))
        });
        let unknown = self.pairs().take(MAX_PAIRS).flat_map(move |(controller, own)| {
            let shapes = calibrate::shapes(controller, own.distance(), own.gc_misc_sys, space);
            shapes.into_iter().map(move |shape| (controller, own, shape))
        });
        known.take(MAX_PAIRS).chain(unknown)
    }

    /// Every controller with every own pointer, the likely ones first.
    fn pairs(&self) -> impl Iterator<Item = (u64, OwnPointer)> {
        let controllers = self.controllers.iter().chain(&self.doubtful);
        controllers.flat_map(|c| self.own_pointers.iter().map(move |own| (*c, *own)))
    }

    pub fn scan(&mut self, start: u64, bytes: &[u8]) {
        for (at, address) in
            (0..bytes.len().saturating_sub(23)).step_by(8).zip((start..).step_by(8))
        {
            if is_controller(&bytes[at..]) {
                let is_doubtful = u32_at(bytes, at + GC_PERCENT) == Some(0);
                push(if is_doubtful { &mut self.doubtful } else { &mut self.controllers }, address);
            }
            let (Some(word), Some(next)) = (u64_at(bytes, at), u64_at(bytes, at + 8)) else {
                break;
            };
            let own = OwnPointer { at: address, heap: word, gc_misc_sys: next };
            if calibrate::OWN_POINTER.contains(&own.distance()) {
                push(&mut self.own_pointers, own);
            }
        }
    }
}

fn push<T: PartialEq>(places: &mut Vec<T>, place: T) {
    // Windows overlap: the last place may be met twice.
    if places.len() < MAX_PLACES && places.last() != Some(&place) {
        places.push(place);
    }
}

/// `gcPercent`, nothing, a limit, and the minimal heap that follows from the first.
fn is_controller(bytes: &[u8]) -> bool {
    let words = || {
        let percent = u32_at(bytes, GC_PERCENT)?.cast_signed();
        let nothing = u32_at(bytes, GC_PERCENT + 4)?;
        let limit = u64_at(bytes, MEMORY_LIMIT)?.cast_signed();
        let minimum = u64_at(bytes, HEAP_MINIMUM)?;
        Some((percent, nothing, limit, minimum))
    };
    let Some((percent, 0, limit, minimum)) = words() else { return false };
    // As Go computes it, in 64 bits that overflow.
    let product = |base: u64| base.wrapping_mul(i64::from(percent).cast_unsigned()) / 100;
    percent >= -1 && limit > 0 && [4 << 20, 512 << 10].map(product).contains(&minimum)
}
