//! Of the host: whose memory it is, and what kernel memory consists of.

use crate::HostLedger;
use crate::account::Account;
use crate::fact::Fact;
use crate::figure::Figure;
use crate::finding::{Subject, is_found};
use crate::host_detail::{Dentries, Dying, HostDetail, Slab};
use crate::size::iec;

/// What is smaller is not worth a sentence.
const SMALL: i64 = 1 << 20;
/// Caches of one kind that are named.
const NAMED: usize = 3;

/// The sentences, in the order of the accounts that they are about.
pub(super) fn notes(host: &HostLedger) -> Vec<String> {
    let subject = Subject::Host(host);
    let mut notes = Vec::new();
    if let Some(detail) = &host.detail {
        notes.extend(programs(host, detail));
    }
    notes.extend(huge_pages(host).filter(|_| !is_found("idle-huge-pages", subject)));
    notes.extend(balloon(host).filter(|_| !is_found("balloon", subject)));
    notes.extend(unnamed(host));
    if let Some(detail) = &host.detail {
        notes.extend(caches(host, detail));
        notes.extend(objects(host, detail));
        notes.extend(dying(&detail.dying));
        notes.extend(next(detail));
    } else {
        notes.extend(udp(host.udp_in_slab).map(|udp| format!("of kernel objects {udp}")));
    }
    notes
}

fn programs(host: &HostLedger, detail: &HostDetail) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(process) = &detail.process {
        let all = host.ledger.sum(&[Account::Anonymous, Account::LazyFree]);
        notes.push(format!(
            "most anonymous memory is in process {} {}: {} of {}",
            process.pid,
            process.name,
            iec(process.bytes),
            iec(all)
        ));
    }
    let shmem = host.ledger.booked(Account::Shmem);
    let is_much = shmem > host.ledger.booked(Account::Anonymous) / 10 && shmem >= 16 * SMALL;
    match &detail.sharer {
        Some(process) if is_much && process.bytes >= shmem / 10 => notes.push(format!(
            "of {} shared memory process {} {} maps {}",
            iec(shmem),
            process.pid,
            process.name,
            iec(process.bytes)
        )),
        _ if is_much => notes.push(format!(
            "no process maps a tenth of the {} of shared memory: see what is in tmpfs (df -t \
             tmpfs), System V segments (ipcs -m) and memfds",
            iec(shmem)
        )),
        _ => {}
    }
    if let Some(cgroup) = &detail.cgroup {
        notes.push(format!(
            "the cgroup that needs most is {}: {} can not be taken back, of a usage of {}",
            cgroup.path,
            iec(cgroup.required.point().unwrap_or(0)),
            iec(cgroup.usage.point().unwrap_or(0))
        ));
    }
    notes
}

fn huge_pages(host: &HostLedger) -> Option<String> {
    let figure = host.ledger.figure(Account::HugetlbFree);
    let (free, (low, high)) = (figure.point()?, figure.bounds()?);
    let amount = match () {
        () if high < SMALL => return None,
        () if low < high => format!("{} to {}", iec(low), iec(high)),
        () => iec(free),
    };
    let promised = match host.hugetlb_promised.point() {
        Some(bytes) if bytes > 0 => {
            format!("; {} of them are promised to programs that have mapped them", iec(bytes))
        }
        _ => String::new(),
    };
    Some(format!(
        "{amount} of huge pages are reserved and used by nobody: a smaller vm.nr_hugepages gives \
         them back{promised}"
    ))
}

/// Names of caches whose objects the kernel drops: of directories, inodes and pages.
fn is_dropped(name: &str) -> bool {
    name == "dentry"
        || name.contains("inode")
        || ["radix_tree_node", "xarray_node", "buffer_head", "ext4_extent_status"].contains(&name)
}

fn caches(host: &HostLedger, detail: &HostDetail) -> Option<String> {
    let all = host.ledger.booked(Account::SlabReclaimable);
    let whole = host.headline.total.point().unwrap_or(0);
    if all < 16 * SMALL || all < whole / 100 {
        return None;
    }
    let mut known = named(detail.slabs.as_deref().unwrap_or_default(), is_dropped);
    if let Ok(Dentries { total, unused, negative }) = detail.dentries {
        let nowhere = if negative > unused / 10 {
            format!(", {negative} of them names that do not exist")
        } else {
            String::new()
        };
        known.push(format!("{total} directory entries, {unused} of them unused{nowhere}"));
    }
    if let Ok(inodes) = detail.inodes {
        known.push(format!("{inodes} inodes"));
    }
    if let Err(lack) = &detail.slabs {
        known.push(format!("their sizes are not known: {lack}"));
    }
    Some(format!("{} of kernel caches can be dropped: {}", iec(all), known.join("; ")))
}

fn objects(host: &HostLedger, detail: &HostDetail) -> Option<String> {
    let all = host.ledger.booked(Account::SlabUnreclaimable);
    let whole = host.headline.total.point().unwrap_or(0);
    let udp = udp(host.udp_in_slab);
    if udp.is_none() && (all < 16 * SMALL || all < whole / 100) {
        return None;
    }
    let slabs = detail.slabs.as_deref().unwrap_or_default();
    let largest = named(slabs, |name| !is_dropped(name));
    let parts: Vec<String> = udp.into_iter().chain(largest).collect();
    (!parts.is_empty()).then(|| format!("of {} of kernel objects {}", iec(all), parts.join("; ")))
}

/// The largest caches of a kind, with their sizes.
fn named(slabs: &[Slab], is_asked: impl Fn(&str) -> bool) -> Vec<String> {
    let mut asked: Vec<&Slab> = slabs.iter().filter(|slab| is_asked(&slab.name)).collect();
    asked.sort_by_key(|slab| (std::cmp::Reverse(slab.bytes), &slab.name));
    let size = |slab: &Slab| iec(i64::try_from(slab.bytes).unwrap_or(i64::MAX));
    asked.into_iter().take(NAMED).map(|slab| format!("{} {}", slab.name, size(slab))).collect()
}

fn udp(figure: Figure) -> Option<String> {
    let (_, high) = figure.bounds()?;
    (high >= SMALL).then(|| format!("{} are buffers of UDP sockets", figure.words()))
}

fn dying(dying: &Fact<Dying>) -> Option<String> {
    let dying = dying.as_ref().ok().filter(|dying| dying.count > 0)?;
    let many = if dying.count == 1 { "cgroup still holds" } else { "cgroups still hold" };
    let held: Vec<String> = [(dying.file, "page cache"), (dying.shmem, "shared memory")]
        .into_iter()
        .map(|(bytes, what)| (i64::try_from(bytes).unwrap_or(i64::MAX), what))
        .filter(|(bytes, _)| *bytes >= SMALL)
        .map(|(bytes, what)| format!("{} {what}", iec(bytes)))
        .collect();
    let held = if held.is_empty() {
        "page cache, shared memory or kernel objects".to_owned()
    } else {
        format!("at least {}", held.join(" and "))
    };
    Some(format!("{} deleted {many} what was charged: {held}", dying.count))
}

/// What the balloon took out of `MemTotal`.
fn balloon(host: &HostLedger) -> Option<String> {
    let outside = host.balloon_outside.point().filter(|bytes| *bytes >= SMALL)?;
    Some(format!("the hypervisor's balloon holds {} that MemTotal no longer counts", iec(outside)))
}

/// Where to look for what no counter has.
fn unnamed(host: &HostLedger) -> Option<String> {
    let bytes = host.ledger.booked(Account::KernelUnaccounted);
    let whole = host.headline.total.point().unwrap_or(0);
    (bytes >= 64 * SMALL && bytes >= whole / 200).then(|| {
        format!(
            "{} are in no counter of the kernel's: such are pipes, unix sockets, rings of packet \
             sockets, buffers of network and graphics drivers, and memory of virtual machines' \
             devices",
            iec(bytes)
        )
    })
}

fn next(detail: &HostDetail) -> Option<String> {
    let process = detail.process.as_ref().map(|p| format!("memgap {}", p.pid));
    let cgroup = detail.cgroup.as_ref().map(|c| format!("memgap cgroup:{}", c.path));
    let commands: Vec<String> = process.into_iter().chain(cgroup).collect();
    let all = "memgap ps for all programs";
    (!commands.is_empty()).then(|| format!("look next: {}; {all}", commands.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Missing;
    use crate::finding::findings;
    use crate::host;
    use crate::sample::{HostSample, HugePages, Meminfo, SocketBuffers, Vmstat};

    const MIB: u64 = 1 << 20;

    fn sample() -> HostSample {
        let huge =
            HugePages { size: 2 * MIB, total: 256 * MIB, free: 236 * MIB, reserved: 20 * MIB };
        HostSample {
            meminfo: Ok(Meminfo {
                mem_total: 8000 * MIB,
                mem_free: 6000 * MIB,
                mem_available: Some(7000 * MIB),
                s_reclaimable: 900 * MIB,
                s_unreclaim: 300 * MIB,
                hugetlb: Some(256 * MIB),
                ..Meminfo::default()
            }),
            pcp: Ok(0),
            sock: Ok(SocketBuffers { tcp: 50 * MIB, udp: 161 * MIB, fragments: 0 }),
            vmstat: Ok(Vmstat { zspages: Some(0), balloon: Some(0) }),
            huge_pages: Ok(vec![huge]),
            cpus: 0,
        }
    }

    fn detail() -> HostDetail {
        let slab = |name: &str, bytes| Slab { name: name.to_owned(), bytes };
        HostDetail {
            slabs: Ok(vec![slab("kmalloc-2k", 160 * MIB), slab("dentry", 103 * MIB)]),
            dentries: Ok(Dentries { total: 9, unused: 8, negative: 7 }),
            inodes: Ok(6),
            dying: Ok(Dying { count: 1500, file: 7 * MIB, shmem: 0 }),
            process: None,
            sharer: None,
            cgroup: None,
        }
    }

    /// Notes, and what findings say in their place.
    fn said(made: &HostLedger) -> String {
        let found = findings(Subject::Host(made)).into_iter();
        let found = found.flat_map(|finding| [vec![finding.summary], finding.evidence].concat());
        notes(made).into_iter().chain(found).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_kernel_memory_consists_of() {
        let mut made = host::ledger(&sample());
        made.detail = Some(detail());
        let notes = said(&made);
        for sentence in [
            "216 MiB of 7.8 GiB are set aside as huge pages of hugetlbfs",
            "free huge pages 236 MiB, of them promised 20.0 MiB",
            "900 MiB of kernel caches can be dropped: dentry 103 MiB; 9 directory entries, 8 of \
             them unused, 7 of them names that do not exist; 6 inodes",
            "of 300 MiB of kernel objects up to 161 MiB are buffers of UDP sockets; kmalloc-2k \
             160 MiB",
            "1500 deleted cgroups still hold what was charged: at least 7.0 MiB page cache",
        ] {
            assert!(notes.contains(sentence), "{sentence}\n{notes}");
        }
        made.detail.as_mut().expect("set").slabs = Err(Missing::absent("not for you"));
        assert!(super::notes(&made).join("\n").contains("sizes are not known: not for you"));
    }

    /// What sockstat counts and slab holds is not booked twice, and never makes the
    /// residual negative.
    #[test]
    fn buffers_that_are_slab_leave_nothing_negative() {
        let mut crowded = sample();
        let meminfo = crowded.meminfo.as_mut().expect("set");
        // All but 70 MiB have names: the streams' 50, and 20 that drivers took.
        meminfo.page_tables = (8000 - 6000 - 900 - 300 - 256 - 70) * MIB;
        let made = host::ledger(&crowded);
        let mib = |account| made.ledger.booked(account) >> 20;
        assert_eq!((mib(Account::Sock), mib(Account::KernelUnaccounted)), (50, 20));
        assert_eq!(made.udp_in_slab, Figure::interval(141 << 20, 161 << 20, 161 << 20));
        crowded.meminfo.as_mut().expect("set").page_tables += 60 * MIB;
        let made = host::ledger(&crowded);
        assert_eq!(made.ledger.booked(Account::Sock), 10 << 20);
        assert_eq!(made.ledger.booked(Account::KernelUnaccounted), 0);
    }

    /// virtio's balloon leaves `MemTotal`, unless it is told to give way under pressure.
    #[test]
    fn a_balloon_is_booked_where_memtotal_still_has_it() {
        let mut ballooned = sample();
        ballooned.vmstat = Ok(Vmstat { zspages: Some(0), balloon: Some(400 * MIB) });
        let made = host::ledger(&ballooned);
        assert_eq!(made.ledger.booked(Account::Balloon), 400 << 20);
        ballooned.meminfo.as_mut().expect("set").page_tables = 500 * MIB;
        let made = host::ledger(&ballooned);
        let sentence = "balloon holds 400 MiB, of which MemTotal of 7.8 GiB counts 0 B";
        assert!(said(&made).contains(sentence), "{}", said(&made));
        let left = Figure::interval(0, 0, 44 << 20);
        assert_eq!(made.ledger.figure(Account::Balloon), left);
    }

    /// Without sysfs only the default size of huge pages is told apart.
    #[test]
    fn other_sizes_of_huge_pages_are_an_interval() {
        let mut blind = sample();
        let meminfo = blind.meminfo.as_mut().expect("set");
        meminfo.huge_pages = blind.huge_pages.as_ref().ok().and_then(|all| all.first().copied());
        meminfo.hugetlb = Some(1280 * MIB);
        blind.huge_pages = Err(Missing::absent("no sysfs"));
        let made = host::ledger(&blind);
        let free = Figure::interval(236 << 20, 236 << 20, 1260 << 20);
        assert_eq!(made.ledger.figure(Account::HugetlbFree), free);
        assert!(said(&made).contains("free huge pages 236 MiB to 1.2 GiB"), "{}", said(&made));
    }
}
