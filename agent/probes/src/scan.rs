//! What the mappings of a process tell of what runs in it, taken in one by one: a program
//! chooses how many it has, and their names, so what is kept of them is bounded.

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::os::unix::ffi::OsStrExt;

use memgap_kernel::file::Buf;
use memgap_kernel::process::Process;
use memgap_kernel::source::maps::{self, Device, Mapping};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::Mapped;
use super::beacon;
use super::image::Part;
use super::registry::Given;

/// Files with code that are looked at in one process: programs with many libraries have
/// some hundreds. Each is opened, so one that maps more is made to cost.
const MAX_PARTS: usize = 2048;

/// Bytes of their names.
const MAX_NAMES: usize = 1 << 20;

/// What the mappings of one process tell.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// How many there are.
    pub mappings: usize,
    /// What the names of mappings tell that no file does.
    pub given: Given,
    /// Where a program publishes statistics of its own.
    pub beacon: Option<Mapped>,
    program: Vec<u8>,
    /// The lowest parts of files that have code mapped, each name in `names`.
    parts: Vec<(Mapping<'static>, Range<usize>)>,
    names: Vec<u8>,
    met: HashSet<(Device, u64)>,
    /// The lowest part of the file that is met, and its name.
    lowest: Option<Mapping<'static>>,
    name: Vec<u8>,
    /// Whether the names were too long to be kept.
    is_long: bool,
}

impl Scan {
    /// Of the mappings of a process, by a text of at most `limit` bytes.
    pub fn of(process: &Process, limit: usize, buf: &mut Buf) -> Fact<Self> {
        let program = process.program().unwrap_or_default().into_os_string();
        let mut scan = Self { program: program.as_bytes().to_vec(), ..Self::default() };
        maps::read(process, limit, buf, |mapping| {
            scan.take(mapping);
            ControlFlow::Continue(())
        })?;
        match scan.over() {
            Some(why) => Err(Missing::new(MissingKind::Refused, why)),
            None => Ok(scan),
        }
    }

    /// The lowest parts of the files that have code mapped: programs and libraries.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.parts.iter().map(|(mapping, name)| {
            let name = &self.names[name.clone()];
            Part { mapping: Mapping { name, ..*mapping }, is_program: *self.program == *name }
        })
    }

    fn take(&mut self, mapping: &Mapping<'_>) {
        self.mappings += 1;
        self.given.take(mapping.name);
        if self.beacon.is_none() {
            self.beacon = beacon::of(mapping);
        }
        if mapping.inode == 0 || !mapping.name.starts_with(b"/") {
            return;
        }
        let id = (mapping.device, mapping.inode);
        // The parts of a file lie side by side.
        let known = self.lowest.filter(|low| (low.device, low.inode) == id);
        let low = known.unwrap_or_else(|| {
            self.name.clear();
            self.name.extend_from_slice(mapping.name);
            Mapping { name: &[], ..*mapping }
        });
        self.lowest = Some(low);
        if mapping.access[2] == b'x' && self.met.insert(id) {
            self.keep(low);
        }
    }

    /// The bound that it is over, of which only a part was kept.
    fn over(&self) -> Option<String> {
        let files = self.met.len();
        if files > MAX_PARTS {
            Some(format!("it runs code of {files} files, more than {MAX_PARTS}"))
        } else if self.is_long {
            Some(format!("the files with its code have names of over {MAX_NAMES} bytes"))
        } else {
            None
        }
    }

    fn keep(&mut self, low: Mapping<'static>) {
        let start = self.names.len();
        self.is_long |= start + self.name.len() > MAX_NAMES;
        if self.parts.len() < MAX_PARTS && !self.is_long {
            self.names.extend_from_slice(&self.name);
            self.parts.push((low, start..self.names.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(inode: u64, name: &[u8]) -> Mapping<'_> {
        let (start, end) = (inode << 12, (inode + 1) << 12);
        Mapping { start, end, access: *b"r-xp", offset: 0, device: (8, 1), inode, name }
    }

    #[test]
    fn the_lowest_part_of_each_file_with_code_is_kept_once() {
        let mut scan = Scan { program: b"/bin/p".to_vec(), ..Scan::default() };
        let read_only = |inode, name| Mapping { access: *b"r--p", ..code(inode, name) };
        let again = Mapping { inode: 1, ..code(7, b"/bin/p") };
        let low = read_only(1, b"/bin/p");
        for mapping in [low, Mapping { inode: 1, ..code(2, b"/bin/p") }, read_only(3, b"/data")] {
            scan.take(&mapping);
        }
        for mapping in [code(5, b"/lib/\xff"), again, code(0, b""), code(8, b"[vdso]")] {
            scan.take(&mapping);
        }
        let parts: Vec<Part<'_>> = scan.parts().collect();
        assert_eq!((parts.len(), scan.mappings), (2, 7));
        assert_eq!((parts[0].mapping, parts[0].is_program), (low, true));
        assert_eq!((parts[1].mapping.name, parts[1].is_program), (&b"/lib/\xff"[..], false));
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_in_length() {
        let taken = |name: &[u8]| {
            let mut scan = Scan::default();
            (1..=4096).for_each(|inode| scan.take(&code(inode, name)));
            assert!(scan.over().is_some() && scan.names.len() <= MAX_NAMES);
            scan.parts.len()
        };
        assert_eq!(taken(b"/x"), MAX_PARTS);
        assert_eq!(taken(&[b'/'; 4096]), MAX_NAMES / 4096);
    }
}
