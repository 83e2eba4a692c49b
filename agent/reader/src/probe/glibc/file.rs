//! The file that holds `malloc`: by its name and by the words that it may say.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::elf::Elf;

/// What the C library says of itself, before its version.
const BANNER: &[u8] = b"GNU C Library (";
const RELEASE: &[u8] = b"release version ";
/// Said by `malloc` alone, in every version since 2.3.
const COMPLAINT: &[u8] = b"corrupted double-linked list";
/// Bytes of a file that are looked through.
const LIMIT: u64 = 16 << 20;
const WINDOW: usize = 256 << 10;
/// The longest line in which the version stands.
const LINE: usize = 256;

/// Whether a file may hold it: the C library itself, or a static program.
pub(super) fn holds_malloc(elf: &Elf, name: &[u8], file: &File) -> bool {
    if is_library(name) {
        return find(elf, file, BANNER).is_some();
    }
    elf.is_static && find(elf, file, COMPLAINT).is_some()
}

/// `libc.so.6`, or `libc-2.31.so` before 2.34.
fn is_library(path: &[u8]) -> bool {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
    name == b"libc.so.6" || name.starts_with(b"libc-2.") && name.ends_with(b".so")
}

/// The version that the file tells: `2.36`.
pub(super) fn version(elf: &Elf, file: &File) -> Option<String> {
    let banner = find(elf, file, BANNER)?;
    let end = banner.iter().position(|b| *b == b'\n').unwrap_or(banner.len());
    let line = &banner[..end];
    let at = line.windows(RELEASE.len()).position(|part| part == RELEASE)? + RELEASE.len();
    let is_part = |b: &u8| b.is_ascii_digit() || *b == b'.';
    let version: Vec<u8> = line[at..].iter().copied().take_while(is_part).collect();
    let version = String::from_utf8(version).ok()?;
    let version = version.trim_end_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

/// The first place of the words in what is loaded and only read, with what follows.
fn find(elf: &Elf, file: &File, words: &[u8]) -> Option<Vec<u8>> {
    let mut left = LIMIT;
    let mut window = vec![0; WINDOW + LINE];
    for segment in elf.segments.iter().filter(|s| !s.writable) {
        let mut at = 0;
        while at < segment.file_size && left > 0 {
            let len = usize::try_from(segment.file_size - at).unwrap_or(WINDOW).min(window.len());
            let read = file.read_at(&mut window[..len], segment.offset.checked_add(at)?).ok()?;
            let found = window[..read].windows(words.len()).position(|part| part == words);
            if let Some(found) = found {
                let end = read.min(found + LINE);
                return Some(window[found..end].to_vec());
            }
            at += WINDOW as u64;
            left = left.saturating_sub(WINDOW as u64);
        }
    }
    None
}
