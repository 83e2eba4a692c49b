//! ELF files, read from the file and never mapped: elf(5). 64 bits, little endian.
//!
//! Every file is hostile: each table has a bound, each offset is checked, and
//! nothing is allocated by a size that the file tells.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memgap_kernel::memory::{u16_at, u32_at, u64_at};

/// What an ELF file tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// `e_machine`.
    pub machine: u16,
    /// What is loaded, in the order of the file.
    pub segments: Vec<Segment>,
    /// Sections; empty where they were cut off.
    pub sections: Vec<Section>,
    /// Whether it is a program that no loader adds libraries to.
    pub is_static: bool,
}

/// A `PT_LOAD` program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file it begins.
    pub offset: u64,
    /// Where in memory it belongs, before the bias.
    pub address: u64,
    /// Bytes of it in the file.
    pub file_size: u64,
    /// Bytes of it in memory.
    pub memory_size: u64,
    /// Whether it may be written.
    pub writable: bool,
}

/// A section header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: Vec<u8>,
    /// Where in memory it belongs, before the bias.
    pub address: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// Bytes of it.
    pub size: u64,
    /// The section that goes with it: the names of symbols.
    pub link: u32,
}

/// A symbol that has a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// Its address before the bias.
    pub address: u64,
    /// Bytes of it.
    pub size: u64,
}

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const SECTION_HEADER: usize = 64;
pub(crate) const SYMBOL: usize = 24;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;
const WRITABLE: u32 = 2;

/// Bounds on what is read: real files have tens of each.
const MAX_SEGMENTS: usize = 256;
const MAX_SECTIONS: usize = 4096;
const MAX_NAMES: usize = 1 << 20;
/// Of the entries in `.dynamic`: real files have tens.
const MAX_DYNAMIC: usize = 16 << 10;
/// Longest name of a section that is distinguished.
const NAME: usize = 64;
/// Of symbols and of their names; those of large programs have 50 MiB.
const MAX_SYMBOLS: u64 = 64 << 20;
/// Of what is loaded and only read, where bytes are looked for.
const MAX_FOUND: u64 = 16 << 20;
const WINDOW: usize = 256 << 10;

impl Elf {
    /// Reads the headers of a file.
    pub fn read(file: &File) -> io::Result<Self> {
        let header = bytes(file, 0, HEADER)?;
        if header[..6] != *b"\x7fELF\x02\x01" {
            return Err(malformed("not a 64-bit little-endian ELF file"));
        }
        let table = Self::program_headers(file, &header)?;
        let segments = Self::segments(&table);
        let is_static = is_static(file, u16_at(&header, 16).unwrap_or_default(), &table);
        // A file may be cut or defaced behind what is loaded, and still run.
        let sections = Self::sections(file, &header).unwrap_or_default();
        let machine = u16_at(&header, 18).unwrap_or_default();
        Ok(Self { machine, segments, sections, is_static })
    }

    /// Whether it is a program of another word size or byte order.
    pub fn is_foreign(file: &File) -> bool {
        bytes(file, 0, 6).is_ok_and(|start| start[..4] == *b"\x7fELF" && start[4..] != [2, 1])
    }

    fn program_headers(file: &File, header: &[u8]) -> io::Result<Vec<u8>> {
        let at = u64_at(header, 32).unwrap_or_default();
        let count = usize::from(u16_at(header, 56).unwrap_or_default()).min(MAX_SEGMENTS);
        bytes(file, at, count * PROGRAM_HEADER)
    }

    fn segments(table: &[u8]) -> Vec<Segment> {
        let of = |entry: &[u8]| {
            (u32_at(entry, 0)? == PT_LOAD).then_some(())?;
            Some(Segment {
                writable: u32_at(entry, 4)? & WRITABLE != 0,
                offset: u64_at(entry, 8)?,
                address: u64_at(entry, 16)?,
                file_size: u64_at(entry, 32)?,
                memory_size: u64_at(entry, 40)?,
            })
        };
        table.chunks_exact(PROGRAM_HEADER).filter_map(of).collect()
    }

    fn sections(file: &File, header: &[u8]) -> io::Result<Vec<Section>> {
        let at = u64_at(header, 40).unwrap_or_default();
        let count = usize::from(u16_at(header, 60).unwrap_or_default()).min(MAX_SECTIONS);
        let table = bytes(file, at, count * SECTION_HEADER)?;
        let entries: Vec<&[u8]> = table.chunks_exact(SECTION_HEADER).collect();
        let strings = usize::from(u16_at(header, 62).unwrap_or_default());
        let strings = entries.get(strings).ok_or_else(|| malformed("no section names"))?;
        let size = u64_at(strings, 32).map_or(0, |size| size.min(MAX_NAMES as u64));
        let size = usize::try_from(size).unwrap_or_default();
        let names = bytes(file, u64_at(strings, 24).unwrap_or_default(), size)?;
        let of = |entry: &&[u8]| {
            let name = names.get(usize::try_from(u32_at(entry, 0)?).ok()?..)?;
            let name = name.split(|b| *b == 0).next()?;
            Some(Section {
                name: name[..name.len().min(NAME)].to_vec(),
                address: u64_at(entry, 16)?,
                offset: u64_at(entry, 24)?,
                size: u64_at(entry, 32)?,
                link: u32_at(entry, 40)?,
            })
        };
        Ok(entries.iter().filter_map(of).collect())
    }

    /// The section of a name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name.as_bytes())
    }

    /// The symbols of the names, from a table such as `.dynsym`, or `None` for
    /// those that it lacks.
    pub fn symbols<const N: usize>(
        &self,
        file: &File,
        table: &str,
        names: [&str; N],
    ) -> io::Result<[Option<Symbol>; N]> {
        let mut found = [None; N];
        let Some(table) = self.section(table) else { return Ok(found) };
        let link = usize::try_from(table.link).unwrap_or(usize::MAX);
        let Some(strings) = self.sections.get(link) else { return Ok(found) };
        let offsets = offsets_of(file, strings, &names)?;
        windows(file, table.offset, table.size, 0, SYMBOL, |_, window| {
            for symbol in window.chunks_exact(SYMBOL) {
                let (Some(name), Some(address), Some(size)) =
                    (u32_at(symbol, 0), u64_at(symbol, 8), u64_at(symbol, 16))
                else {
                    continue;
                };
                let at = offsets.iter().position(|all| all.contains(&u64::from(name)));
                if let (Some(at), true) = (at, address != 0) {
                    found[at].get_or_insert(Symbol { address, size });
                }
            }
        })?;
        Ok(found)
    }

    /// The first place of some bytes in what is loaded and only read, with at most `more`
    /// that follow it: it is looked for in the first 16 MiB, and found where it and those
    /// are shorter than 1 KiB.
    pub fn find(&self, file: &File, bytes: &[u8], more: usize) -> Option<Vec<u8>> {
        const OVERLAP: usize = 1024;
        let mut left = MAX_FOUND;
        let mut window = vec![0; WINDOW + OVERLAP];
        for segment in self.segments.iter().filter(|s| !s.writable) {
            let mut at = 0;
            while at < segment.file_size && left > 0 {
                let rest = usize::try_from(segment.file_size - at).unwrap_or(WINDOW);
                let window = &mut window[..rest.min(WINDOW + OVERLAP)];
                let read = file.read_at(window, segment.offset.checked_add(at)?).ok()?;
                let found = window[..read].windows(bytes.len()).position(|part| part == bytes);
                if let Some(found) = found {
                    let end = read.min(found + bytes.len() + more);
                    return Some(window[found..end].to_vec());
                }
                at += WINDOW as u64;
                left = left.saturating_sub(WINDOW as u64);
            }
        }
        None
    }

    /// Where in the file an address is, before the bias.
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            // What is before a segment wraps, and is then beyond its end.
            let at = address.wrapping_sub(segment.address);
            (at < segment.file_size).then(|| segment.offset.checked_add(at))
        })?
    }

    /// What is added to the file's addresses where the part of it at `offset` is
    /// mapped at `start`.
    pub fn bias(&self, start: u64, offset: u64) -> Option<u64> {
        let page = rustix::param::page_size() as u64;
        let down = |address: u64| address / page * page;
        let segment = self.segments.iter().find(|s| down(s.offset) == offset)?;
        Some(start.wrapping_sub(down(segment.address)))
    }
}

/// A program without an interpreter; one that may be loaded anywhere says that it
/// is a program and no library.
fn is_static(file: &File, kind: u16, table: &[u8]) -> bool {
    let of_kind = |kind| {
        let mut headers = table.chunks_exact(PROGRAM_HEADER);
        headers.find(|header| u32_at(header, 0) == Some(kind))
    };
    if of_kind(PT_INTERP).is_some() {
        return false;
    }
    let is_program = || {
        let dynamic = of_kind(PT_DYNAMIC)?;
        let size = usize::try_from(u64_at(dynamic, 32)?).ok()?.min(MAX_DYNAMIC);
        let entries = bytes(file, u64_at(dynamic, 8)?, size).ok()?;
        let flags = entries.chunks_exact(16).find(|e| u64_at(e, 0) == Some(DT_FLAGS_1))?;
        Some(u64_at(flags, 8)? & DF_1_PIE != 0)
    };
    kind == ET_EXEC || kind == ET_DYN && is_program() == Some(true)
}

/// Where in a table of strings each name stands; a linker may let a name be the
/// end of another.
fn offsets_of<const N: usize>(
    file: &File,
    strings: &Section,
    names: &[&str; N],
) -> io::Result<[Vec<u64>; N]> {
    const MANY: usize = 16;
    let ended = names.map(|name| [name.as_bytes(), b"\0"].concat());
    let mut found: [Vec<u64>; N] = std::array::from_fn(|_| Vec::new());
    let overlap = ended.iter().map(Vec::len).max().unwrap_or_default();
    windows(file, strings.offset, strings.size, overlap, 1, |at, window| {
        for end in (0..window.len()).filter(|end| window[*end] == 0) {
            for (name, found) in ended.iter().zip(&mut found) {
                if window[..=end].ends_with(name) && found.len() < MANY {
                    let offset = at + (end + 1 - name.len()) as u64;
                    if !found.contains(&offset) {
                        found.push(offset);
                    }
                }
            }
        }
    })?;
    Ok(found)
}

/// Hands a part of a file to `each` in windows, each with its place in the part.
/// A window holds the last `overlap` bytes of the one before, and whole `unit`s.
pub(crate) fn windows(
    file: &File,
    offset: u64,
    size: u64,
    overlap: usize,
    unit: usize,
    mut each: impl FnMut(u64, &[u8]),
) -> io::Result<()> {
    if size > MAX_SYMBOLS {
        return Err(malformed("a table of symbols is larger than 64 MiB"));
    }
    let step = WINDOW / unit * unit - overlap;
    let mut at = 0;
    while at < size {
        let rest = usize::try_from(size - at).unwrap_or(usize::MAX);
        let window = bytes(file, offset.saturating_add(at), rest.min(step + overlap))?;
        each(at, &window);
        at += step as u64;
    }
    Ok(())
}

fn bytes(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    file.read_exact_at(&mut buf, offset)?;
    Ok(buf)
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn file(content: &[u8]) -> File {
        let fd = rustix::fs::memfd_create("elf", rustix::fs::MemfdFlags::CLOEXEC);
        let mut file = File::from(fd.expect("memfd"));
        file.write_all(content).expect("written");
        file
    }

    fn own() -> File {
        File::open("/proc/self/exe").expect("our own program")
    }

    #[test]
    fn our_own_headers_and_symbols_are_read() {
        let file = own();
        let elf = Elf::read(&file).expect("a program");
        assert!(elf.segments.iter().any(|s| s.writable) && elf.section(".text").is_some());
        let names = ["main", "no such symbol"];
        let [main, none] = elf.symbols(&file, ".symtab", names).expect("a table");
        let text = elf.section(".text").expect("it runs");
        let inside = |s: Symbol| (text.address..text.address + text.size).contains(&s.address);
        assert!(main.is_some_and(inside) && none.is_none(), "{main:?}");
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        for content in [&b""[..], b"\x7fELF", &[0; 64], b"#!/bin/sh\n"] {
            assert!(Elf::read(&file(content)).is_err());
        }
    }

    /// Found by fuzzing.
    #[test]
    fn a_segment_may_reach_over_the_end_of_the_address_space() {
        let (address, size) = (u64::MAX - 7, 64);
        let end =
            Segment { offset: 16, address, file_size: size, memory_size: size, writable: true };
        let elf = Elf { machine: 62, segments: vec![end], sections: Vec::new(), is_static: true };
        assert_eq!([u64::MAX - 7, 0, 55].map(|at| elf.offset_of(at)), [16, 24, 79].map(Some));
        assert_eq!([56, u64::MAX - 8].map(|at| elf.offset_of(at)), [None, None]);
    }

    #[test]
    fn a_table_of_absurd_size_is_refused_before_it_is_read() {
        let names = Section { name: b".strtab".to_vec(), address: 0, offset: 0, size: 8, link: 0 };
        let table = Section { name: b".symtab".to_vec(), size: u64::MAX, ..names.clone() };
        let sections = vec![names, table];
        let elf = Elf { machine: 62, segments: Vec::new(), sections, is_static: false };
        assert!(elf.symbols(&own(), ".symtab", ["main"]).is_err());
    }

    proptest! {
        #[test]
        fn headers_of_any_kind_are_answered_or_refused(
            mut content in prop::collection::vec(any::<u8>(), 64..4096),
            tables in prop::array::uniform2(0u64..4096),
            counts in prop::array::uniform4(any::<u16>()),
        ) {
            content[..6].copy_from_slice(b"\x7fELF\x02\x01");
            content[32..40].copy_from_slice(&tables[0].to_le_bytes());
            content[40..48].copy_from_slice(&tables[1].to_le_bytes());
            for (count, at) in counts.iter().zip([56, 58, 60, 62]) {
                content[at..at + 2].copy_from_slice(&(count % 64).to_le_bytes());
            }
            let file = file(&content);
            if let Ok(elf) = Elf::read(&file) {
                for table in [".symtab", ".dynsym", ""] {
                    let _ = elf.symbols(&file, table, ["main"]);
                }
                let _ = elf.bias(0x40_0000, 0);
            }
        }
    }
}
