//! The kind of a mapping, by its name, its device and its flags.

use memgap_ledger::sample::AreaKind;
use memgap_ledger::special::Special;

use crate::source::maps::Mapping;
use crate::special;
use crate::text;

/// Files of the kernel's own tmpfs, which is mounted nowhere: memfd, System V,
/// and the anonymous memory that `mmap(MAP_SHARED)` gives.
const INTERNAL: [&[u8]; 4] = [b"/memfd:", b"/SYSV", b"/dev/zero (deleted)", b"[anon_shmem:"];

/// Whether the name tells that the device is that of the kernel's own tmpfs.
pub fn is_internal_shmem(name: &[u8]) -> bool {
    INTERNAL.iter().any(|prefix| name.starts_with(prefix))
}

/// The kind that the first line of an entry tells, and the sort of a special mapping.
/// A file may yet be on a tmpfs.
pub fn of_mapping(mapping: &Mapping<'_>) -> (AreaKind, Option<&'static Special>) {
    if let Some((kind, special)) = special::of_name(mapping.name) {
        return (kind, Some(special));
    }
    let kind = match mapping.name {
        b"" => AreaKind::Anonymous,
        b"[heap]" => AreaKind::Heap,
        name if name.starts_with(b"[stack") => AreaKind::Stack,
        name if name.starts_with(b"[anon:") => named(name),
        name if name.starts_with(b"[") => AreaKind::Kernel,
        // Private: the old way to ask for anonymous memory.
        b"/dev/zero" if mapping.access[3] == b'p' => AreaKind::Anonymous,
        b"/dev/zero" => AreaKind::Shmem,
        _ => AreaKind::File,
    };
    (kind, None)
}

/// The kind as `VmFlags` corrects it: pages of a device, huge pages. A device's node may
/// stand in a tmpfs, whose own files never have mixed pages.
pub fn with_flags(kind: AreaKind, flags: &[u8]) -> AreaKind {
    if kind == AreaKind::Kernel {
        return kind;
    }
    text::words(flags).fold(kind, |kind, flag| match flag {
        b"ht" => AreaKind::Hugetlb,
        b"io" | b"pf" => AreaKind::Device,
        b"mm" if kind == AreaKind::Shmem => AreaKind::Device,
        _ => kind,
    })
}

/// Anonymous memory that a program named by `prctl(PR_SET_VMA)`, as it pleases: only what
/// the C libraries name so is sure to be a stack.
fn named(name: &[u8]) -> AreaKind {
    let is_stack = STACKS.iter().any(|begins| name.starts_with(begins));
    if is_stack { AreaKind::Stack } else { AreaKind::Anonymous }
}

/// What stacks of threads are called by glibc (2.39), and by bionic.
const STACKS: [&[u8]; 3] =
    [b"[anon: glibc: pthread ", b"[anon:stack_and_tls:", b"[anon:thread signal stack"];
