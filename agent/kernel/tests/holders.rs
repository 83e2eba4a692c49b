//! Who holds memory that is not mapped: System V segments, memory files, tmpfs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use memgap_kernel::source::memory_files;
use memgap_kernel::source::sysvipc::{self, Segment};
use memgap_kernel::{Buf, Process, tmpfs};
use proptest::prelude::*;

/// Two segments as Linux 6.18 prints them.
const SHM: &[u8] = b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n\
 305441741          0  1600              16777216 22359 22360      1     0     0     0     0 1795781068          0 1795781068              16777216                     0\n\
        -1          7   600               8388608 31966     0      0     0     0     0     0 1795781068 1795781068 1795781068               4096                     8192\n";

#[test]
fn segments_are_read_by_the_names_of_their_columns() {
    let second = Segment { id: 7, creator: 31966, attached: 0, rss: 4096, swap: 8192 };
    let found = sysvipc::parse(SHM).unwrap();
    assert_eq!((found.len(), found[1]), (2, second));
    assert_eq!(found[0].attached, 1);
    let head = SHM.split_inclusive(|b| *b == b'\n').next().unwrap();
    assert_eq!(sysvipc::parse(head).unwrap(), []);
}

#[test]
fn malformed_segments_are_refused() {
    for bad in [
        &b""[..],
        b"\n",
        b"key shmid\n",
        b"shmid cpid nattch rss\n",
        b"shmid cpid nattch rss swap\n1 2 3 4\n",
        b"shmid cpid nattch rss swap\n1 2 3 4 5 6\n",
        b"shmid cpid nattch rss swap\n1 x 3 4 5\n",
        b"shmid cpid nattch rss swap\n1 4294967296 3 4 5\n",
        b"shmid cpid nattch rss swap\n1 2 3 4 -5\n",
        &SHM[..SHM.len() - 1],
    ] {
        assert!(sysvipc::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn only_the_kernels_own_name_is_that_of_a_memory_file() {
    assert_eq!(memory_files::name(b"/memfd:a b (deleted)"), Some(&b"a b"[..]));
    for other in [&b"/memfd:a"[..], b"/tmp/memfd:a (deleted)", b"socket:[1]", b""] {
        assert_eq!(memory_files::name(other), None);
    }
}

#[test]
fn what_a_tmpfs_holds_is_what_statfs_tells() {
    let own = Process::open(Path::new("/proc"), std::process::id()).unwrap();
    let dir = own.dir().unwrap();
    for mount in tmpfs::mounts(&dir, &mut Buf::default()).unwrap() {
        // Its point is shown as text, which a path need not be.
        let Ok(stat) = rustix::fs::statfs(Path::new(&mount.point)) else { continue };
        if let Some(bytes) = mount.bytes {
            assert!(bytes <= stat.f_blocks * u64::try_from(stat.f_bsize).unwrap(), "{mount:?}");
        }
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(text in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = sysvipc::parse(&text);
        let _ = memory_files::name(&text);
    }

    #[test]
    fn garbled_segments_never_panic(at in 0..SHM.len(), byte in any::<u8>()) {
        let mut text = SHM.to_vec();
        text[at] = byte;
        let _ = sysvipc::parse(&text);
    }
}
