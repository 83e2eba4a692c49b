//! The runtimes and allocators that are named where they are in a process, though no
//! probe reads them: what they hold is left out of what is in use, and that is said.
//!
//! A rule tells one by the name of a file, by what the file exports, by a section, by a
//! message among its constants, or by the name of a mapping. A new one is one entry in
//! [`RULES`].

mod found;
mod rules;
mod scanner;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::LazyLock;

use memgap_ledger::Missing;

use crate::elf::Elf;
use found::FOUND;
pub use rules::RULES;

/// A runtime or allocator that no probe reads, or not in each of its forms.
#[derive(Debug)]
pub struct Rule {
    /// Stable lower-case name; a probe's, where that reads it in other forms.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Whether the probe of that name is to try a file that it tells.
    pub is_tried: bool,
    /// Where its heap lies.
    heap: Heap,
    /// What tells it: one of them is enough.
    signs: &'static [Sign],
    /// What tells that it is something else.
    unless: &'static [Sign],
}

/// Where the heap of a runtime lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heap {
    /// In mappings of its own.
    Own,
    /// In what it allocates by the C library's `malloc`, or by what replaces that.
    Malloc,
}

/// What tells a runtime or allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// The beginning of the name of a file that holds code.
    File(&'static str),
    /// A symbol that the file defines, of [`scanner::SHORTEST`] bytes or more.
    Symbol(&'static str),
    /// A section of the file.
    Section(&'static str),
    /// A text among the file's constants, of [`scanner::SHORTEST`] bytes or more.
    Text(Text),
    /// The beginning of the name of a mapping.
    Mapping(&'static str),
}

/// A short text, kept in a form that our own constants do not show: we would be taken for
/// what we name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Text {
    masked: [u8; Self::LONGEST],
    len: usize,
}

impl Text {
    const LONGEST: usize = 48;
    /// No character of a text has this bit.
    const MASK: u8 = 0x80;

    const fn of(plain: &str) -> Self {
        let plain = plain.as_bytes();
        let mut masked = [0; Self::LONGEST];
        let mut at = 0;
        while at < plain.len() {
            masked[at] = plain[at] ^ Self::MASK;
            at += 1;
        }
        Self { masked, len: plain.len() }
    }

    fn bytes(&self) -> Vec<u8> {
        self.masked[..self.len].iter().map(|byte| byte ^ Self::MASK).collect()
    }
}

impl Rule {
    /// Whether its heap lies in memory of another allocator.
    pub fn within_another(&self) -> bool {
        self.heap == Heap::Malloc
    }

    /// Why it is not read.
    pub fn why(&self) -> Missing {
        Missing::absent(match self.heap {
            Heap::Own => {
                format!("{}, which no probe reads: in use leaves out what it holds", self.about)
            }
            Heap::Malloc => {
                format!("{}, which no probe reads: what it holds is of malloc's memory", self.about)
            }
        })
    }

    fn has(&self, is_there: impl Fn(&Sign) -> bool) -> bool {
        self.signs.iter().any(&is_there) && !self.unless.iter().any(is_there)
    }
}

/// What stands for all that a program of another word size or byte order allocates.
pub(crate) static FOREIGN: Rule = Rule {
    name: "32-bit",
    about: "a program that is not of 64 bits, little-endian",
    is_tried: false,
    heap: Heap::Own,
    signs: &[],
    unless: &[],
};

/// What a file holds by its headers, its symbols, its constants and its name.
pub fn named(elf: &Elf, name: &[u8], file: &File) -> Vec<&'static Rule> {
    let found = FOUND.in_file(elf, file);
    let is_there = |sign: &Sign| match sign {
        Sign::File(start) => file_name(name).starts_with(start.as_bytes()),
        Sign::Section(section) => elf.section(section).is_some(),
        Sign::Symbol(_) | Sign::Text(_) => found.contains(sign),
        Sign::Mapping(_) => false,
    };
    RULES.iter().filter(|rule| rule.has(is_there)).collect()
}

/// What a file that can not be opened holds by its name.
pub(crate) fn by_name(name: &[u8]) -> impl Iterator<Item = &'static Rule> {
    let name = file_name(name);
    let is_it =
        move |sign: &Sign| matches!(sign, Sign::File(start) if name.starts_with(start.as_bytes()));
    RULES.iter().filter(move |rule| rule.has(is_it))
}

/// What the names of mappings tell: of each rule the first that shows it.
#[derive(Debug, Default)]
pub(crate) struct Given(BTreeMap<usize, Vec<u8>>);

impl Given {
    pub fn take(&mut self, name: &[u8]) {
        // Most are files or have no name: those are passed over once, not for each rule.
        if !GIVEN.iter().any(|start| name.starts_with(start)) {
            return;
        }
        for (number, start) in MAPPING_SIGNS.iter() {
            if name.starts_with(start.as_bytes()) {
                self.0.entry(*number).or_insert_with(|| name.to_vec());
            }
        }
    }

    /// The rules that were shown, each with the name that did.
    pub fn rules(&self) -> impl Iterator<Item = (&'static Rule, &[u8])> {
        self.0.iter().map(|(number, name)| (&RULES[*number], name.as_slice()))
    }
}

/// How the names begin that a program gives its own mappings.
const GIVEN: [&[u8]; 2] = [b"[anon", b"/memfd:"];

/// The signs that are names of mappings, with the place of their rule.
static MAPPING_SIGNS: LazyLock<Vec<(usize, &str)>> = LazyLock::new(|| {
    let of = |(number, rule): (usize, &'static Rule)| {
        rule.signs.iter().filter_map(move |sign| match sign {
            Sign::Mapping(start) => Some((number, *start)),
            _ => None,
        })
    };
    RULES.iter().enumerate().flat_map(of).collect()
});

/// The last part of a path, as it was before its file was deleted.
fn file_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}
