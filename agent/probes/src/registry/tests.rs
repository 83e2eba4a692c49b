use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use super::scanner::SHORTEST;
use super::*;
use crate::elf::{SYMBOL, Section, Segment};

fn file(content: &[u8]) -> File {
    let fd = rustix::fs::memfd_create("registry", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = File::from(fd.expect("memfd"));
    file.write_all(content).expect("written");
    file
}

fn section(name: &str, offset: usize, size: usize, link: u32) -> Section {
    let (name, offset, size) = (name.as_bytes().to_vec(), offset as u64, size as u64);
    Section { name, address: 0, offset, size, link }
}

fn elf(sections: Vec<Section>, segments: Vec<Segment>) -> Elf {
    Elf { machine: 62, segments, sections, is_static: false }
}

/// A file that has a text among its constants, wherever it stands in them.
fn with_text(text: &[u8], name: &str) -> Vec<&'static str> {
    let window = 256 << 10;
    let found = [0, 100, window - 5, window - text.len() / 2, 3 * window].map(|before| {
        let content = [&vec![b'x'; before][..], text, &[0; 100]].concat();
        let elf = elf(vec![section(".rodata", 0, content.len(), 0)], Vec::new());
        names(&elf, name, &file(&content))
    });
    let [first, others @ ..] = found;
    assert!(others.iter().all(|other| *other == first), "{first:?} {others:?}");
    first
}

/// A file whose table of symbols has one, in the middle of others.
fn with_symbol(symbol: &str, is_defined: bool) -> Vec<&'static str> {
    let names_of = format!("\0first\0_prefix_{symbol}\0last\0");
    let at = names_of.find(symbol).expect("it was put there");
    let entry = |name: usize, address: u64| {
        let name = u32::try_from(name).expect("small");
        [&name.to_le_bytes()[..], &[0; 4], &address.to_le_bytes(), &[0; 8]].concat()
    };
    let table = [entry(1, 1), entry(at, u64::from(is_defined)), entry(0, 9)].concat();
    let content = [names_of.as_bytes(), &table].concat();
    let sections = vec![
        section(".dynstr", 0, names_of.len(), 0),
        section(".dynsym", names_of.len(), 3 * SYMBOL, 0),
    ];
    names(&elf(sections, Vec::new()), "/usr/bin/program", &file(&content))
}

fn names(elf: &Elf, name: &str, file: &File) -> Vec<&'static str> {
    named(elf, name.as_bytes(), file).into_iter().map(|rule| rule.name).collect()
}

#[test]
fn every_sign_tells_its_rule() {
    for rule in RULES {
        for sign in rule.signs {
            let found = match sign {
                Sign::Text(text) => with_text(&text.bytes(), "/usr/bin/program"),
                Sign::Symbol(symbol) => with_symbol(symbol, true),
                Sign::File(start) => with_text(b"", &format!("/opt/{start}.so.1 (deleted)")),
                Sign::Section(name) => {
                    names(&elf(vec![section(name, 0, 8, 0)], Vec::new()), "/x", &file(&[0; 8]))
                }
                Sign::Mapping(start) => {
                    let mut given = Given::default();
                    for name in ["", "[anon:other]", &format!("{start}x]"), &format!("{start}y]")] {
                        given.take(name.as_bytes());
                    }
                    assert!(given.rules().all(|(_, name)| name.ends_with(b"x]")));
                    given.rules().map(|(rule, _)| rule.name).collect()
                }
            };
            assert_eq!(found, [rule.name], "{sign:?}");
        }
    }
}

#[test]
fn what_is_another_is_not_taken_for_it() {
    assert_eq!(with_symbol("luaJIT_setmode", true), ["luajit"]);
    for rule in RULES {
        for sign in rule.signs {
            if let Sign::Symbol(symbol) = sign {
                // A file that needs it, and one that has something of a longer name.
                assert!(with_symbol(symbol, false).is_empty(), "{symbol}");
                assert!(with_symbol(&format!("{symbol}_2"), true).is_empty(), "{symbol}");
            }
        }
    }
}

#[test]
fn signs_are_long_enough_to_be_found_and_each_is_of_one_rule() {
    let mut all: Vec<&Sign> = RULES.iter().flat_map(|rule| rule.signs).collect();
    for sign in &all {
        let len = match sign {
            Sign::Text(text) => text.len,
            Sign::Symbol(name) => name.len() + 1,
            Sign::File(_) | Sign::Section(_) => continue,
            Sign::Mapping(start) => {
                let is_given = GIVEN.iter().any(|given| start.as_bytes().starts_with(given));
                assert!(is_given, "{sign:?}");
                continue;
            }
        };
        assert!(len >= SHORTEST, "{sign:?} is shorter than {SHORTEST} bytes");
    }
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count);
    let is_word =
        |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b));
    assert!(RULES.iter().all(|rule| is_word(rule.name) && !rule.about.is_empty()));
}

/// We hold the table, and are not what it names.
#[test]
fn our_own_program_is_not_named() {
    let path = std::env::current_exe().expect("it has a path");
    let file = File::open(&path).expect("our own program");
    let elf = Elf::read(&file).expect("an ELF file");
    assert_eq!(names(&elf, "/usr/bin/memgap", &file), [""; 0]);
}

#[test]
fn without_sections_constants_are_found_in_what_is_only_read() {
    let of_ghc = RULES.iter().filter(|rule| rule.name == "ghc").flat_map(|rule| rule.signs);
    let text =
        of_ghc.filter_map(|sign| if let Sign::Text(text) = sign { Some(text) } else { None });
    let text = text.map(Text::bytes).next().expect("it has one");
    let content = [&[b'y'; 5000][..], &text, &[0; 10]].concat();
    let segment = |writable| {
        let size = content.len() as u64;
        Segment { offset: 0, address: 0, file_size: size, memory_size: size, writable }
    };
    let of = |writable| names(&elf(Vec::new(), vec![segment(writable)]), "/x", &file(&content));
    assert_eq!(of(false), ["ghc"]);
    assert!(of(true).is_empty());
}

/// What a file that is made to cost may take: it is looked at once.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn hostile_files_are_looked_at_within_bounds() {
    let start = Instant::now();
    // Tables that are said to be huge, or to lie where the file ends.
    for size in [u64::MAX, 1 << 40, 64 << 20] {
        for offset in [0, 100, u64::MAX - 10] {
            let part = |name: &str| Section { offset, size, ..section(name, 0, 0, 1) };
            let sections = vec![part(".rodata"), part(".dynstr"), part(".dynsym")];
            let segment =
                Segment { offset, address: 0, file_size: size, memory_size: size, writable: false };
            assert_eq!(names(&elf(sections, Vec::new()), "/x", &file(b"short")), [""; 0]);
            assert_eq!(names(&elf(Vec::new(), vec![segment; 256]), "/x", &file(b"")), [""; 0]);
        }
    }
    // A file with holes, and one that is full of what nearly is a text.
    let mut sparse = file(b"");
    sparse.seek(SeekFrom::Start(1 << 40)).expect("a file of 1 TiB");
    sparse.write_all(b"end").expect("written");
    let huge = elf(vec![section(".rodata", 0, 1 << 40, 0)], Vec::new());
    assert_eq!(names(&huge, "/x", &sparse), [""; 0]);
    let nearly = "<jemalloc>:<jemalloc>:".repeat(1 << 17);
    let full = elf(vec![section(".rodata", 0, nearly.len(), 0)], Vec::new());
    assert_eq!(names(&full, "/x", &file(nearly.as_bytes())), [""; 0]);
    // Names of symbols that are all one.
    let many = "caml_alloc_shr\0".repeat(1 << 16);
    let table = [&0u32.to_le_bytes()[..], &[1; 20]].concat().repeat(1 << 16);
    let sections =
        vec![section(".dynstr", 0, many.len(), 0), section(".dynsym", many.len(), table.len(), 0)];
    let content = [many.as_bytes(), &table].concat();
    assert_eq!(names(&elf(sections, Vec::new()), "/x", &file(&content)), ["ocaml"]);
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
}
