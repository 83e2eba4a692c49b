//! Why `MemTotal` exceeds `MemAvailable`: every account has its part.

use super::part::{Part, in_order, sentence};
use super::{Gap, gap};
use crate::figure::Figure;
use crate::{Account, HostLedger};

/// The accounts that are not available, wholly.
const HELD: [(Account, &str); 14] = [
    (Account::Anonymous, "anonymous memory of programs"),
    (Account::Shmem, "shared memory and tmpfs files"),
    (Account::OffLru, "swap cache and tails of split huge pages"),
    (Account::SlabUnreclaimable, "kernel objects (slab)"),
    (Account::PageTables, "page tables"),
    (Account::Vmalloc, "vmalloc and kernel stacks"),
    (Account::Percpu, "per-CPU data of the kernel"),
    (Account::Sock, "socket buffers"),
    (Account::Hugetlb, "huge pages that programs use"),
    (Account::HugetlbFree, "huge pages set aside and used by nobody"),
    (Account::Zspages, "compressed pages of zram and zswap"),
    (Account::Balloon, "pages in the hypervisor's balloon"),
    (Account::PcpFree, "free pages on per-CPU lists"),
    (Account::KernelUnaccounted, "that the kernel does not name"),
];
/// Of the page cache only what is on no file list is held.
const LOCKED: &str = "page cache that can not be dropped (locked, or of ramfs)";
const KEPT: &str = "free memory and caches that the kernel keeps as its reserve";
const REST: &str = "counters that do not agree";

/// The gaps of the host.
pub fn of_host(host: &HostLedger) -> Vec<Gap> {
    let why = |_| parts(host).map_or_else(String::new, |parts| sentence(&parts));
    gap("total", host.headline.total, "available", host.headline.available, why)
        .into_iter()
        .collect()
}

/// The parts of `MemTotal - MemAvailable`, the largest first; they sum to it.
pub fn parts(host: &HostLedger) -> Option<Vec<Part>> {
    let total = host.headline.total.point()?;
    let whole = total.saturating_sub(host.headline.available.point()?);
    if whole <= 0 {
        return None;
    }
    let point = |figure: Figure| figure.point().unwrap_or(0);
    let held = HELD.iter().map(|(account, what)| (*what, host.ledger.booked(*account)));
    let apart = [(LOCKED, point(host.locked_cache)), (KEPT, point(host.kept))];
    let mut parts: Vec<Part> =
        held.chain(apart).map(|(what, bytes)| Part { what, bytes }).collect();
    let sum = parts.iter().fold(0i64, |sum, part| sum.saturating_add(part.bytes));
    parts.push(Part { what: REST, bytes: whole.saturating_sub(sum) });
    Some(in_order(parts))
}
