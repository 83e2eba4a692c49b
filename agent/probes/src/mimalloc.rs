//! mimalloc 2: its heap is made of segments that begin at multiples of 32 MiB, each with
//! a table of what its slices of 64 KiB are (include/mimalloc/types.h).

mod segment;
mod shape;
mod statistics;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::{Space, u64_at};
use memgap_kernel::text;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use segment::Segment;
use shape::{SHAPES, Shape};

/// The probe.
#[derive(Debug)]
pub(super) struct Mimalloc;

const FILE: &[u8] = b"libmimalloc";
const EM_X86_64: u16 = 62;
/// Characters of a version that are shown.
const SHOWN: usize = 16;
/// Places where a segment is looked for.
const PLACES: usize = 256;

impl Probe for Mimalloc {
    fn name(&self) -> &'static str {
        "mimalloc"
    }

    fn about(&self) -> &'static str {
        "mimalloc 2.0.9 to 2.2.4, as a library or built in; others, and secure ones, are named"
    }

    fn detect(&self, _: &Elf, name: &[u8], _: &File) -> bool {
        is_library(name)
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let named = match version(&image.mapped.path) {
            Some(version) => format!("version {version}"),
            None => "its version".to_owned(),
        };
        if image.elf.machine != EM_X86_64 {
            return Err(Missing::absent(format!("{named} is known on x86-64 alone")));
        }
        let found = find(image, space)?.ok_or_else(|| {
            let known = SHAPES.map(|shape| shape.versions).join(", ");
            let why = format!(
                "the heap statistics of {named} are not read: no segment as of {known} has the cookie of its main heap"
            );
            Missing::new(MissingKind::Absent, why)
        })?;
        Ok(Arc::new(found))
    }
}

fn is_library(path: &[u8]) -> bool {
    path.rsplit(|b| *b == b'/').next().unwrap_or_default().starts_with(FILE)
}

/// Where a file keeps the secret of its segments, and how those are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Variables {
    shape: Shape,
    /// `_mi_heap_main.cookie`, before the bias.
    cookie: u64,
}

impl Layout for Variables {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(*self, mapped.bias, space, detail)
    }
}

/// Finds a segment whose secret the variables of the file know too.
fn find(image: &Image<'_>, space: &Space<'_>) -> Fact<Option<Variables>> {
    let places = segment::places(&space.areas()?, space)?;
    for shape in SHAPES {
        for at in places.iter().take(PLACES) {
            let Some(found) = Segment::begin(*at, shape, space)? else { continue };
            if found.spans(space).is_err() {
                continue;
            }
            if let Some(cookie) =
                image.find_variable(8, space, |_, bytes| u64_at(bytes, 0) == Some(found.secret))?
            {
                return Ok(Some(Variables { shape, cookie }));
            }
        }
    }
    Ok(None)
}

/// `2.0` of `libmimalloc.so.2.0`; a file that has it built in has a version of its own.
fn version(path: &str) -> Option<String> {
    let (library, version) = path.rsplit_once(".so.")?;
    is_library(library.as_bytes()).then_some(())?;
    let is_version = version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_version.then(|| text::printable(version.as_bytes(), SHOWN))
}
