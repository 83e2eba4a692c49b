//! The kernel's log: what it tells of OOM kills, and what nobody can make it tell.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use memgap_kernel::source::kernel_log::parse;
use memgap_ledger::oom::{KernelLog, OomKill, Short};
use proptest::prelude::*;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// As `/dev/kmsg` gave it when files of a tmpfs had filled a limit of 96 MiB.
const V1: &str = include_str!("kernel_log/6.18-v1");

/// As Linux 4.19 prints it (mm/memcontrol.c, mm/oom_kill.c).
const OLD: &[&str] = &[
    "stress invoked oom-killer: gfp_mask=0x14000c0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=0",
    "Task in /pod/own killed as a result of limit of /pod",
    "memory: usage 65536kB, limit 65536kB, failcnt 31",
    "memory+swap: usage 65536kB, limit 9007199254740988kB, failcnt 0",
    "kmem: usage 1024kB, limit 9007199254740988kB, failcnt 0",
    "Memory cgroup stats for /pod: cache:0KB rss:0KB rss_huge:0KB shmem:0KB mapped_file:0KB",
    "Memory cgroup stats for /pod/own: cache:512KB rss:63488KB rss_huge:0KB shmem:0KB mapped_file:0KB",
    "[ pid ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
    "[ 4242]     0  4242    20000    15872   180224        0             0 stress",
    "Memory cgroup out of memory: Kill process 4242 (stress) score 970 or sacrifice child",
    "Killed process 4242 (stress) total-vm:80000kB, anon-rss:61440kB, file-rss:2048kB, shmem-rss:0kB",
];

/// As Linux 6.8 and later print it on cgroup v2.
const V2: &[&str] = &[
    "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=986",
    "memory: usage 262144kB, limit 262144kB, failcnt 88",
    "swap: usage 0kB, limit 0kB, failcnt 0",
    "Memory cgroup stats for /kubepods/pod1/c1:",
    "anon 200278016",
    "file 50331648",
    "kernel 10485760",
    "sock 0",
    "shmem 49283072",
    "file_dirty 0",
    "unevictable 0",
    "Tasks state (memory values in pages):",
    "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name",
    "[    901] 65535   901      250       10        5        5         0    28672        0          -998 pause",
    "[    950]     0   950   100000    48896    46848     2048         0   500000        0           986 python3",
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c1,mems_allowed=0,oom_memcg=/kubepods/pod1/c1,task_memcg=/kubepods/pod1/c1,task=python3,pid=950,uid=0",
    "Memory cgroup out of memory: Killed process 950 (python3) total-vm:400000kB, anon-rss:187392kB, file-rss:8192kB, shmem-rss:0kB, UID:0 pgtables:488kB oom_score_adj:986",
    "Tasks in /kubepods/pod1/c1 are going to be killed due to memory.oom.group set",
    "Memory cgroup out of memory: Killed process 901 (pause) total-vm:1000kB, anon-rss:20kB, file-rss:20kB, shmem-rss:0kB, UID:65535 pgtables:28kB oom_score_adj:-998",
];

/// Lines as records of the kernel's.
fn records(lines: &[&str]) -> String {
    let record = |(nth, line): (usize, &&str)| format!("4,{nth},{},-;{line}\n", 5_000_000 + nth);
    lines.iter().enumerate().map(record).collect()
}

fn kills(text: &str) -> Vec<OomKill> {
    parse(text.as_bytes(), PAGE).kills
}

#[test]
fn a_kill_for_files_of_a_tmpfs_is_told_whole() {
    let KernelLog { kills, left_out, begins, overwritten, .. } = parse(V1.as_bytes(), PAGE);
    let [kill] = &kills[..] else { panic!("{kills:?}") };
    assert_eq!((left_out, overwritten), (0, true));
    assert!(begins > Duration::ZERO && kill.at > begins);
    assert_eq!((kill.pid, &*kill.name, kill.short), (15138, "filler", Short::Cgroup));
    assert_eq!((kill.anon, kill.file, kill.shmem), (16_000 << 10, 3336 << 10, 0));
    assert_eq!((kill.page_tables, kill.score_adj), (Some(88 << 10), Some(0)));
    let report = kill.report.as_ref().unwrap();
    assert_eq!((report.usage, report.limit), (Some(96 * MIB), Some(96 * MIB)));
    assert_eq!(report.limit_of.as_deref(), Some("/a/b"));
    assert!(!report.is_ancestors() && !report.is_with_swap());
    let stat = report.stat;
    assert_eq!((stat.anon, stat.shmem), (Some(16_474_112), Some(80 * MIB)));
    assert_eq!((stat.file, stat.kernel), (Some(80 * MIB), Some(296 << 10)));
    assert_eq!((report.task_count, report.task_bytes), (1, 4000 * PAGE));
}

#[test]
fn an_old_kernel_tells_of_a_limit_above() {
    let found = kills(&records(OLD));
    let [kill] = &found[..] else { panic!("{found:?}") };
    assert_eq!((kill.pid, &*kill.name, kill.short), (4242, "stress", Short::Cgroup));
    assert_eq!((kill.anon, kill.page_tables), (60 * MIB, None));
    let report = kill.report.as_ref().unwrap();
    assert_eq!(report.limit_of.as_deref(), Some("/pod"));
    assert_eq!(kill.cgroup(), Some("/pod/own"));
    assert!(report.is_ancestors());
    assert_eq!((report.stat.anon, report.stat.kernel), (Some(62 * MIB), Some(MIB)));
    assert_eq!((report.task_count, report.tasks[0].bytes), (1, 62 * MIB));
}

#[test]
fn a_group_is_killed_as_a_whole() {
    let found = kills(&records(V2));
    let [chosen, other] = &found[..] else { panic!("{found:?}") };
    assert_eq!((chosen.pid, chosen.group.as_deref()), (950, None));
    assert_eq!((other.pid, other.group.as_deref()), (901, Some("/kubepods/pod1/c1")));
    assert_eq!(other.cgroup(), Some("/kubepods/pod1/c1"));
    let stat = chosen.report.as_ref().unwrap().stat;
    assert_eq!((stat.anon, stat.kernel), (Some(191 * MIB), Some(10 * MIB)));
    assert_eq!(chosen.report.as_ref().unwrap().tasks[0].bytes, 46848 * PAGE);
}

#[test]
fn a_kill_without_its_report_has_none_of_another() {
    let alone = "Memory cgroup out of memory: Killed process 7 (x) total-vm:1kB, anon-rss:1kB, \
                 file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0";
    let found = kills(&records(&[V2, &[alone]].concat()));
    assert_eq!(found.len(), 3);
    assert_eq!((found[2].pid, &found[2].report), (7, &None));
}

#[test]
fn what_programs_write_into_the_log_is_no_kill() {
    // Facility 1 is of programs.
    let forged = records(V2).replace("4,", "12,");
    assert_eq!(kills(&forged), []);
}

#[test]
fn names_forge_nothing() {
    let last = "Memory cgroup out of memory: Killed process 9 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB";
    for name in ["x\\x0aMemory cgr", "oom-kill:constr", "1) total-vm:9kB", ",task_memcg=/b", last] {
        let named: Vec<String> = V2.iter().map(|line| line.replace("python3", name)).collect();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        let pids: Vec<u32> = kills(&records(&named)).iter().map(|kill| kill.pid).collect();
        assert!(pids.iter().all(|pid| [950, 901].contains(pid)), "{name}: {pids:?}");
    }
}

proptest! {
    #[test]
    fn a_log_that_is_cut_tells_less_and_nothing_else(at in 0usize..V1.len()) {
        let found = kills(&V1[..at]);
        prop_assert!(found.len() <= usize::from(at == V1.len()), "{found:?}");
        // Its beginning is missing: who was killed is known, and no report that is half there.
        for kill in kills(&V1[at..]) {
            let whole = kills(V1).remove(0);
            prop_assert_eq!(kill.pid, whole.pid);
            prop_assert!(kill.report.is_none() || kill.report == whole.report);
        }
    }

    #[test]
    fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..4096)) {
        parse(&text, PAGE);
    }

    #[test]
    fn no_lines_in_another_order_panic(
        lines in prop::collection::vec(prop::sample::select([OLD, V2].concat()), 0..60),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut text = records(&lines).into_bytes();
        if !text.is_empty() {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let log = parse(&text, PAGE);
        prop_assert!(log.kills.len() <= lines.len());
    }
}
