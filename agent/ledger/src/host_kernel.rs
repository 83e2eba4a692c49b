//! What the kernel holds of the machine's memory: slab, tables, sockets, huge pages,
//! compressed pages and the balloon.

use std::time::Duration;

use crate::account::Account;
use crate::figure::{Figure, signed};
use crate::ledger::Ledger;
use crate::lru;
use crate::sample::{HostSample, HugePages, Meminfo};

/// Books the kernel's accounts, those last that only what is left over can bound; the
/// buffers of UDP sockets that are slab.
pub(crate) fn book(ledger: &mut Ledger, m: &Meminfo, sample: &HostSample) -> Figure {
    let of = |bytes: Option<u64>| bytes.map_or(Figure::Absent, Figure::exact);
    let tables = m.page_tables.saturating_add(m.sec_page_tables.unwrap_or(0));
    let (used, free) = hugetlb(m, sample);
    for (account, figure, source) in [
        (Account::SlabReclaimable, Figure::exact(m.s_reclaimable), "meminfo"),
        (Account::SlabUnreclaimable, Figure::exact(m.s_unreclaim), "meminfo"),
        (Account::PageTables, Figure::exact(tables), "meminfo"),
        (Account::Vmalloc, Figure::exact(m.vmalloc_used), "meminfo"),
        (Account::Percpu, of(m.percpu), "meminfo"),
        (Account::PcpFree, of(sample.pcp.as_ref().ok().copied()), "zoneinfo"),
        (Account::Hugetlb, used, "meminfo"),
        (Account::HugetlbFree, free, "hugepages"),
        (Account::Zspages, zspages(m, sample), "vmstat"),
    ] {
        ledger.book(account, figure, source, Duration::ZERO);
    }
    let total = signed(m.mem_total);
    let held = balloon(sample, total.saturating_sub(ledger.total()));
    ledger.book(Account::Balloon, held, "vmstat", Duration::ZERO);
    let (sock, udp) = sockets(sample, total.saturating_sub(ledger.total()));
    ledger.book(Account::Sock, sock, "sockstat", Duration::ZERO);
    udp
}

/// Huge pages of hugetlbfs: used, and used by nobody.
fn hugetlb(m: &Meminfo, sample: &HostSample) -> (Figure, Figure) {
    let sizes = sample.huge_pages.as_ref().ok();
    let sum = |of: fn(&HugePages) -> u64| {
        sizes.map(|sizes| sizes.iter().fold(0u64, |sum, size| sum.saturating_add(of(size))))
    };
    let default = m.huge_pages;
    let Some(total) = m.hugetlb.or_else(|| sum(|s| s.total)).or(default.map(|d| d.total)) else {
        return (Figure::Absent, Figure::Absent);
    };
    // The two files are read one after the other.
    let (low, high) = match (sum(|s| s.free.min(s.total)), default) {
        (Some(free), _) => (free.min(total), free.min(total)),
        // Without the files of sysfs nothing tells how many of the other sizes are used.
        (None, Some(default)) => {
            let free = default.free.min(default.total).min(total);
            (free, free.saturating_add(total.saturating_sub(default.total)).min(total))
        }
        (None, None) => return (Figure::exact(total), Figure::Absent),
    };
    let (total, low, high) = (signed(total), signed(low), signed(high));
    (Figure::interval(total - high, total - low, total - low), Figure::interval(low, low, high))
}

/// Huge pages that are promised to programs which have not touched them yet.
pub(crate) fn promised(m: &Meminfo, sample: &HostSample) -> Figure {
    let of = |pages: &HugePages| pages.reserved.min(pages.free);
    let all = sample.huge_pages.as_ref().ok();
    match (all, &m.huge_pages) {
        (Some(sizes), _) => {
            Figure::exact(sizes.iter().fold(0u64, |sum, size| sum.saturating_add(of(size))))
        }
        (None, Some(default)) => Figure::exact(of(default)),
        (None, None) => Figure::Absent,
    }
}

/// zswap's pool is among the pages of zsmalloc, or, with another allocator, beside them.
fn zspages(m: &Meminfo, sample: &HostSample) -> Figure {
    let Ok(vmstat) = &sample.vmstat else { return Figure::Absent };
    if vmstat.zspages.is_none() && m.zswap.is_none() {
        return Figure::Absent;
    }
    let (zspages, zswap) = (vmstat.zspages.unwrap_or(0), m.zswap.unwrap_or(0));
    let least = signed(zspages.max(zswap));
    Figure::interval(least, least, signed(zspages.saturating_add(zswap)))
}

/// Most hypervisors' drivers take what the balloon holds out of `MemTotal`; where it is
/// still in, so much is left over. `rest` is `MemTotal` less all that has a name.
fn balloon(sample: &HostSample, rest: i64) -> Figure {
    let Some(pages) = sample.vmstat.as_ref().ok().and_then(|v| v.balloon) else {
        return Figure::Absent;
    };
    let (pages, noise) = (signed(pages), signed(lru::noise(sample.cpus)));
    let is_in = rest.saturating_add(noise) >= pages;
    let high = pages.min(rest.max(0));
    Figure::interval(0, if is_in { pages } else { 0 }, high)
}

/// What of the balloon is not on its account.
pub(crate) fn balloon_outside(ledger: &Ledger, sample: &HostSample) -> Figure {
    let pages = sample.vmstat.as_ref().ok().and_then(|v| v.balloon).map(signed);
    match (pages, ledger.figure(Account::Balloon).bounds(), ledger.booked(Account::Balloon)) {
        (Some(pages), Some((low, high)), point) => {
            Figure::interval(pages - high, pages - point, pages - low)
        }
        _ => Figure::Absent,
    }
}

/// Socket buffers outside slab, and those of UDP that are slab. sockstat counts what a
/// buffer costs, wherever it is: TCP's data has pages of its own, UDP's over loopback is
/// slab, UDP's from a device mostly is not. What is not slab is left over.
fn sockets(sample: &HostSample, rest: i64) -> (Figure, Figure) {
    let Ok(buffers) = sample.sock else { return (Figure::Absent, Figure::Absent) };
    let (all, udp) = (signed(buffers.sum()), signed(buffers.udp));
    let rest = rest.max(0);
    let point = (all - udp.min(all)).min(rest);
    let high = all.min(rest.saturating_add(signed(lru::noise(sample.cpus))));
    let outside = high.saturating_sub(all - udp.min(all)).clamp(0, udp);
    (Figure::interval(0, point, high), Figure::interval(udp - outside, udp, udp))
}
