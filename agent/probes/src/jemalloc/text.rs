//! What the file says of itself: strings that jemalloc is never built without.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use memgap_ledger::{Fact, Missing};

use crate::elf::Elf;

/// Bytes of constants that are looked at: programs have a few MiB.
const MAX_TEXT: u64 = 64 << 20;
const WINDOW: usize = 256 << 10;
/// Longer than any version.
const OVERLAP: usize = 128;
/// Longer than any prefix of a build.
const LONGEST_PREFIX: usize = 32;

/// The version, of the form `5.3.0-0-g54eaed1d8b56`: the release, and how many commits
/// came since.
pub(super) fn version(elf: &Elf, file: &File) -> Fact<(String, u32)> {
    search(elf, file, &mut |window| {
        let mut dashes = window.windows(2).enumerate().filter(|(_, pair)| *pair == b"-g");
        dashes.find_map(|(at, _)| version_around(window, at))
    })
    .ok_or_else(|| Missing::absent("its file does not tell the version of jemalloc"))
}

/// `5.3.0` and 0 where `-g` at the place ends `5.3.0-0-g54eaed1d8b56`.
fn version_around(window: &[u8], dash: usize) -> Option<(String, u32)> {
    let (before, after) = window.split_at(dash);
    let hash = after[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let is_part = |b: &&u8| b.is_ascii_digit() || **b == b'.' || **b == b'-';
    let start = before.len() - before.iter().rev().take_while(is_part).count();
    let (version, commits) = std::str::from_utf8(&before[start..]).ok()?.split_once('-')?;
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let is_version = version.split('.').count() == 3 && version.split('.').all(is_number);
    let ends = after.get(2 + hash).is_some_and(|b| *b == 0);
    let is_one = hash > 0 && ends && is_version && is_number(commits);
    Some((version.to_owned(), commits.parse().ok()?)).filter(|_| is_one)
}

/// The variable of the environment that its options are read from: the prefix that it was built
/// with stands before `MALLOC_CONF` (`obtain_malloc_conf`, src/jemalloc.c). None where the file
/// tells of none, or of several.
pub(super) fn variable(elf: &Elf, file: &File) -> Option<String> {
    let mut found = BTreeSet::new();
    search(elf, file, &mut |window| {
        let bars = window.iter().enumerate().filter(|(_, byte)| **byte == b'_');
        found.extend(bars.filter_map(|(at, _)| variable_around(window, at)));
        (found.len() > 1).then_some(())
    });
    found.pop_first().filter(|_| found.is_empty())
}

/// `_RJEM_MALLOC_CONF` where it ends in what the bar at the place is in the middle of, and no
/// other text is around it.
fn variable_around(window: &[u8], bar: usize) -> Option<String> {
    let (before, after) = window.split_at(bar);
    let prefix = before.strip_suffix(b"MALLOC").filter(|_| after.starts_with(b"_CONF\0"))?;
    let is_part = |b: &&u8| b.is_ascii_uppercase() || b.is_ascii_digit() || **b == b'_';
    let length = prefix.iter().rev().take(LONGEST_PREFIX).take_while(is_part).count();
    let (before, prefix) = prefix.split_at(prefix.len() - length);
    // What a window begins within stands whole in the one before.
    let begins = before.last() == Some(&0);
    begins.then(|| format!("{}MALLOC_CONF", String::from_utf8_lossy(prefix)))
}

/// Hands the file's constants to `find` in windows until it answers.
fn search<T>(elf: &Elf, file: &File, find: &mut dyn FnMut(&[u8]) -> Option<T>) -> Option<T> {
    let constants: Vec<(u64, u64)> = match elf.section(".rodata") {
        Some(section) => vec![(section.offset, section.size)],
        None => {
            let read_only = elf.segments.iter().filter(|s| !s.writable);
            read_only.map(|s| (s.offset, s.file_size)).collect()
        }
    };
    let mut buf = vec![0; WINDOW];
    let mut left = MAX_TEXT;
    for (offset, size) in constants {
        let size = size.min(left);
        left -= size;
        let mut at = 0;
        while at < size {
            let len = usize::try_from(size - at).map_or(WINDOW, |rest| rest.min(WINDOW));
            let read = file.read_at(&mut buf[..len], offset.saturating_add(at)).ok()?;
            if let Some(found) = find(&buf[..read]) {
                return Some(found);
            }
            if read < WINDOW {
                break;
            }
            at += (WINDOW - OVERLAP) as u64;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{variable_around, version_around};

    #[test]
    fn the_variable_is_distinguished_from_texts_about_it() {
        for (text, variable) in [
            ("\0_RJEM_MALLOC_CONF\0", Some("_RJEM_MALLOC_CONF")),
            ("\0MALLOC_CONF\0", Some("MALLOC_CONF")),
            ("\0JE_MALLOC_CONF\0", Some("JE_MALLOC_CONF")),
            ("JE_MALLOC_CONF\0", None),
            ("\0value of the environment variable MALLOC_CONF\0", None),
            ("\0MALLOC_CONF_NSOURCES\0", None),
            ("\0_RJEM_MALLOC_CONF", None),
            ("\0AN_UNBELIEVABLY_LONG_PREFIX_OF_ABC_MALLOC_CONF\0", None),
        ] {
            let bar = text.find("_CONF").expect("it is there");
            assert_eq!(variable_around(text.as_bytes(), bar).as_deref(), variable, "{text}");
        }
    }

    #[test]
    fn versions_are_distinguished_from_what_looks_alike() {
        for (text, version) in [
            ("\x005.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c\0", Some(("5.3.0", 0))),
            ("5.2.1-0-g0\0", Some(("5.2.1", 0))),
            ("v5.3.1-12-gabc\0", Some(("5.3.1", 12))),
            ("5.3.1-99999999999-gabc\0", None),
            ("5.3-0-gabc\0", None),
            ("5.3.0-0-gabc ", None),
            ("5.3.0-gabc\0", None),
            ("-g", None),
        ] {
            let dash = text.find("-g").expect("it is there");
            let found = version_around(text.as_bytes(), dash);
            let found = found.as_ref().map(|(version, commits)| (&**version, *commits));
            assert_eq!(found, version, "{text}");
        }
    }
}
