//! `/sys/kernel/mm/hugepages`: huge pages of every size, of which `meminfo` tells the
//! default size apart only (mm/hugetlb_sysfs.c).

use std::path::{Path, PathBuf};

use memgap_ledger::sample::HugePages;
use memgap_ledger::{Fact, Missing};

use crate::file::{Buf, Dir, malformed};
use crate::text;

/// The directory below the root of sysfs.
pub const PLACE: &str = "kernel/mm/hugepages";
/// The files that are read of each size.
pub const FILES: [&str; 3] = ["nr_hugepages", "free_hugepages", "resv_hugepages"];

/// An architecture has six sizes at most.
pub const MAX_SIZES: usize = 16;
/// One number.
const LIMIT: usize = 64;

/// Where sysfs is for a procfs root: beside it, as in a capture or below `/host`, else
/// where it is mounted for us, as huge pages are the machine's everywhere.
pub fn place(proc: &Dir) -> PathBuf {
    let beside = proc.path().parent().unwrap_or(Path::new("/")).join("sys").join(PLACE);
    if !beside.is_dir() && proc.is_procfs() { Path::new("/sys").join(PLACE) } else { beside }
}

/// Reads every size below the directory.
pub fn read(place: &Path, buf: &mut Buf) -> Fact<Vec<HugePages>> {
    let dir = Dir::open(place)?;
    let (names, more) = dir.directories(MAX_SIZES)?;
    if more {
        return Err(malformed(place, "there are more than 16 sizes"));
    }
    let mut sizes = Vec::new();
    for name in names {
        let sub = dir.dir(&name)?;
        let size = parse_name(name.as_encoded_bytes())
            .ok_or_else(|| malformed(sub.path(), "its name has no size"))?;
        let mut counts = [0u64; FILES.len()];
        for (count, file) in counts.iter_mut().zip(FILES) {
            let path = sub.path().join(file);
            let text = sub.read(file, LIMIT, buf)?;
            *count = parse_count(text, size)
                .ok_or_else(|| malformed(&path, "it is no number of huge pages"))?;
        }
        let [total, free, reserved] = counts;
        sizes.push(HugePages { size, total, free, reserved });
    }
    if sizes.is_empty() {
        return Err(Missing::absent(format!("{} lists no size", place.display())));
    }
    sizes.sort_unstable_by_key(|pages| pages.size);
    Ok(sizes)
}

/// The bytes in the name `hugepages-2048kB`.
pub fn parse_name(name: &[u8]) -> Option<u64> {
    let number = name.strip_prefix(b"hugepages-")?.strip_suffix(b"kB")?;
    text::decimal(number)?.checked_mul(1024).filter(|size| *size > 0)
}

/// The bytes of so many pages; `None` where the text is no whole number.
pub fn parse_count(text: &[u8], size: u64) -> Option<u64> {
    text::decimal(text.strip_suffix(b"\n")?)?.checked_mul(size)
}
