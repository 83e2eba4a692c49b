//! The closed set of accounts: every byte stands on exactly one of them.

/// A named leaf of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each account's help line is its documentation")]
pub enum Account {
    HeapInUse,
    AllocatorFree,
    AllocatorMetadata,
    JitCode,
    Metaspace,
    GcTables,
    Stack,
    ElfData,
    HeapUnprobed,
    Unexplained,
    Unreadable,
    MovedCharges,
    Anonymous,
    LazyFree,
    PageCache,
    FileMapped,
    Shmem,
    OffLru,
    KernelMapped,
    Device,
    SlabReclaimable,
    SlabUnreclaimable,
    Kernel,
    KernelStack,
    PageTables,
    Vmalloc,
    Percpu,
    Zswap,
    Sock,
    Hugetlb,
    HugetlbFree,
    Zspages,
    Balloon,
    MemFree,
    PcpFree,
    Skew,
    ChargeResidual,
    KernelUnaccounted,
    Swapped,
    DeviceMapped,
    Reserved,
    Untouched,
    VszSkew,
}

/// Coarse groups of accounts. Dashboards stack these, so that a new account
/// breaks none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// What the program itself uses.
    Program,
    /// What an allocator or runtime keeps for later, and its metadata.
    Allocator,
    /// What the kernel can take back without swapping.
    Reclaimable,
    /// What the kernel holds on behalf of programs.
    Kernel,
    /// What nobody claims, and what could not be read.
    Unknown,
}

/// What a ledger is about. Scopes do not nest in one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// One process: the accounts up to RSS, then up to VSZ.
    Process,
    /// One cgroup: the accounts sum to its usage.
    Cgroup,
    /// The machine: the accounts sum to `MemTotal`.
    Host,
}

use Account as A;

/// The accounts of a process that sum to its RSS, from in use outwards.
pub const RSS: &[Account] = &[
    A::HeapInUse,
    A::AllocatorFree,
    A::AllocatorMetadata,
    A::JitCode,
    A::Metaspace,
    A::GcTables,
    A::Stack,
    A::ElfData,
    A::HeapUnprobed,
    A::Unexplained,
    A::Unreadable,
    A::LazyFree,
    A::FileMapped,
    A::Shmem,
    A::KernelMapped,
    A::Device,
    A::Skew,
];

/// The accounts of a process that lead from its RSS to its VSZ.
pub const VSZ: &[Account] =
    &[A::Swapped, A::Hugetlb, A::DeviceMapped, A::Reserved, A::Untouched, A::VszSkew];

/// The accounts of a cgroup's anonymous memory that processes' ledgers split.
pub const ANONYMOUS: &[Account] = &[
    A::HeapInUse,
    A::AllocatorFree,
    A::AllocatorMetadata,
    A::JitCode,
    A::Metaspace,
    A::GcTables,
    A::Stack,
    A::ElfData,
    A::HeapUnprobed,
    A::Unexplained,
    A::Unreadable,
];

/// The accounts of a cgroup, from in use to usage.
pub const CGROUP: &[Account] = &[
    A::HeapInUse,
    A::AllocatorFree,
    A::AllocatorMetadata,
    A::JitCode,
    A::Metaspace,
    A::GcTables,
    A::Stack,
    A::ElfData,
    A::HeapUnprobed,
    A::Unexplained,
    A::Unreadable,
    A::Skew,
    A::MovedCharges,
    A::LazyFree,
    A::PageCache,
    A::Shmem,
    A::OffLru,
    A::SlabReclaimable,
    A::SlabUnreclaimable,
    A::KernelStack,
    A::PageTables,
    A::Percpu,
    A::Vmalloc,
    A::Zswap,
    A::Kernel,
    A::Sock,
    A::Hugetlb,
    A::ChargeResidual,
];

/// The accounts of a cgroup's kernel memory that can not be dropped, sockets left out:
/// cgroup v2 tells them apart, v1 tells their sum.
pub const KERNEL: &[Account] = &[
    A::SlabUnreclaimable,
    A::KernelStack,
    A::PageTables,
    A::Percpu,
    A::Vmalloc,
    A::Zswap,
    A::Kernel,
];

/// The accounts of the machine, which sum to `MemTotal`.
pub const HOST: &[Account] = &[
    A::Anonymous,
    A::LazyFree,
    A::PageCache,
    A::Shmem,
    A::OffLru,
    A::SlabReclaimable,
    A::SlabUnreclaimable,
    A::PageTables,
    A::Vmalloc,
    A::Percpu,
    A::Sock,
    A::Hugetlb,
    A::HugetlbFree,
    A::Zspages,
    A::Balloon,
    A::MemFree,
    A::PcpFree,
    A::KernelUnaccounted,
];

impl Account {
    /// The stable snake-case name, as in metrics and JSON.
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// The class it belongs to.
    pub const fn class(self) -> Class {
        self.facts().1
    }

    /// One line that says what the bytes are.
    pub const fn help(self) -> &'static str {
        self.facts().2
    }

    /// Whether the account may hold a negative amount.
    pub const fn is_signed(self) -> bool {
        matches!(
            self,
            A::Skew | A::VszSkew | A::MovedCharges | A::ChargeResidual | A::KernelUnaccounted
        )
    }

    /// Whether the account stands for what we do not know.
    pub const fn is_residual(self) -> bool {
        matches!(self.class(), Class::Unknown)
    }

    /// Whether only an allocator's or runtime's own statistics can tell the account.
    pub const fn is_from_statistics(self) -> bool {
        matches!(
            self,
            A::HeapInUse | A::AllocatorFree | A::AllocatorMetadata | A::Metaspace | A::GcTables
        )
    }

    #[rustfmt::skip] // one line an account
    const fn facts(self) -> (&'static str, Class, &'static str) {
        use Class::{Allocator, Kernel, Program, Reclaimable, Unknown};
        match self {
            A::HeapInUse => ("heap_in_use", Program, "heap memory that the program has allocated and not freed, and that is resident"),
            A::AllocatorFree => ("allocator_free", Allocator, "resident memory that the program freed and its allocator or runtime keeps"),
            A::AllocatorMetadata => ("allocator_metadata", Allocator, "the allocator's or runtime's own bookkeeping"),
            A::JitCode => ("jit_code", Program, "machine code made at run time: by a runtime's statistics, or executable anonymous memory that is not writable"),
            A::Metaspace => ("metaspace", Program, "class metadata of a Java virtual machine"),
            A::GcTables => ("gc_tables", Allocator, "tables that a garbage collector needs: marks, cards, remembered sets"),
            A::Stack => ("stack", Program, "stacks: mappings that hold a thread's stack pointer; where those are not known, what stands above a guard page"),
            A::ElfData => ("elf_data", Program, "written pages of private mappings of files: .data, .bss and relocations of programs, copies of other files"),
            A::HeapUnprobed => ("heap_unprobed", Unknown, "[heap] and anonymous mappings of which no allocator's heap statistics were read"),
            A::Unexplained => ("unexplained", Unknown, "anonymous memory outside everything that the heap statistics which were read claim"),
            A::Unreadable => ("unreadable", Unknown, "memory of processes that we may not look into"),
            A::MovedCharges => ("moved_charges", Unknown, "anonymous memory charged here that no process of the cgroup holds (negative: held here, charged elsewhere, or shown twice)"),
            A::Anonymous => ("anonymous", Program, "anonymous memory of all processes, less what is lazily freed"),
            A::LazyFree => ("lazy_free", Reclaimable, "freed with MADV_FREE, or of MAP_DROPPABLE, and still resident: the kernel takes it back under pressure"),
            A::PageCache => ("page_cache", Reclaimable, "contents of files, read or written"),
            A::FileMapped => ("file_mapped", Reclaimable, "contents of files mapped into the process: its code, libraries, mapped data"),
            A::Shmem => ("shmem", Program, "shared memory, tmpfs files and memfds"),
            A::OffLru => ("off_lru", Kernel, "on the reclaim lists, neither anonymous nor file memory: swap cache, split huge pages, pinned buffers that nobody maps"),
            A::KernelMapped => ("kernel_mapped", Kernel, "the kernel's own memory mapped into the process: packet rings, io_uring, BPF maps, vdso"),
            A::Device => ("device", Kernel, "resident pages of mapped devices"),
            A::SlabReclaimable => ("slab_reclaimable", Reclaimable, "kernel caches that can be dropped: directory entries, inodes"),
            A::SlabUnreclaimable => ("slab_unreclaimable", Kernel, "kernel objects that can not be dropped"),
            A::Kernel => ("kernel", Kernel, "kernel memory that has no account of its own, pipes for one; on cgroup v1 all of it"),
            A::KernelStack => ("kernel_stack", Kernel, "stacks of threads in the kernel"),
            A::PageTables => ("page_tables", Kernel, "page tables, also those of virtual machines"),
            A::Vmalloc => ("vmalloc", Kernel, "vmalloc areas, on the host kernel stacks among them"),
            A::Percpu => ("percpu", Kernel, "per-CPU allocations of the kernel"),
            A::Zswap => ("zswap", Kernel, "swapped pages that are kept in memory compressed"),
            A::Sock => ("sock", Kernel, "buffers of network sockets"),
            A::Hugetlb => ("hugetlb", Program, "huge pages of hugetlbfs that a program uses"),
            A::HugetlbFree => ("hugetlb_free", Kernel, "huge pages set aside for hugetlbfs that no program uses, promised to one or not"),
            A::Zspages => ("zspages", Kernel, "compressed pages that zram devices and zswap hold"),
            A::Balloon => ("balloon", Kernel, "pages that the balloon driver holds for the hypervisor, as far as MemTotal counts them"),
            A::MemFree => ("mem_free", Reclaimable, "memory that nobody uses"),
            A::PcpFree => ("pcp_free", Reclaimable, "free pages on the per-CPU lists, which MemFree leaves out"),
            A::Skew => ("skew", Unknown, "counters of processes less the sum of their mappings: counters that lag, or a reading torn by a running process"),
            A::ChargeResidual => ("charge_residual", Unknown, "usage less the sum of the counters: per-CPU charge stock and statistics not flushed yet"),
            A::KernelUnaccounted => ("kernel_unaccounted", Unknown, "MemTotal less everything that the kernel gives a name: direct page allocations of drivers"),
            A::Swapped => ("swapped", Program, "in the swap area, not in memory"),
            A::DeviceMapped => ("device_mapped", Kernel, "mapped memory of devices and of the kernel that RSS leaves out: registers, perf's buffers"),
            A::Reserved => ("reserved", Program, "address space without access rights (PROT_NONE): no memory until the program asks"),
            A::Untouched => ("untouched", Program, "accessible and not in its memory: never touched, or given back; of what is shared others may hold it"),
            A::VszSkew => ("vsz_skew", Unknown, "VmSize less the sum of the mappings' sizes"),
        }
    }
}

impl Class {
    /// Every class, from in use outwards.
    pub const ALL: [Self; 5] =
        [Self::Program, Self::Allocator, Self::Unknown, Self::Reclaimable, Self::Kernel];

    /// The stable name, as in metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Allocator => "allocator",
            Self::Reclaimable => "reclaimable",
            Self::Kernel => "kernel",
            Self::Unknown => "unknown",
        }
    }
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Process, Self::Cgroup, Self::Host];

    /// The stable name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Cgroup => "cgroup",
            Self::Host => "host",
        }
    }

    /// The accounts of the scope, in the order of their axis.
    pub fn accounts(self) -> impl Iterator<Item = Account> {
        let (inner, outer): (&[Account], &[Account]) = match self {
            Self::Process => (RSS, VSZ),
            Self::Cgroup => (CGROUP, &[]),
            Self::Host => (HOST, &[]),
        };
        inner.iter().chain(outer).copied()
    }

    /// What the accounts sum to, in the kernel's words.
    pub const fn total(self) -> &'static str {
        match self {
            Self::Process => "VSZ",
            Self::Cgroup => "usage",
            Self::Host => "MemTotal",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_scope_names_an_account_twice() {
        for scope in Scope::ALL {
            let names: Vec<_> = scope.accounts().map(Account::name).collect();
            let set: BTreeSet<_> = names.iter().collect();
            assert_eq!(names.len(), set.len(), "{scope:?}");
        }
    }

    #[test]
    fn names_are_snake_case_and_help_is_one_line() {
        for account in Scope::ALL.into_iter().flat_map(Scope::accounts) {
            assert!(account.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(!account.help().contains('\n') && account.help().len() < 130);
        }
    }

    #[test]
    fn the_anonymous_accounts_are_in_both_axes() {
        for account in ANONYMOUS {
            assert!(RSS.contains(account) && CGROUP.contains(account));
        }
    }
}
