//! The sentences.

use super::*;
use crate::fact::{Missing, MissingKind};
use crate::oom::{OomStat, Report, Task};

const MIB: u64 = 1 << 20;

fn report() -> Report {
    Report {
        asked_by: "java".to_owned(),
        limit_of: Some("/pod".to_owned()),
        task_cgroup: Some("/pod/own".to_owned()),
        usage: Some(512 * MIB),
        limit: Some(512 * MIB),
        stat: OomStat {
            anon: Some(300 * MIB),
            file: Some(180 * MIB),
            shmem: Some(170 * MIB),
            kernel: Some(20 * MIB),
            ..OomStat::default()
        },
        tasks: vec![Task { pid: 7, name: "java".to_owned(), bytes: 290 * MIB }],
        task_count: 1,
        task_bytes: 290 * MIB,
        ..Report::default()
    }
}

fn kill(report: Option<Report>) -> OomKill {
    OomKill {
        at: Duration::from_mins(1),
        pid: 7,
        name: "java".to_owned(),
        short: Short::Cgroup,
        anon: 290 * MIB,
        file: 0,
        shmem: 0,
        page_tables: None,
        score_adj: None,
        report,
        group: None,
    }
}

fn found(kills: Vec<OomKill>) -> PostMortem {
    let log = KernelLog {
        begins: Duration::from_secs(30),
        now: Duration::from_mins(61),
        ..KernelLog::default()
    };
    let target = "cgroup:/pod/own".to_owned();
    PostMortem { target, is_there: true, kills, unplaced: 0, counted: Vec::new(), log: Ok(log) }
}

fn counted(own: u64) -> Counted {
    let silent = || Err(Missing::absent("v1"));
    Counted { path: "/pod/own".to_owned(), own: Ok(own), with_below: silent(), limit_met: silent() }
}

#[test]
fn a_verdict_names_the_victim_the_time_and_whose_limit() {
    let said = found(vec![kill(Some(report()))]).verdict();
    assert_eq!(
        said,
        "java (pid 7) of cgroup:/pod/own was killed 1 h ago: the limit of 512 MiB of /pod, above its own \
         cgroup, was met"
    );
    let twice = found(vec![kill(None), kill(Some(report()))]).verdict();
    assert!(twice.ends_with("left its report out; 2 OOM kills in the kernel's log"), "{twice}");
}

#[test]
fn what_held_it_adds_up_to_what_was_used() {
    let held = kill(Some(report())).held();
    assert_eq!(held.iter().map(|(_, bytes)| bytes).sum::<u64>(), 512 * MIB);
    assert_eq!(held[0], (advice::ANON, 300 * MIB));
    assert_eq!(held[1], (advice::SHMEM, 170 * MIB));
    assert_eq!(held.last(), Some(&(advice::OTHER, 12 * MIB)));
}

#[test]
fn what_is_not_known_is_no_statement_that_nothing_happened() {
    let mut nothing = found(Vec::new());
    assert_eq!(nothing.verdict(), "no OOM kill of cgroup:/pod/own is known since boot");
    nothing.log = Ok(KernelLog { overwritten: true, ..nothing.log.unwrap_or_default() });
    let since = "no OOM kill of cgroup:/pod/own is known since the kernel's log began, whose first line is 1 h old";
    assert_eq!(nothing.verdict(), since);
    nothing.counted = vec![counted(3)];
    let counts = "cgroup:/pod/own counts 3 OOM kills, and the kernel's log, whose first line is 1 h old, tells of none";
    assert_eq!(nothing.verdict(), counts);
    nothing.log = Err(Missing::new(MissingKind::Denied, "/dev/kmsg may not be read"));
    assert!(nothing.verdict().ends_with("which tells which and why, was not read"));
    assert_eq!(nothing.notes(), ["/dev/kmsg may not be read"]);
    nothing.counted.clear();
    assert!(nothing.verdict().ends_with("which would tell, was not read"));
}

#[test]
fn a_name_that_a_shell_would_run_is_no_part_of_a_command() {
    for name in ["$(reboot)", "a b", "-x", "`id`", "a;b"] {
        let named = OomKill { name: name.to_owned(), ..kill(Some(report())) };
        let advice = named.advice().join("\n");
        assert!(!advice.contains(&format!("`memgap {name}")), "{advice}");
    }
    assert!(kill(Some(report())).advice()[0].contains("`memgap java`"));
}
