//! The scenarios: what an actor does with its memory, and what must be true of
//! memgap's ledgers afterwards. Amounts in scripts are MiB.

use std::fs;

use anyhow::{Context, Result};
use memgap_tests::{release, room};

use crate::exporter::Exporter;
use crate::findings::Findings;
use crate::group::Group;
use crate::harm::{self, Program};
use crate::kernel;
use crate::stalls;
use crate::statistics::{self, NOISE};
use crate::told;

/// A scenario and its name, which is also its cgroup's.
pub type Scenario = (&'static str, fn(&mut Group, &mut Findings) -> Result<()>);

/// All of them, in the order of the table.
pub const ALL: &[Scenario] = &[
    ("lazy-free", lazy_free),
    ("rewrite", rewrite),
    ("mlock", mlock),
    ("shmem", shmem),
    ("swap", swap),
    ("thp", thp),
    ("thp-tails", thp_tails),
    ("reclaim", reclaim),
    ("aged", aged),
    ("page-cache", page_cache),
    ("kernel", kernel_memory),
    ("processes", processes),
    ("room", room),
    ("throttled", told::throttled),
    ("swapped-out", told::swapped_out),
    ("exporter", exporter),
    ("harm-go", harm_go),
    ("harm-java", harm_java),
    ("harm-glibc", harm_glibc),
    ("harm-jemalloc", harm_jemalloc),
    ("harm-musl", harm_musl),
    ("harm-mimalloc", harm_mimalloc),
    ("harm-v8", harm_v8),
    ("harm-cpython", harm_cpython),
    ("stall-go", stall_go),
    ("stall-jemalloc", stall_jemalloc),
];

/// The file that reads as page cache: a disk without a file system.
const DISK: &str = "/dev/vdb";

/// Freed and not written since: the working set and required leave it out.
fn lazy_free(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell("anon heap 512\n free heap 0 256")?;
    let statistics = statistics::check(group, findings)?;
    let lru_lazy = statistics.report.headline("lru_lazy")?.point;
    findings.near("identity", lru_lazy, statistics.lazy, NOISE);
    statistics::required(group, &statistics, findings)
}

/// Written again: live memory that the working set leaves out.
fn rewrite(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell("anon heap 512\n free heap 0 256\n write heap 0 128")?;
    let statistics = statistics::check(group, findings)?;
    let hidden = statistics.report.headline("working_set_hidden")?.point;
    findings.near("identity", hidden, 128 << 20, NOISE);
    statistics::required(group, &statistics, findings)
}

/// Locked pages are off the lists, whether anonymous or cache.
fn mlock(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell(&format!(
        "anon heap 128\n free heap 0 64\n write heap 0 32\n lock heap 96 128
         map cache {DISK} 64\n lock cache 0 16"
    ))?;
    let statistics = statistics::check(group, findings)?;
    // The walk tells how much of what is locked the file lists lack.
    let hidden = statistics.report.headline("working_set_hidden")?.point;
    findings.near("hidden beside locked cache", hidden, 32 << 20, NOISE);
    statistics::required(group, &statistics, findings)
}

/// tmpfs files and shared mappings: cache by name, anonymous by list.
fn shmem(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell(
        "fill /tmp/shmem 48\n shared area 48\n anon heap 64\n free heap 0 32\n write heap 0 16",
    )?;
    let statistics = statistics::check(group, findings)?;
    findings.near("shmem", statistics.report.figure("shmem")?.point, 96 << 20, NOISE);
    let done = statistics::required(group, &statistics, findings);
    fs::remove_file("/tmp/shmem").context("failed to remove /tmp/shmem")?;
    done
}

/// Part swapped out, part of that read back and still in the swap cache.
fn swap(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.set("memory.swap.max", "max")?;
    group.tell("anon heap 64\n free heap 0 32\n write heap 0 16\n anon cold 64\n pageout cold 0 64\n write cold 0 16")?;
    let swapped = kernel::smaps(group.pid(), "Swap")?;
    findings.near("swapped", swapped, 48 << 20, 8 << 20);
    let statistics = statistics::check(group, findings)?;
    statistics::required(group, &statistics, findings)
}

/// Huge pages, freed whole and written in part.
fn thp(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell("huge heap 128\n free heap 0 64\n write heap 0 32")?;
    let huge = kernel::smaps(group.pid(), "AnonHugePages")?;
    findings.near("huge", huge, 128 << 20, NOISE);
    let statistics = statistics::check(group, findings)?;
    statistics::required(group, &statistics, findings)
}

/// Huge pages unmapped in part: the tails are charged, but are neither anonymous
/// nor RSS to any counter. Reclaim may split the pages and free the tails, or
/// not; the point of `required` counts them all, its low bound none.
fn thp_tails(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell("huge heap 64")?;
    for start in (0..64).step_by(2) {
        group.tell(&format!("drop heap {start} {}", start + 1))?;
    }
    let statistics = statistics::check(group, findings)?;
    let tails = statistics.report.figure("off_lru")?.point;
    // The kernel may have split some already.
    findings.near("off_lru", tails, 32 << 20, 16 << 20);
    let required = statistics.report.headline("required")?;
    let left = group.squeeze()?;
    findings.note("left", left);
    findings.note("required", required.point);
    findings.inside("required", required, left, statistics::residual_bound()?);
    Ok(())
}

/// After a first reclaim: some lazy pages are gone, those written again are on
/// lists of the kernel's choice.
fn reclaim(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell("anon heap 256\n free heap 0 128\n write heap 0 64")?;
    group.reclaim(40 << 20)?;
    let statistics = statistics::check(group, findings)?;
    statistics::required(group, &statistics, findings)
}

/// Lists that have aged: by new generations, or by a little pressure each time.
fn aged(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell(&format!("anon heap 128\n free heap 0 64\n write heap 0 32\n read {DISK} 48"))?;
    let generations = kernel::has_generations();
    for _ in 0..3 {
        if generations { group.age() } else { group.reclaim(2 << 20) }?;
        group.tell("write heap 64 128")?;
    }
    findings.figures.push(if generations { "3 generations" } else { "3 reclaims" }.to_owned());
    let statistics = statistics::check(group, findings)?;
    statistics::required(group, &statistics, findings)
}

/// Clean, mapped and dirty cache: all can be taken back.
fn page_cache(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell(&format!("anon heap 96\n map cache {DISK} 64\n read {DISK} 96\n fill {DISK} 32"))?;
    let statistics = statistics::check(group, findings)?;
    findings.near("cache", statistics.report.figure("page_cache")?.point, 96 << 20, NOISE);
    statistics::required(group, &statistics, findings)
}

/// Kernel memory on a program's behalf: pipes, directory entries, stacks.
fn kernel_memory(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell("anon heap 64\n pipes 128\n socket\n entries /tmp/entries 4000\n threads 64")?;
    group.opaque = true;
    let checked = statistics::check(group, findings);
    fs::remove_dir_all("/tmp/entries").context("failed to remove /tmp/entries")?;
    checked.map(drop)
}

/// The kernel kills who allocates more than the room, and nobody who allocates less.
fn room(_: &mut Group, findings: &mut Findings) -> Result<()> {
    let stage = room::Stage {
        program: std::env::current_exe()?,
        disk: DISK.into(),
        tmpfs: "/tmp/room".into(),
    };
    for case in room::case::CASES {
        match room::prove(&case, &stage) {
            Ok(proof) => {
                let (low, high) = proof.room.bytes.bounds().context("room has bounds")?;
                findings.figures.push(format!("{} {}..{}", case.name, low / 1024, high / 1024));
                findings.failures.extend(proof.check(&case).err().map(|e| format!("{e:#}")));
            }
            Err(error) => findings.failures.push(format!("{}: {error:#}", case.name)),
        }
    }
    Ok(())
}

/// Every process of the machine, with one of many threads among them, and the
/// machine itself.
fn processes(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell(&format!("anon heap 64\n huge pages 16\n map cache {DISK} 16\n threads 16"))?;
    statistics::check(group, findings)?;
    let mut count = 0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Kernel threads have no VmSize, and may end meanwhile; one of them stands for all.
        if pid == 2 || kernel::status(pid, "VmSize").unwrap_or(0) > 0 {
            statistics::process(pid, findings)?;
            count += 1;
        }
    }
    findings.figures.push(format!("{count} processes"));
    statistics::host(findings)
}

/// A cgroup, a unit and a container in one scrape: each family of accounts sums
/// to its usage, which is the kernel's.
fn exporter(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.tell("anon heap 64\n free heap 0 32\n write heap 0 16")?;
    let mut unit = Group::new("vm.service")?;
    unit.tell("anon heap 16")?;
    let mut container = Group::new(&"5".repeat(64))?;
    container.tell("shared area 16")?;

    let scrape = Exporter::start()?.scrape()?;
    for (member, sum) in &scrape.ledgers {
        if let Some(usage) = scrape.usages.get(member) {
            findings.equal(&format!("the ledger of {member:?}"), *sum, *usage);
        }
    }
    for (scope, labels, group) in [
        ("cgroup", "cgroup=\"/exporter\"", &*group),
        ("unit", "unit=\"vm.service\"", &unit),
        ("container", "namespace=\"\",pod=\"\",container=\"555555555555\"", &container),
    ] {
        let member = (scope.to_owned(), labels.to_owned());
        let usage = scrape.usages.get(&member).zip(scrape.ledgers.get(&member));
        let (usage, _) = usage.with_context(|| format!("the scrape has no {member:?}"))?;
        findings.near(scope, *usage, group.usage()?, NOISE);
    }
    let host = scrape.usages.get(&("host".to_owned(), String::new()));
    findings.equal("MemTotal", *host.context("the scrape has no host")?, kernel::memory()?);
    Ok(())
}

/// A Go heap, in part swapped out, in part lazily freed.
fn harm_go(_: &mut Group, findings: &mut Findings) -> Result<()> {
    let program = Program {
        runtime: "go",
        words: &["/opt/go"],
        environment: &[("STEPS", "steady"), ("GODEBUG", "madvdontneed=0")],
        free: &["shed free"],
        frees_lazily: true,
        reads: harm::COUNTERS,
    };
    harm::check(&program, findings)
}

/// Whether this is the kernel for programs that take their time in an emulated machine:
/// reading is the same on all but the oldest, where others are read.
fn is_for_slow_programs() -> Result<bool> {
    let (major, minor, _) = release::release()?;
    Ok((major, minor) == (6, 12))
}

/// A Java heap, in part swapped out.
fn harm_java(_: &mut Group, findings: &mut Findings) -> Result<()> {
    if !is_for_slow_programs()? {
        findings.left_out = true;
        return Ok(());
    }
    let program = Program {
        runtime: "hotspot",
        words: &["/opt/java/bin/java", "-Xmx64m", "-XX:+UseG1GC", "-cp", "/opt", "Heap", "400"],
        environment: &[],
        free: &[""],
        frees_lazily: false,
        reads: harm::COUNTERS,
    };
    harm::check(&program, findings)
}

/// A heap of malloc, in part swapped out, in part given back. Free chunks are not
/// touched while its arenas stay as they are.
fn harm_glibc(_: &mut Group, findings: &mut Findings) -> Result<()> {
    let program = Program {
        runtime: "glibc",
        words: &["/opt/malloc"],
        environment: &[("STEPS", "fragmented trim")],
        free: &[""],
        frees_lazily: false,
        reads: harm::COUNTERS,
    };
    harm::check(&program, findings)
}

/// A heap of jemalloc, in part swapped out, in part lazily freed.
fn harm_jemalloc(_: &mut Group, findings: &mut Findings) -> Result<()> {
    let program = Program {
        runtime: "jemalloc",
        words: &["/opt/mallctl"],
        environment: &[
            ("LD_PRELOAD", "/lib/libjemalloc.so.2"),
            ("MALLOC_CONF", "narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1"),
        ],
        // Every second piece, then what is free: lazily.
        free: &["", ""],
        frees_lazily: true,
        // Its one arena counts on 16 to 18 pages, by where its bins lie; what is free lazily is
        // described on some ten more.
        reads: 32 << 12,
    };
    harm::check(&program, findings)
}

/// A heap of musl, in part swapped out, most of its slots free.
fn harm_musl(_: &mut Group, findings: &mut Findings) -> Result<()> {
    if !is_for_slow_programs()? {
        findings.left_out = true;
        return Ok(());
    }
    let program = Program {
        runtime: "musl",
        words: &["/opt/blocks", "60000"],
        environment: &[],
        free: &[""],
        frees_lazily: false,
        // What it keeps for itself: less than a hundredth of its memory.
        reads: 200 << 10,
    };
    harm::check(&program, findings)
}

/// As musl's, of mimalloc. Where generations tell what is cold, its tables are swapped
/// out first, and refused then.
fn harm_mimalloc(_: &mut Group, findings: &mut Findings) -> Result<()> {
    if !is_for_slow_programs()? || kernel::has_generations() {
        findings.left_out = true;
        return Ok(());
    }
    let program = Program {
        runtime: "mimalloc",
        words: &["/opt/blocks-shared", "60000"],
        environment: &[("LD_PRELOAD", "/lib/libmimalloc.so.2")],
        free: &[""],
        frees_lazily: false,
        // The tables at the beginning of its segments, of 32 MiB each.
        reads: 128 << 10,
    };
    harm::check(&program, findings)
}

/// A heap of V8, in part swapped out, nine of ten objects dropped: as mimalloc's.
fn harm_v8(_: &mut Group, findings: &mut Findings) -> Result<()> {
    if !is_for_slow_programs()? || kernel::has_generations() {
        findings.left_out = true;
        return Ok(());
    }
    let program = Program {
        runtime: "v8",
        words: &["/opt/node", "--expose-gc", "/opt/heap.js"],
        environment: &[],
        free: &[""],
        frees_lazily: false,
        // One page in a hundred, the C library's lists included.
        reads: 1 << 20,
    };
    harm::check(&program, findings)
}

/// A heap of CPython, in part swapped out, nine of ten objects dropped.
fn harm_cpython(_: &mut Group, findings: &mut Findings) -> Result<()> {
    if !is_for_slow_programs()? {
        findings.left_out = true;
        return Ok(());
    }
    let program = Program {
        runtime: "cpython",
        words: &["/usr/bin/python3", "-s", "-S", "/opt/heap.py"],
        environment: &[],
        free: &[""],
        frees_lazily: false,
        // A sample of its pools: a hundredth of what is resident.
        reads: 512 << 10,
    };
    harm::check(&program, findings)
}

/// A Go program: its runtime's heap statistics, and those of its C library.
fn stall_go(_: &mut Group, findings: &mut Findings) -> Result<()> {
    stalls::check("/opt/cgo", &[("STEPS", "steady")], "", findings)
}

/// Small and large extents of one arena.
fn stall_jemalloc(_: &mut Group, findings: &mut Findings) -> Result<()> {
    stalls::check("/opt/mallctl", &[], "/lib/libjemalloc.so.2", findings)
}
