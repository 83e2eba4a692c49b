//! Which of the symbols and texts of all rules a file holds: each part of it is read once.

use std::fs::File;
use std::io;
use std::sync::LazyLock;

use memgap_kernel::memory::{u32_at, u64_at};

use super::scanner::Scanner;
use super::{RULES, Sign};
use crate::elf::{Elf, SYMBOL, Section, Segment, windows};

/// The signs of all rules that take a look into the file.
pub(super) static FOUND: LazyLock<Signs> = LazyLock::new(|| {
    let all = || RULES.iter().flat_map(|rule| rule.signs.iter().chain(rule.unless)).copied();
    let texts = all().filter(|sign| matches!(sign, Sign::Text(_)));
    let symbols = all().filter(|sign| matches!(sign, Sign::Symbol(_)));
    Signs { texts: Kind::of(texts.collect()), symbols: Kind::of(symbols.collect()) }
});

/// Bytes of constants that are looked through: the largest programs have 50 MiB. They are
/// somewhere in what is only read where the sections of a file were cut off.
const MAX_TEXT: u64 = 64 << 20;
/// Of names of symbols; those of programs that were not stripped have up to 50 MiB.
const MAX_NAMES: u64 = 16 << 20;
/// Places of names that are remembered; a file with more is made to have them.
const MAX_PLACES: usize = 1024;

/// The signs that are looked for in files.
#[derive(Debug)]
pub(super) struct Signs {
    texts: Kind,
    symbols: Kind,
}

/// Signs of one kind, and what finds them.
#[derive(Debug)]
struct Kind {
    signs: Vec<Sign>,
    scanner: Scanner,
}

impl Kind {
    fn of(signs: Vec<Sign>) -> Self {
        let bytes = |sign: &Sign| match sign {
            Sign::Text(text) => text.bytes(),
            // As it ends in a table of strings.
            Sign::Symbol(name) => [name.as_bytes(), b"\0"].concat(),
            Sign::File(_) | Sign::Section(_) | Sign::Mapping(_) => Vec::new(),
        };
        let scanner = Scanner::of(signs.iter().map(bytes).collect());
        Self { signs, scanner }
    }
}

impl Signs {
    /// Those that a file holds. What can not be read of it holds none.
    pub fn in_file(&self, elf: &Elf, file: &File) -> Vec<Sign> {
        let mut found = self.texts_of(elf, file);
        for table in [".dynsym", ".symtab"] {
            found.extend(self.symbols_of(elf, file, table).unwrap_or_default());
        }
        found
    }

    fn texts_of(&self, elf: &Elf, file: &File) -> Vec<Sign> {
        let parts: Vec<(u64, u64)> = match elf.section(".rodata") {
            Some(section) => vec![(section.offset, section.size.min(MAX_TEXT))],
            None => {
                let mut left = MAX_TEXT;
                let read_only = elf.segments.iter().filter(|segment| !segment.writable);
                let part = |segment: &Segment| {
                    let size = segment.file_size.min(left);
                    left -= size;
                    (segment.offset, size)
                };
                read_only.map(part).collect()
            }
        };
        let Kind { signs, scanner } = &self.texts;
        let mut found = Vec::new();
        for (offset, size) in parts {
            // A file may be shorter than it says, and then ends the look at this part.
            let _ = windows(file, offset, size, scanner.longest(), 1, |_, window| {
                scanner.scan(window, |number, _| add(&mut found, signs[number]));
            });
        }
        found
    }

    /// The symbols that a table defines.
    fn symbols_of(&self, elf: &Elf, file: &File, table: &str) -> io::Result<Vec<Sign>> {
        let none = Ok(Vec::new());
        let Some(table) = elf.section(table) else { return none };
        let link = usize::try_from(table.link).unwrap_or(usize::MAX);
        let Some(strings) = elf.sections.get(link) else { return none };
        let places = self.places(file, strings)?;
        let mut found = Vec::new();
        if places.is_empty() {
            return Ok(found);
        }
        windows(file, table.offset, table.size, 0, SYMBOL, |_, window| {
            for symbol in window.chunks_exact(SYMBOL) {
                let (Some(name), Some(address)) = (u32_at(symbol, 0), u64_at(symbol, 8)) else {
                    continue;
                };
                let at = places.binary_search_by_key(&u64::from(name), |(place, _)| *place);
                if let (Ok(at), true) = (at, address != 0) {
                    add(&mut found, places[at].1);
                }
            }
        })?;
        Ok(found)
    }

    /// Where in a table of strings the names of symbols stand, in order. No two stand in
    /// one place, for none begins with another and its end.
    fn places(&self, file: &File, strings: &Section) -> io::Result<Vec<(u64, Sign)>> {
        let Kind { signs, scanner } = &self.symbols;
        let mut places = Vec::new();
        if strings.size > MAX_NAMES {
            return Ok(places);
        }
        windows(file, strings.offset, strings.size, scanner.longest(), 1, |start, window| {
            scanner.scan(window, |number, at| {
                if places.len() < MAX_PLACES {
                    places.push((start + at as u64, signs[number]));
                }
            });
        })?;
        places.sort_by_key(|(place, _)| *place);
        Ok(places)
    }
}

fn add(found: &mut Vec<Sign>, sign: Sign) {
    if !found.contains(&sign) {
        found.push(sign);
    }
}
