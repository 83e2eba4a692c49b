//! The files of `/sys/kernel/mm/hugepages`, whole and garbled.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::PathBuf;

use memgap_kernel::Buf;
use memgap_kernel::source::hugepages;
use memgap_ledger::MissingKind;
use memgap_ledger::sample::HugePages;

/// A directory that goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("memgap-huge-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn huge_pages_are_counted_by_size_or_missing_with_the_reason() {
    let scratch = Scratch::new();
    let dir = &scratch.0;
    let mut buf = Buf::default();
    let lack = hugepages::read(&dir.join("none"), &mut buf).unwrap_err();
    assert_eq!(lack.kind, MissingKind::Absent, "{lack}");
    let lack = hugepages::read(dir, &mut buf).unwrap_err();
    assert!(lack.why.contains("lists no size"), "{lack}");
    let write = |size: &str, name: &str, text: &str| {
        fs::create_dir_all(dir.join(size)).unwrap();
        fs::write(dir.join(size).join(name), text).unwrap();
    };
    for (name, two, gib) in [
        ("nr_hugepages", "128\n", "2\n"),
        ("free_hugepages", "118\n", "1\n"),
        ("resv_hugepages", "10\n", "0\n"),
    ] {
        write("hugepages-2048kB", name, two);
        write("hugepages-1048576kB", name, gib);
    }
    let (mib, gib) = (1 << 20, 1 << 30);
    let small = HugePages { size: 2 * mib, total: 256 * mib, free: 236 * mib, reserved: 20 * mib };
    let large = HugePages { size: gib, total: 2 * gib, free: gib, reserved: 0 };
    assert_eq!(hugepages::read(dir, &mut buf), Ok(vec![small, large]));
    for bad in ["", "\n", "x\n", "-1\n", "118", "18446744073709551615\n", &"1".repeat(99)] {
        write("hugepages-2048kB", "free_hugepages", bad);
        let lack = hugepages::read(dir, &mut buf).unwrap_err();
        assert_eq!(lack.kind, MissingKind::Malformed, "{bad:?}: {lack}");
        assert!(lack.why.contains("free_hugepages"), "{bad:?}: {lack}");
    }
    for bad in ["hugepages-kB", "hugepages-0kB", "hugepages-2MB", "x", ""] {
        assert_eq!(hugepages::parse_name(bad.as_bytes()), None, "{bad:?}");
    }
}
