//! The files of one cgroup.

use std::time::Instant;

use memgap_ledger::events::Events;
use memgap_ledger::sample::{CgroupSample, CgroupVersion, MemoryStat};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::events::{self, Files, Unoffered};
use super::last::{Last, Mark, Rest};
use crate::file::{Buf, Dir};
use crate::source::{amount, memory_stat};

/// The files of a cgroup at rest, of v1 and v2: others are read now and then.
pub const AT_REST: [&str; 6] = [
    "memory.usage_in_bytes",
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.current",
    "memory.max",
    "memory.swap.max",
];

/// Reads the cgroup behind a handle. What stands below it (`leaf`) and its names
/// are the caller's to fill in. Gone when it vanished in between, absent when it
/// has no memory controller. What is known of it by `last` is not read again, and of what
/// rests its statistics are known.
pub fn read(
    (dir, path): (&Dir, &str),
    version: CgroupVersion,
    cpus: u32,
    unoffered: Option<&Unoffered>,
    (last, is_at_rest): (&mut Last, bool),
    buf: &mut Buf,
) -> Fact<CgroupSample> {
    let root = path == "/" && is_root(dir, version);
    let read = Instant::now();
    let Figures { stat, usage, now, is_known } =
        figures(dir, version, root, (last, is_at_rest), read, buf);
    let known = last.known(now).cloned();
    if known.is_some() && !is_known {
        last.confirm(read);
    }
    let kmem = match (&known, version) {
        (Some(known), _) => known.kmem.clone(),
        (None, CgroupVersion::V1) => amount::read(dir, "memory.kmem.usage_in_bytes", buf),
        (None, CgroupVersion::V2) => Err(Missing::absent("cgroup v2 has it in memory.stat")),
    };
    if lacks(&stat) || (lacks(&usage) && !root) {
        if !dir.holds("cgroup.procs") {
            let why = format!("the cgroup {path} ended while it was read");
            return Err(Missing::new(MissingKind::Gone, why));
        }
        if lacks(&stat) && lacks(&usage) {
            return Err(Missing::absent(format!("the cgroup {path} has no memory controller")));
        }
    }
    // Nothing but its own file tells of a limit that was changed.
    let limit = limit(dir, version, root, buf);
    let files = Files { dir, root, unoffered };
    let events = match known {
        Some(known) => Events { high: events::high(&files, version, buf), ..known.events },
        None => {
            let events = events::read(&files, version, &stat, buf);
            let rest = Rest { kmem: kmem.clone(), events: events.clone() };
            last.note(path, now.zip(stat.as_ref().ok()), &rest, read);
            events
        }
    };
    Ok(CgroupSample {
        path: path.to_owned(),
        version,
        root,
        usage,
        swap_limit: swap_limit(dir, version, root, &limit, buf),
        limit,
        limit_is_pods: false,
        stat,
        kmem,
        events,
        cpus,
        unmarked_files: None,
        churned: 0,
        leaf: true,
        names: None,
    })
}

/// The figures that must add up.
struct Figures {
    stat: Fact<MemoryStat>,
    usage: Fact<u64>,
    /// What tells whether they are as they were.
    now: Option<Mark>,
    /// Whether statistics were not read.
    is_known: bool,
}

fn figures(
    dir: &Dir,
    version: CgroupVersion,
    root: bool,
    (last, is_at_rest): (&Last, bool),
    at: Instant,
    buf: &mut Buf,
) -> Figures {
    if let Some((mark, stat)) = last.steady(at).filter(|_| is_at_rest) {
        let usage = usage(dir, version, root, buf);
        if usage == Ok(mark.usage) {
            dir.keep_only(&AT_REST);
            return Figures { stat: Ok(*stat), usage, now: Some(mark), is_known: true };
        }
    }
    let (stat, text) = memory_stat::read_marked(dir, version, buf)
        .map_or_else(|lack| (Err(lack), None), |(stat, text)| (Ok(stat), Some(text)));
    // They are read without anything in between.
    let usage = usage(dir, version, root, buf);
    let now = text.zip(usage.as_ref().ok().copied());
    let now = now.map(|(text, usage)| Mark { text, usage });
    Figures { stat, usage, now, is_known: false }
}

/// The limit of a cgroup itself; `None` is unlimited, as the root always is.
pub fn limit(dir: &Dir, version: CgroupVersion, root: bool, buf: &mut Buf) -> Fact<Option<u64>> {
    match version {
        _ if root => Ok(None),
        CgroupVersion::V1 => amount::read_limit(dir, "memory.limit_in_bytes", buf),
        CgroupVersion::V2 => amount::read_limit(dir, "memory.max", buf),
    }
}

/// The root of the hierarchy, not of a container's part of it: there alone v1
/// has `release_agent`, and there alone v2 has no `memory.current`.
fn is_root(dir: &Dir, version: CgroupVersion) -> bool {
    match version {
        CgroupVersion::V1 => dir.holds("release_agent"),
        CgroupVersion::V2 => !dir.holds("memory.current"),
    }
}

pub fn usage(dir: &Dir, version: CgroupVersion, root: bool, buf: &mut Buf) -> Fact<u64> {
    match version {
        CgroupVersion::V1 => amount::read(dir, "memory.usage_in_bytes", buf),
        CgroupVersion::V2 if root => {
            Err(Missing::absent("the root of cgroup v2 has no usage: look at the host's ledger"))
        }
        CgroupVersion::V2 => amount::read(dir, "memory.current", buf),
    }
}

/// v1 limits memory and swap together; the rest behind the memory limit is swap.
fn swap_limit(
    dir: &Dir,
    version: CgroupVersion,
    root: bool,
    limit: &Fact<Option<u64>>,
    buf: &mut Buf,
) -> Fact<Option<u64>> {
    if root {
        return Ok(None);
    }
    if version == CgroupVersion::V2 {
        return amount::read_limit(dir, "memory.swap.max", buf);
    }
    let both = amount::read_limit(dir, "memory.memsw.limit_in_bytes", buf)?;
    let memory = limit.clone()?;
    Ok(both.map(|both| both.saturating_sub(memory.unwrap_or(0))))
}

/// Whether a file was not there: it never was, or its cgroup has ended.
fn lacks<T>(fact: &Fact<T>) -> bool {
    matches!(fact, Err(m) if matches!(m.kind, MissingKind::Absent | MissingKind::Gone))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    /// A v1 cgroup of files, gone with the test.
    struct Copy(PathBuf);

    impl Drop for Copy {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    impl Copy {
        fn new() -> Self {
            let root = std::env::temp_dir().join(format!("memgap-rests-{}", std::process::id()));
            std::fs::create_dir_all(&root).expect("a folder for temporary files");
            let copy = Self(root);
            copy.say(1, 100);
            for (name, text) in [
                ("cgroup.procs", ""),
                ("memory.limit_in_bytes", "4096\n"),
                ("memory.memsw.limit_in_bytes", "8192\n"),
                ("memory.kmem.usage_in_bytes", "5\n"),
                ("memory.failcnt", "0\n"),
                ("memory.max_usage_in_bytes", "6\n"),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"),
            ] {
                copy.write(name, text);
            }
            copy
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).expect("it is ours");
        }

        /// From now on it has so much anonymous memory, and such a usage.
        fn say(&self, anon: u64, usage: u64) {
            let others = ["cache", "shmem", "inactive_anon", "active_anon", "inactive_file"];
            let others = others.into_iter().chain(["active_file", "unevictable"]);
            let lines: Vec<_> = others.map(|name| format!("total_{name} 0\n")).collect();
            self.write("memory.stat", &format!("total_rss {anon}\n{}", lines.concat()));
            self.write("memory.usage_in_bytes", &format!("{usage}\n"));
        }
    }

    #[test]
    fn statistics_of_a_cgroup_at_rest_are_those_of_before_and_are_read_where_it_is_not() {
        let copy = Copy::new();
        let dir = Dir::open(&copy.0).expect("it is there").keeping_files();
        let (mut last, mut buf) = (Last::default(), Buf::default());
        let mut look = |last: &mut Last, is_at_rest| {
            let sample =
                read((&dir, "/a"), CgroupVersion::V1, 1, None, (last, is_at_rest), &mut buf)
                    .expect("it is whole");
            assert_eq!((sample.limit, sample.kmem), (Ok(Some(4096)), Ok(5)));
            (sample.stat.expect("it is whole").anon, sample.usage)
        };
        // They have been the same for long.
        let _ = look(&mut last, true);
        let _ = look(&mut last, true);
        last.since(Duration::from_secs(10));
        assert_eq!(look(&mut last, false), (1, Ok(100)));
        assert!(dir.handles() > AT_REST.len());
        copy.say(2, 100);
        assert_eq!(look(&mut last, true), (1, Ok(100)), "they were read");
        assert_eq!(dir.handles(), 4, "what is not read stays open");
        assert_eq!(look(&mut last, false), (2, Ok(100)), "it was not at rest");
        copy.say(3, 100);
        assert_eq!(look(&mut last, true), (3, Ok(100)), "they have just changed");
        let _ = look(&mut last, true);
        last.since(Duration::from_secs(10));
        let _ = look(&mut last, false);
        copy.say(4, 101);
        assert_eq!(look(&mut last, true), (4, Ok(101)), "usage has changed");
    }
}
