//! Files of cgroups and of the machine: no text makes a parser panic, and ledgers made of
//! what was understood close.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memgap_fuzz::{choose, laws, two};
use memgap_kernel::source::sockets::{self, Protocol};
use memgap_kernel::source::{
    amount, cgroup_stat, cgroups, hugepages, meminfo, memory_events, memory_files, memory_stat,
    oom_control, pressure, slabinfo, sockstat, swap_events, sysvipc, vmstat, zoneinfo,
};
use memgap_kernel::text;
use memgap_ledger::Missing;
use memgap_ledger::sample::{CgroupVersion, HostSample};

const PAGE: u64 = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((which, text)) = choose(input, 16) else { return };
    match which {
        0 | 1 => cgroup(text, CgroupVersion::V1),
        2 | 3 => cgroup(text, CgroupVersion::V2),
        4 | 5 => host(text),
        6 => {
            let _ = (zoneinfo::parse(text, PAGE), vmstat::parse(text, PAGE));
        }
        7 => {
            let _ = (slabinfo::parse(text, PAGE), slabinfo::parse_dentries(text));
            let _ = (slabinfo::parse_inodes(text), cgroups::parse(text));
        }
        8 => {
            let _ = (sockstat::parse(text, PAGE), sysvipc::parse(text));
        }
        9 => {
            for line in text::lines(text) {
                let _ = (sockets::parse(line, Protocol::Tcp), sockets::parse(line, Protocol::Udp));
            }
            let _ = (sockets::inode(text), memory_files::name(text));
        }
        10 => {
            let _ = (memory_events::parse(text), swap_events::parse(text));
        }
        11 => {
            let _ = (pressure::parse(text), oom_control::parse(text), cgroup_stat::parse(text));
        }
        12 => {
            if let Some(size) = hugepages::parse_name(text) {
                assert!(size > 0);
            }
            let _ = hugepages::parse_count(text, 2 << 20);
        }
        13 => {
            for whole in [amount::parse(text).is_some(), amount::parse_limit(text).is_some()] {
                assert!(!whole || text.ends_with(b"\n"), "a cut number was taken for whole");
            }
        }
        14 => printable(text),
        _ => {
            let _ = (text::decimal(text), text::hex(text), text::kilobytes(text));
        }
    }
});

/// `memory.stat`, and after a zero byte the usage.
fn cgroup(text: &[u8], version: CgroupVersion) {
    let (stat, usage) = two(text);
    let Ok(stat) = memory_stat::parse(stat, version, PAGE) else { return };
    let usage = amount::parse(usage);
    let usage = usage.unwrap_or_else(|| stat.anon.saturating_add(stat.file));
    let kmem = match version {
        CgroupVersion::V1 => Ok(usage / 8),
        CgroupVersion::V2 => Err(Missing::absent("it is in memory.stat")),
    };
    let limit = Ok(Some(usage));
    let sample = laws::cgroup_sample(version);
    laws::cgroup(&memgap_ledger::sample::CgroupSample {
        usage: Ok(usage),
        stat: Ok(stat),
        kmem,
        limit,
        ..sample
    });
}

/// `meminfo`, and after a zero byte `vmstat`.
fn host(text: &[u8]) {
    let (meminfo, vmstat) = two(text);
    let Ok(meminfo) = meminfo::parse(meminfo) else { return };
    let why = Missing::absent("not read");
    laws::host(&HostSample {
        meminfo: Ok(meminfo),
        pcp: Err(why.clone()),
        sock: Err(why.clone()),
        vmstat: vmstat::parse(vmstat, PAGE).map_err(Missing::absent),
        huge_pages: Err(why),
        cpus: 2,
    });
}

/// What is shown of a name holds no control character, and is as short as was asked for.
fn printable(name: &[u8]) {
    for most in [0, 1, 15, 256] {
        let shown = text::printable(name, most);
        assert!(shown.chars().count() <= most && !shown.chars().any(char::is_control), "{shown:?}");
    }
}
