//! The version that the linker left: `.go.buildinfo`, as debug/buildinfo reads it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use memgap_kernel::memory::u64_at;

use crate::Image;
use crate::elf::Elf;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// In the byte after the pointer's size: the strings follow (since 1.18).
const INLINE: u8 = 2;
const FLAGS: usize = 15;
/// A pointer to the version, where it does not follow.
const POINTER: usize = 16;
/// The version's length, where it follows; longer ones than 127 have two bytes.
const LENGTH: usize = 32;
const LONGEST: usize = 127;

/// The version without `go`: `1.27.3`. Go 1.12 leaves it in a variable only.
pub(super) fn read(image: &Image<'_>) -> Option<String> {
    let Some(place) = place(image.elf, &image.file) else {
        let found = image.elf.symbols(&image.file, ".symtab", ["runtime.buildVersion"]).ok()?;
        return string(image, found[0]?.address);
    };
    let mut head = [0; LENGTH + 1 + LONGEST];
    let read = image.file.read_at(&mut head, place).ok()?;
    let head = &head[..read];
    if !head.starts_with(MAGIC) {
        return None;
    }
    if head.get(FLAGS)? & INLINE != 0 {
        let len = usize::from(*head.get(LENGTH)?);
        return shown(head.get(LENGTH + 1..)?.get(..len)?);
    }
    string(image, u64_at(head, POINTER)?)
}

/// The string that a variable has in the file: its place, then its length.
fn string(image: &Image<'_>, address: u64) -> Option<String> {
    let mut variable = [0; 16];
    image.file.read_exact_at(&mut variable, image.elf.offset_of(address)?).ok()?;
    let len = usize::try_from(u64_at(&variable, 8)?).ok().filter(|len| *len <= LONGEST)?;
    let mut bytes = [0; LONGEST];
    image
        .file
        .read_exact_at(&mut bytes[..len], image.elf.offset_of(u64_at(&variable, 0)?)?)
        .ok()?;
    shown(&bytes[..len])
}

/// Where in the file it stands: in its section, or where those were cut off at the
/// start of what is written.
pub(super) fn place(elf: &Elf, file: &File) -> Option<u64> {
    const START: usize = 64 << 10;
    const ALIGNED: usize = 16;
    if let Some(section) = elf.section(".go.buildinfo") {
        return Some(section.offset);
    }
    if !elf.sections.is_empty() {
        return None;
    }
    let mut start = vec![0; START];
    elf.segments.iter().filter(|s| s.writable).find_map(|segment| {
        let read = file.read_at(&mut start, segment.offset).ok()?;
        let index = start[..read].chunks(ALIGNED).position(|place| place.starts_with(MAGIC))?;
        segment.offset.checked_add((index * ALIGNED) as u64)
    })
}

fn shown(version: &[u8]) -> Option<String> {
    let version = version.strip_prefix(b"go")?;
    let is_one = version.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    (is_one && !version.is_empty()).then(|| String::from_utf8_lossy(version).into_owned())
}
