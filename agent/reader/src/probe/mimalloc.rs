//! mimalloc: its books differ from one version to the next, and none is read yet. It
//! is known by name, so that its memory is not taken for somebody else's.

use std::fs::File;
use std::sync::Arc;

use memgap_ledger::{Fact, Missing, MissingKind};

use super::{Image, Layout, Probe};
use crate::elf::Elf;
use crate::memory::Space;
use crate::text;

/// The probe.
#[derive(Debug)]
pub(super) struct Mimalloc;

const NAME: &[u8] = b"libmimalloc";
/// Characters of a version that are shown.
const SHOWN: usize = 16;

impl Probe for Mimalloc {
    fn name(&self) -> &'static str {
        "mimalloc"
    }

    fn about(&self) -> &'static str {
        "mimalloc, as a library: named, and not read"
    }

    fn detect(&self, _: &Elf, name: &[u8], _: &File) -> bool {
        file_name(name).starts_with(NAME)
    }

    fn resolve(&self, image: &Image<'_>, _: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let why = match version(&image.mapped.path) {
            Some(version) => format!("the books of version {version} are not read from outside"),
            None => "its books are not read from outside".to_owned(),
        };
        Err(Missing::new(MissingKind::Absent, why))
    }
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

/// `2.0` of `libmimalloc.so.2.0`.
fn version(path: &str) -> Option<String> {
    let (_, version) = path.rsplit_once(".so.")?;
    let is_version = version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_version.then(|| text::printable(version.as_bytes(), SHOWN))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_files_name_tells_the_version() {
        for (path, told) in [
            ("/usr/lib/libmimalloc.so.2.0", Some("2.0")),
            ("/opt/libmimalloc-secure.so.3", Some("3")),
            ("/usr/lib/libmimalloc.so", None),
            ("/usr/lib/libmimalloc.so.2.0 (deleted)", None),
        ] {
            assert_eq!(version(path).as_deref(), told, "{path}");
        }
    }
}
