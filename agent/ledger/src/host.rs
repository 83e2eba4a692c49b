//! Law H1: `MemTotal`, closed.

use std::time::Duration;

use crate::absence::{self, Absence};
use crate::account::{Account, Scope};
use crate::fact::Missing;
use crate::figure::{Figure, signed};
use crate::host_detail::HostDetail;
use crate::host_kernel;
use crate::ledger::Ledger;
use crate::lru::{self, Lists};
use crate::sample::{HostSample, Meminfo};

/// What the machine's memory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLedger {
    /// The figures that operators know.
    pub headline: HostHeadline,
    /// What was lazily freed at some time and is still on the file lists.
    pub lru_lazy: Figure,
    /// Of `page_cache`, what is on no list that is reclaimed: locked, or of ramfs.
    pub locked_cache: Figure,
    /// Of `slab_unreclaimable`, the buffers of UDP sockets.
    pub udp_in_slab: Figure,
    /// Of `hugetlb_free`, what is promised to programs that have not touched it yet.
    pub hugetlb_promised: Figure,
    /// What the balloon holds and `MemTotal` does not count.
    pub balloon_outside: Figure,
    /// Free memory and caches that `MemAvailable` leaves out: reserves and watermarks.
    pub kept: Figure,
    /// The accounts, which sum to `MemTotal`.
    pub ledger: Ledger,
    /// What is told beside it to one who asks; not read on every collection.
    pub detail: Option<HostDetail>,
    /// What could not be read, and why.
    pub absent: Vec<Absence>,
}

/// The headline figures of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostHeadline {
    /// `MemTotal`.
    pub total: Figure,
    /// `MemAvailable`: the kernel's own estimate.
    pub available: Figure,
    /// `MemTotal - MemFree`.
    pub usage: Figure,
    /// `SwapTotal - SwapFree`.
    pub swap_used: Figure,
}

/// Makes the ledger of the host.
pub fn ledger(sample: &HostSample) -> HostLedger {
    let mut ledger = Ledger::empty(Scope::Host);
    let meminfo = sample.meminfo.as_ref().ok();
    let lru_lazy = meminfo.map_or(Figure::Absent, |m| lru::lazy(&lists(m, sample.cpus)));
    let mut udp_in_slab = Figure::Absent;
    if let Some(meminfo) = meminfo {
        book(&mut ledger, meminfo, lru_lazy);
        udp_in_slab = host_kernel::book(&mut ledger, meminfo, sample);
        let rest = signed(meminfo.mem_total).saturating_sub(ledger.total());
        ledger.book(Account::KernelUnaccounted, Figure::Exact(rest), "meminfo", Duration::ZERO);
    }
    let of =
        |f: fn(&Meminfo) -> Option<u64>| meminfo.and_then(f).map_or(Figure::Absent, Figure::exact);
    let absent = absences(sample, &ledger);
    HostLedger {
        headline: HostHeadline {
            total: of(|m| Some(m.mem_total)),
            available: of(|m| m.mem_available),
            usage: of(|m| Some(m.mem_total.saturating_sub(m.mem_free))),
            swap_used: of(|m| Some(m.swap_total.saturating_sub(m.swap_free))),
        },
        lru_lazy,
        locked_cache: meminfo.map_or(Figure::Absent, |m| locked_cache(m, sample.cpus)),
        udp_in_slab,
        hugetlb_promised: meminfo.map_or(Figure::Absent, |m| host_kernel::promised(m, sample)),
        balloon_outside: host_kernel::balloon_outside(&ledger, sample),
        kept: of(kept),
        ledger,
        detail: None,
        absent,
    }
}

fn lists(m: &Meminfo, cpus: u32) -> Lists {
    Lists {
        file_lists: file_lists(m),
        page_cache: page_cache(m),
        anon: m.anon_pages,
        unevictable: m.unevictable,
        cpus,
        ..Lists::default()
    }
}

fn file_lists(m: &Meminfo) -> u64 {
    m.active_file.saturating_add(m.inactive_file)
}

fn page_cache(m: &Meminfo) -> u64 {
    m.cached.saturating_add(m.buffers).saturating_sub(m.shmem)
}

/// Page cache that the file lists lack is locked, or lazily freed memory on them hides
/// that more is.
fn locked_cache(m: &Meminfo, cpus: u32) -> Figure {
    let cache = page_cache(m);
    let lacks = cache.saturating_sub(file_lists(m));
    let noise = lru::noise(cpus);
    let high = m.unevictable.saturating_add(noise).min(cache).max(lacks);
    Figure::interval(signed(lacks.saturating_sub(noise)), signed(lacks), signed(high))
}

/// `MemAvailable` is what is free and what can be dropped, less this.
fn kept(m: &Meminfo) -> Option<u64> {
    let droppable = m.k_reclaimable.unwrap_or(m.s_reclaimable);
    let all = m.mem_free.saturating_add(file_lists(m)).saturating_add(droppable);
    m.mem_available.map(|available| all.saturating_sub(available))
}

fn book(ledger: &mut Ledger, m: &Meminfo, lru_lazy: Figure) {
    let lists = [m.active_anon, m.inactive_anon, m.active_file, m.inactive_file, m.unevictable];
    let lru = lists.iter().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    let named = m.anon_pages.saturating_add(page_cache(m)).saturating_add(m.shmem);
    // No walk over every process is made for the host: lazy memory is bounded
    // by what the lists hold.
    let (point, high) = (lru_lazy.point().unwrap_or(0), lru_lazy.bounds().map_or(0, |(_, h)| h));
    let anon = signed(m.anon_pages);
    for (account, figure) in [
        (Account::LazyFree, Figure::interval(0, point, high)),
        (Account::Anonymous, Figure::interval(anon - high, anon - point, anon)),
        (Account::PageCache, Figure::exact(page_cache(m))),
        (Account::Shmem, Figure::exact(m.shmem)),
        (Account::OffLru, Figure::exact(lru.saturating_sub(named))),
        (Account::MemFree, Figure::exact(m.mem_free)),
    ] {
        ledger.book(account, figure, "meminfo", Duration::ZERO);
    }
}

fn absences(sample: &HostSample, ledger: &Ledger) -> Vec<Absence> {
    let mut absent = Vec::new();
    absence::note(&mut absent, "meminfo", &sample.meminfo);
    let silent = Missing::absent("this kernel's meminfo does not report it");
    let no_vmstat = Missing::absent("this kernel's vmstat does not report it");
    absence::of_accounts(&mut absent, ledger, |account| match account {
        _ if sample.meminfo.is_err() => sample.meminfo.as_ref().err(),
        Account::PcpFree => sample.pcp.as_ref().err(),
        Account::Sock => sample.sock.as_ref().err(),
        Account::Zspages | Account::Balloon => {
            Some(sample.vmstat.as_ref().err().unwrap_or(&no_vmstat))
        }
        Account::HugetlbFree => sample.huge_pages.as_ref().err().or(Some(&silent)),
        _ => Some(&silent),
    });
    absent
}
