//! Files that a process maps: headers, symbols, and what probes and rules look for in them.
//! No memory lies behind such a file, so that a probe must refuse it.
#![no_main]

use std::fs::File;
use std::io::Write;

use libfuzzer_sys::fuzz_target;
use memgap_fuzz::choose;
use memgap_kernel::memory::{Area, Bounds, Memory, Space};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::{Fact, Missing};
use memgap_probes::elf::Elf;
use memgap_probes::{Image, Mapped, PROBES, named};
use rustix::fs::{MemfdFlags, memfd_create};

/// By which probes and rules take a file for theirs.
const NAMES: [&str; 8] = [
    "/usr/lib/jvm/lib/server/libjvm.so",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/ld-musl-x86_64.so.1",
    "/usr/lib/libpython3.11.so.1.0",
    "/usr/lib/libjemalloc.so.2",
    "/usr/lib/libmimalloc.so.2.0",
    "/usr/bin/node",
    "/usr/bin/app (deleted)",
];

/// No memory at all.
struct Nothing;

impl Memory for Nothing {
    fn read(&self, address: u64, _: &mut [u8]) -> Fact<()> {
        Err(Missing::absent(format!("nothing at {address:#x}")))
    }

    fn resident(&self, _: u64, _: u64, _: usize) -> Fact<Ranges> {
        Ok(Ranges::new())
    }

    fn areas(&self, _: usize) -> Fact<Vec<Area>> {
        Ok(Vec::new())
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((which, content)) = choose(input, NAMES.len()) else { return };
    let Some(file) = file(content) else { return };
    let Ok(elf) = Elf::read(&file) else { return };
    assert!(elf.segments.len() <= 256 && elf.sections.len() <= 4096);
    for table in [".symtab", ".dynsym", ""] {
        let _ = elf.symbols(&file, table, ["main", "mallctl", "malloc"]);
    }
    let found = elf.find(&file, b"GNU C Library", 16);
    assert!(found.is_none_or(|found| found.len() <= 13 + 16));
    let name = NAMES[which];
    let _ = named(&elf, name.as_bytes(), &file);
    let Some(bias) = elf.bias(0x7f00_0000_0000, 0) else { return };
    for probe in PROBES.iter().filter(|probe| probe.detect(&elf, name.as_bytes(), &file)) {
        let Ok(file) = file.try_clone() else { return };
        let image = Image { file, elf: &elf, mapped: Mapped { path: name.to_owned(), bias } };
        let _ = probe.resolve(&image, &Space::new(&Nothing, Bounds::RESOLVE));
    }
});

fn file(content: &[u8]) -> Option<File> {
    let mut file = File::from(memfd_create("fuzz", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(content).ok()?;
    Some(file)
}
