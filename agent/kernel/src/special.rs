//! The table of special mappings: one row a sort. A new one is a new row, here.

use memgap_ledger::sample::AreaKind;
use memgap_ledger::special::{Charge, Reclaim, Special};

/// A row: mappings whose name begins so are of that kind.
#[derive(Debug)]
struct Row {
    begins: &'static [u8],
    kind: AreaKind,
    special: Special,
}

/// What a mapping's name tells, if it is a special one. The first row that fits counts.
pub fn of_name(name: &[u8]) -> Option<(AreaKind, &'static Special)> {
    let row = TABLE.iter().find(|row| name.starts_with(row.begins))?;
    Some((row.kind, &row.special))
}

/// The beginning of its name that tells the sort of a special mapping.
pub fn prefix(name: &[u8]) -> Option<&'static [u8]> {
    TABLE.iter().map(|row| row.begins).find(|begins| name.starts_with(begins))
}

/// The sort of that name, if there is one.
pub fn of_sort(name: &[u8]) -> Option<&'static Special> {
    TABLE.iter().map(|row| &row.special).find(|special| special.name.as_bytes() == name)
}

use AreaKind::{Device, Kernel, Shmem};
use Charge::{Driver, Nobody, PageCache};
use Reclaim::{Never, Swap};

// Names of files begin with `/`, so that no file has one that begins otherwise. In which
// counters pages stand was measured on Linux 6.18 and read in the drivers.
#[rustfmt::skip] // one line a sort
static TABLE: &[Row] = &[
    row(b"socket:[",                Kernel, "socket_ring",   Nobody,         Never, "packet rings of sockets (AF_PACKET, AF_XDP)"),
    row(b"anon_inode:[io_uring]",   Kernel, "io_uring",      Charge::Kernel, Never, "io_uring rings"),
    row(b"anon_inode:[perf_event]", Kernel, "perf_event",    Nobody,         Never, "perf event buffers"),
    row(b"anon_inode:bpf",          Kernel, "bpf_map",       Charge::Kernel, Never, "BPF maps"),
    row(b"anon_inode:kvm-vcpu",     Kernel, "kvm_vcpu",      Charge::Kernel, Never, "run pages of virtual processors (KVM)"),
    row(b"anon_inode:[kvm-gmem]",   Shmem,  "guest_memory",  PageCache,      Never, "guest memory of virtual machines (guest_memfd)"),
    row(b"anon_inode:[guest_memfd]",Shmem,  "guest_memory",  PageCache,      Never, "guest memory of virtual machines (guest_memfd)"),
    row(b"anon_inode:dmabuf",       Device, "dma_buf",       Driver,         Never, "buffers that devices share (dma-buf)"),
    row(b"anon_inode:[dmabuf]",     Device, "dma_buf",       Driver,         Never, "buffers that devices share (dma-buf)"),
    row(b"/dmabuf:",                Device, "dma_buf",       Driver,         Never, "buffers that devices share (dma-buf)"),
    row(b"anon_inode:[vfio",        Device, "vfio",          Driver,         Never, "registers of devices (VFIO)"),
    row(b"anon_inode:",             Kernel, "anon_inode",    Driver,         Never, "memory of kernel objects (anon_inode)"),
    row(b"/[aio]",                  Kernel, "aio_ring",      PageCache,      Never, "rings of asynchronous I/O (aio)"),
    row(b"/secretmem",              Shmem,  "secret_memory", PageCache,      Never, "secret memory (memfd_secret)"),
    row(b"/memfd:",                 Shmem,  "memfd",         Charge::Shmem,  Swap,  "memory files (memfd)"),
    row(b"/SYSV",                   Shmem,  "sysv",          Charge::Shmem,  Swap,  "System V shared memory"),
    row(b"/dev/zero (deleted)",     Shmem,  "shared_anon",   Charge::Shmem,  Swap,  "shared anonymous memory"),
    row(b"[anon_shmem:",            Shmem,  "shared_anon",   Charge::Shmem,  Swap,  "shared anonymous memory"),
    row(b"/drm mm object",          Shmem,  "gem",           Charge::Shmem,  Swap,  "graphics buffers (GEM)"),
    row(b"/dev/shm/",               Shmem,  "posix_shm",     Charge::Shmem,  Swap,  "POSIX shared memory"),
    row(b"/dev/ashmem",             Shmem,  "ashmem",        Charge::Shmem,  Swap,  "Android's shared memory"),
    row(b"/dev/dri/",               Device, "drm",           Driver,         Never, "graphics memory (DRM)"),
    row(b"/dev/nvidia",             Device, "nvidia",        Driver,         Never, "graphics memory (nvidia)"),
    row(b"/dev/kfd",                Device, "amd_kfd",       Driver,         Never, "graphics memory (amdkfd)"),
    row(b"/dev/infiniband/",        Device, "rdma",          Driver,         Never, "RDMA queues"),
    row(b"/dev/hugepages/",         AreaKind::Hugetlb, "hugetlbfs", Driver,  Never, "files of hugetlbfs"),
    row(b"/anon_hugepage",          AreaKind::Hugetlb, "hugetlb", Driver,    Never, "huge pages (MAP_HUGETLB)"),
    row(b"[vdso]",                  Kernel, "vdso",          Nobody,         Never, "the kernel's code and clock (vdso, vvar)"),
    row(b"[vvar",                   Kernel, "vdso",          Nobody,         Never, "the kernel's code and clock (vdso, vvar)"),
    row(b"[vectors]",               Kernel, "vdso",          Nobody,         Never, "the kernel's code and clock (vdso, vvar)"),
    row(b"[sigpage]",               Kernel, "vdso",          Nobody,         Never, "the kernel's code and clock (vdso, vvar)"),
    row(b"[uprobes]",               Kernel, "uprobes",       Nobody,         Never, "trampolines of uprobes"),
];

const fn row(
    begins: &'static [u8],
    kind: AreaKind,
    name: &'static str,
    charge: Charge,
    reclaim: Reclaim,
    words: &'static str,
) -> Row {
    Row { begins, kind, special: Special { name, words, charge, reclaim } }
}
