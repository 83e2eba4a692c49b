//! Whose pids a procfs shows: system calls that take a pid know those of the caller's own pid
//! namespace alone.

use std::path::Path;

use crate::file::Buf;
use crate::process::Process;
use crate::source::status;

/// Whether the pids of a mounted procfs are those of this program's pid namespace. In a
/// container the host's procfs has others, and a copy of one has none.
pub fn is_own(procfs: &Path, buf: &mut Buf) -> bool {
    let own = std::process::id();
    let link = std::fs::read_link(procfs.join("self"));
    link.is_ok_and(|link| link.as_os_str().to_str() == Some(&own.to_string()))
        && Process::open(procfs, own)
            .and_then(|process| status::pids(&process, buf))
            .is_ok_and(|pids| pids == [own])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procfs_has_our_pids_and_another_directory_has_none() {
        let mut buf = Buf::default();
        assert!(is_own(Path::new("/proc"), &mut buf));
        assert!(!is_own(Path::new("/nonexistent"), &mut buf));
        assert!(!is_own(Path::new("/"), &mut buf));
    }
}
