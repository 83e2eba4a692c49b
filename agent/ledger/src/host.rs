//! Law H1: `MemTotal`, closed.

use std::time::Duration;

use crate::absence::{self, Absence};
use crate::account::{Account, Scope};
use crate::fact::Missing;
use crate::figure::{Figure, signed};
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
    /// The accounts, which sum to `MemTotal`.
    pub ledger: Ledger,
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
    if let Some(meminfo) = meminfo {
        book(&mut ledger, meminfo, sample, lru_lazy);
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
        ledger,
        absent,
    }
}

fn lists(m: &Meminfo, cpus: u32) -> Lists {
    Lists {
        file_lists: m.active_file.saturating_add(m.inactive_file),
        page_cache: page_cache(m),
        anon: m.anon_pages,
        unevictable: m.unevictable,
        locked_file: 0,
        cpus,
    }
}

fn page_cache(m: &Meminfo) -> u64 {
    m.cached.saturating_add(m.buffers).saturating_sub(m.shmem)
}

fn book(ledger: &mut Ledger, m: &Meminfo, sample: &HostSample, lru_lazy: Figure) {
    let lists = [m.active_anon, m.inactive_anon, m.active_file, m.inactive_file, m.unevictable];
    let lru = lists.iter().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    let named = m.anon_pages.saturating_add(page_cache(m)).saturating_add(m.shmem);
    // No walk over every process is made for the host: lazy memory is bounded
    // by what the lists hold.
    let (point, high) = (lru_lazy.point().unwrap_or(0), lru_lazy.bounds().map_or(0, |(_, h)| h));
    let anon = signed(m.anon_pages);
    let pcp = sample.pcp.as_ref().ok().copied();
    let sock = sample.sock.as_ref().ok().copied();
    let absent = Figure::Absent;
    for (account, figure, source) in [
        (Account::LazyFree, Figure::interval(0, point, high), "meminfo"),
        (Account::Anonymous, Figure::interval(anon - high, anon - point, anon), "meminfo"),
        (Account::PageCache, Figure::exact(page_cache(m)), "meminfo"),
        (Account::Shmem, Figure::exact(m.shmem), "meminfo"),
        (Account::OffLru, Figure::exact(lru.saturating_sub(named)), "meminfo"),
        (Account::SlabReclaimable, Figure::exact(m.s_reclaimable), "meminfo"),
        (Account::SlabUnreclaimable, Figure::exact(m.s_unreclaim), "meminfo"),
        (
            Account::PageTables,
            Figure::exact(m.page_tables.saturating_add(m.sec_page_tables.unwrap_or(0))),
            "meminfo",
        ),
        (Account::Vmalloc, Figure::exact(m.vmalloc_used), "meminfo"),
        (Account::Percpu, m.percpu.map_or(absent, Figure::exact), "meminfo"),
        // sockstat counts what a buffer costs (truesize), part of which is slab.
        (
            Account::Sock,
            sock.map_or(absent, |s| Figure::interval(0, signed(s), signed(s))),
            "sockstat",
        ),
        (Account::Hugetlb, m.hugetlb.map_or(absent, Figure::exact), "meminfo"),
        (Account::MemFree, Figure::exact(m.mem_free), "meminfo"),
        (Account::PcpFree, pcp.map_or(absent, Figure::exact), "zoneinfo"),
    ] {
        ledger.book(account, figure, source, Duration::ZERO);
    }
}

fn absences(sample: &HostSample, ledger: &Ledger) -> Vec<Absence> {
    let mut absent = Vec::new();
    absence::note(&mut absent, "meminfo", &sample.meminfo);
    let silent = Missing::absent("this kernel's meminfo does not report it");
    absence::of_accounts(&mut absent, ledger, |account| match account {
        _ if sample.meminfo.is_err() => sample.meminfo.as_ref().err(),
        Account::PcpFree => sample.pcp.as_ref().err(),
        Account::Sock => sample.sock.as_ref().err(),
        _ => Some(&silent),
    });
    absent
}
