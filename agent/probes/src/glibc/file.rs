//! The file that holds `malloc`: by its name and by the words that it may say.

use std::fs::File;

use crate::elf::Elf;

/// What the C library says of itself, before its version.
const BANNER: &[u8] = b"GNU C Library (";
const RELEASE: &[u8] = b"release version ";
/// Said by `malloc` alone, in every version since 2.3.
const COMPLAINT: &[u8] = b"corrupted double-linked list";
/// Bytes that follow the banner's beginning, with the version among them.
const LINE: usize = 256;

/// Whether a file may hold it: the C library itself, or a static program.
pub(super) fn holds_malloc(elf: &Elf, name: &[u8], file: &File) -> bool {
    if is_library(name) {
        return elf.find(file, BANNER, 0).is_some();
    }
    elf.is_static && elf.find(file, COMPLAINT, 0).is_some()
}

/// `libc.so.6`, or `libc-2.31.so` before 2.34.
fn is_library(path: &[u8]) -> bool {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
    name == b"libc.so.6" || name.starts_with(b"libc-2.") && name.ends_with(b".so")
}

/// The version that the file tells: `2.36`.
pub(super) fn version(elf: &Elf, file: &File) -> Option<String> {
    let banner = elf.find(file, BANNER, LINE)?;
    let end = banner.iter().position(|b| *b == b'\n').unwrap_or(banner.len());
    let line = &banner[..end];
    let at = line.windows(RELEASE.len()).position(|part| part == RELEASE)? + RELEASE.len();
    let is_part = |b: &u8| b.is_ascii_digit() || *b == b'.';
    let version: Vec<u8> = line[at..].iter().copied().take_while(is_part).collect();
    let version = String::from_utf8(version).ok()?;
    let version = version.trim_end_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}
