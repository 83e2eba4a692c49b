//! The version: since 3.11 a variable tells it, before that the file's name.

use std::fmt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::Image;

/// `3.11.7`, `3.9`, `3.13t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub minor: u32,
    patch: Option<u32>,
    /// Built without the global interpreter lock (PEP 703).
    pub is_free_threaded: bool,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{}", self.minor)?;
        if let Some(patch) = self.patch {
            write!(f, ".{patch}")?;
        }
        f.write_str(if self.is_free_threaded { "t" } else { "" })
    }
}

/// The version of an image.
pub(super) fn read(image: &Image<'_>) -> Option<Version> {
    let named = of_name(image.mapped.path.as_bytes());
    match of_symbol(image) {
        Some((minor, patch)) => Some(Version {
            minor,
            patch: Some(patch),
            is_free_threaded: named.is_some_and(|named| named.is_free_threaded),
        }),
        None => named,
    }
}

/// The version that a path ends with: `.../python3.9`, `libpython3.13t.so.1.0`.
pub(super) fn of_name(path: &[u8]) -> Option<Version> {
    let name = Path::new(std::str::from_utf8(path).ok()?).file_name()?.to_str()?;
    let rest = name.strip_prefix("lib").unwrap_or(name).strip_prefix("python3.")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (minor, flags) = rest.split_at(digits);
    let is_free_threaded = flags.starts_with('t');
    Some(Version { minor: minor.parse().ok()?, patch: None, is_free_threaded })
}

/// `Py_Version`: a byte each of major, minor, patch, and the release level.
fn of_symbol(image: &Image<'_>) -> Option<(u32, u32)> {
    let [symbol] = image.elf.symbols(&image.file, ".dynsym", ["Py_Version"]).ok()?;
    let address = symbol?.address;
    let mut hex = [0; 4];
    image.file.read_exact_at(&mut hex, image.elf.offset_of(address)?).ok()?;
    let [_, patch, minor, 3] = hex else { return None };
    Some((minor.into(), patch.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_version_or_nothing() {
        for (path, shown) in [
            ("/usr/bin/python3.9", Some("3.9")),
            ("/usr/lib/libpython3.10.so.1.0", Some("3.10")),
            ("/opt/bin/python3.13t", Some("3.13t")),
            ("/usr/lib/libpython3.so", None),
            ("/usr/bin/python3.", None),
            ("/usr/bin/python3.99999999999", None),
            ("/usr/lib/python3.11/lib-dynload/_json.so", None),
        ] {
            let version = of_name(path.as_bytes()).map(|version| version.to_string());
            assert_eq!(version.as_deref(), shown, "{path}");
        }
    }
}
