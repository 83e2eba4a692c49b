//! Cgroups of the machine that the tests run on, and of trees made for a test.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use memgap_kernel::{Cgroups, Dir};
use memgap_ledger::sample::{CgroupSample, CgroupVersion};
use memgap_ledger::{Account, CgroupLedger, Missing, MissingKind, cgroup};
use rustix::fs::inotify;

const STAT_V2: &str = include_str!("kernels/6.12/memory.stat");
const STAT_V1: &str = include_str!("kernels/6.18-v1/memory.stat");
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const POD: &str = "/kubepods/pod8f4e0b3a-1f0c-4d5e-9a67-0c1d2e3f4a5b";

fn machine() -> Cgroups {
    let proc = Dir::open(Path::new("/proc")).unwrap();
    Cgroups::open(&proc, None, Path::new("/var/log/containers")).unwrap()
}

/// A directory that goes away with the test, whatever becomes of it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("memgap-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A cgroup of v2 as the kernel shows it.
    fn cgroup(&self, path: &str, limit: &str) {
        for (name, text) in [
            ("cgroup.procs", "7\n8\n"),
            ("memory.stat", STAT_V2),
            ("memory.current", "10944512\n"),
            ("memory.max", limit),
            ("memory.swap.max", "max\n"),
        ] {
            self.write(&format!("{path}/{name}"), text);
        }
    }

    /// A tree of v2 whose root is a root.
    fn v2(name: &str) -> Self {
        let tree = Self::new(name);
        tree.write("cgroup.controllers", "cpu memory\n");
        tree.write("cgroup.procs", "");
        tree.write("memory.stat", STAT_V2);
        tree
    }

    fn open(&self) -> Cgroups {
        // An empty procfs: the tree alone must tell.
        let proc = Dir::open(&self.0.join("proc")).or_else(|_| Dir::open(&self.0)).unwrap();
        Cgroups::open(&proc, Some(&self.0), &self.0.join("logs")).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The residual of a sample, once the sum of its accounts was seen to be its usage.
fn residual(sample: &CgroupSample) -> Option<i64> {
    let unread = Missing::absent("processes are not read here");
    let ledger = cgroup::ledger(sample, Err(&unread));
    assert_eq!(ledger.ledger.total(), ledger.headline.usage.point()?, "{}", sample.path);
    Some(ledger.ledger.booked(Account::ChargeResidual))
}

#[test]
fn the_statistics_of_every_cgroup_close() {
    let cgroups = machine();
    let all = cgroups.all().unwrap();
    assert!(all.is_sorted_by(|a, b| a.path < b.path));
    assert_eq!(all[0].path, "/");
    for sample in &all {
        let below = format!("{}/", sample.path.trim_end_matches('/'));
        let descendants =
            all.iter().filter(|c| c.path != sample.path && c.path.starts_with(&below)).count();
        let bound = CgroupLedger::residual_bound(sample.cpus, descendants);
        // Others allocate while we read: the best of some readings counts.
        let again = (0..50).map_while(|_| cgroups.one(&sample.path).ok());
        let best = again.filter_map(|s| residual(&s)).min_by_key(|r| r.unsigned_abs());
        println!("{}: residual {best:?}, bound {bound}", sample.path);
        assert!(best.is_none_or(|r| r.unsigned_abs() <= bound), "{}: {best:?}", sample.path);
    }
}

/// v1 beside v2: the controller counts, not the mount that is found first.
#[test]
fn the_hierarchy_is_the_one_with_the_controller() {
    let listed = fs::read_to_string("/proc/self/cgroup").unwrap();
    let v1 = listed.lines().any(|l| l.split(':').nth(1) == Some("memory"));
    let expected = if v1 { CgroupVersion::V1 } else { CgroupVersion::V2 };
    assert_eq!(machine().version(), expected);
}

#[test]
fn a_tree_tells_its_version_where_mountinfo_does_not() {
    let v2 = Scratch::v2("tree-v2");
    // A cgroup of that name does not make it v1.
    v2.cgroup("/memory", "max\n");
    let cgroups = v2.open();
    assert_eq!(cgroups.version(), CgroupVersion::V2);
    let all = cgroups.all().unwrap();
    assert_eq!(all.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["/", "/memory"]);
    let [root, memory] = all.as_slice() else { panic!("{all:?}") };
    assert!(root.root && root.usage.is_err() && root.limit == Ok(None) && !root.leaf);
    assert_eq!((&memory.usage, &memory.limit), (&Ok(10_944_512), &Ok(None)));

    let v1 = Scratch::new("tree-v1");
    for (name, text) in [
        ("cgroup.procs", ""),
        ("memory.stat", STAT_V1),
        ("memory.usage_in_bytes", "9\n"),
        ("memory.limit_in_bytes", "9223372036854771712\n"),
    ] {
        v1.write(&format!("memory/a/{name}"), text);
        v1.write(&format!("memory/{name}"), text);
    }
    assert_eq!(v1.open().version(), CgroupVersion::V1);
    let sample = v1.open().one("a").unwrap();
    assert_eq!((sample.path.as_str(), sample.limit), ("/a", Ok(None)));
    assert_eq!(sample.swap_limit.unwrap_err().kind, MissingKind::Absent);

    let empty = Scratch::new("tree-empty");
    let proc = Dir::open(&empty.0).unwrap();
    let lack = Cgroups::open(&proc, Some(&empty.0), Path::new("")).unwrap_err();
    assert!(lack.why.contains("--path.cgroupfs"), "{lack}");
}

/// In a container the host's procfs and cgroupfs stand below /host, and the
/// first process's mounts name the host's places.
#[test]
fn mounts_of_the_host_are_found_below_another_root() {
    let host = Scratch::new("host");
    host.write("proc/1/mountinfo", include_str!("kernels/6.18-v1/mountinfo"));
    host.write("memory/memory.stat", STAT_V1);
    host.write("memory/memory.usage_in_bytes", "1\n");
    host.write("memory/release_agent", "\n");
    // The v2 hierarchy beside it has no memory controller.
    host.write("unified/cgroup.controllers", "hugetlb\n");
    let cgroups = host.open();
    assert_eq!(cgroups.version(), CgroupVersion::V1);
    assert_eq!(cgroups.mount_point(), host.0.join("memory"));
    assert!(cgroups.one("/").unwrap().root);
}

#[test]
fn a_path_does_not_lead_out_of_the_hierarchy() {
    let tree = Scratch::v2("paths");
    tree.cgroup("/a", "1024\n");
    tree.cgroup("/a/b", "max\n");
    symlink(tree.0.join("a"), tree.0.join("link")).unwrap();
    let cgroups = tree.open();
    assert_eq!(cgroups.one("//a/b/").unwrap().path, "/a/b");
    for bad in ["/a/../a", "..", "/./a", "/link", "/none", "/a\0", &"/x".repeat(65)] {
        assert!(cgroups.one(bad).is_err(), "{bad}");
    }
    let paths: Vec<_> = cgroups.all().unwrap().into_iter().map(|c| c.path).collect();
    assert_eq!(paths, ["/", "/a", "/a/b"]);
}

#[test]
fn without_the_controller_or_half_removed_is_not_listed() {
    let tree = Scratch::v2("half");
    tree.cgroup("/with", "max\n");
    tree.write("/with/inner/cgroup.procs", "");
    tree.write("/gone/memory.max", "max\n");
    tree.cgroup("/garbled", "max\n");
    tree.write("/garbled/memory.stat", "anon 12");
    let cgroups = tree.open();
    let all = cgroups.all().unwrap();
    let paths: Vec<_> = all.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(paths, ["/", "/garbled", "/with"]);
    assert_eq!(all[1].stat.as_ref().unwrap_err().kind, MissingKind::Malformed);
    assert!(all[2].leaf, "a child without the controller holds no memory of its own");
    assert_eq!(cgroups.counts().vanished, 1);
    assert_eq!(cgroups.one("/gone").unwrap_err().kind, MissingKind::Gone);
    assert_eq!(cgroups.one("/with/inner").unwrap_err().kind, MissingKind::Absent);
}

#[test]
fn depth_is_bounded_and_what_is_left_out_counted() {
    let tree = Scratch::v2("deep");
    for depth in 1..=66 {
        tree.cgroup(&"/d".repeat(depth), "max\n");
    }
    let cgroups = tree.open();
    let all = cgroups.all().unwrap();
    assert_eq!((all.len(), cgroups.counts().skipped), (65, 1));
    assert!(all.iter().all(|c| !c.leaf), "the deepest read has one below it");
}

#[test]
fn a_container_has_its_names_and_its_pods_limit() {
    let tree = Scratch::v2("pods");
    tree.cgroup("/kubepods", "1000000\n");
    tree.cgroup(POD, "500000\n");
    let container = format!("{POD}/{ID}");
    tree.cgroup(&container, "max\n");
    tree.cgroup(&format!("{container}/inner"), "max\n");
    fs::create_dir(tree.0.join("logs")).unwrap();
    symlink("/nowhere", tree.0.join(format!("logs/web-0_shop_nginx-{ID}.log"))).unwrap();
    let cgroups = tree.open();
    let all = cgroups.all().unwrap();
    let of = |path: &str| all.iter().find(|c| c.path == path).unwrap();
    let names = of(&container).names.as_ref().unwrap();
    assert_eq!(
        (names.pod.as_str(), names.namespace.as_str(), names.container.as_str()),
        ("web-0", "shop", "nginx")
    );
    assert_eq!(of(&container).limit, Ok(Some(500_000)));
    assert_eq!(of(&format!("{container}/inner")).limit, Ok(None));
    assert_eq!(&cgroups.one(&container).unwrap(), of(&container));
}

#[test]
fn pids_of_another_namespace_are_said_so() {
    let tree = Scratch::v2("pids");
    tree.cgroup("/a", "max\n");
    let cgroups = tree.open();
    assert_eq!(cgroups.pids("/a"), Ok(vec![7, 8]));
    tree.write("/a/cgroup.procs", "7\n0\n");
    assert!(cgroups.pids("/a").unwrap_err().why.contains("pid namespace"));
    tree.write("/a/cgroup.procs", "7\nx\n");
    assert_eq!(cgroups.pids("/a").unwrap_err().kind, MissingKind::Malformed);
    tree.write("/b/cgroup.type", "threaded\n");
    assert!(cgroups.pids("/b").unwrap_err().why.contains("threaded"));
}

/// Which of the files are read, in that order; the kernel tells.
fn reads_of(files: &[PathBuf], act: impl FnOnce()) -> Vec<usize> {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let ids: Vec<i32> = files
        .iter()
        .map(|file| inotify::add_watch(&watch, file, inotify::WatchFlags::ACCESS).unwrap())
        .collect();
    act();
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut space);
    let mut seen = Vec::new();
    // It would wait where there is no further event.
    while let Ok(event) = events.next() {
        seen.push(ids.iter().position(|id| *id == event.wd()).unwrap());
    }
    seen.dedup();
    seen
}

#[test]
fn statistics_are_flushed_before_they_are_read() {
    let tree = Scratch::v2("flushed");
    for path in ["/app.slice", "/app.slice/app.service"] {
        tree.cgroup(path, "max\n");
        tree.write(&format!("{path}/cpu.stat"), "usage_usec 1\n");
    }
    let cgroups = tree.open();
    let files = ["app.slice/cpu.stat", "app.slice/memory.stat", "app.slice/app.service/cpu.stat"]
        .map(|file| tree.0.join(file));
    // What is below the cgroups of the first level is flushed with these.
    let all = reads_of(&files, || assert_eq!(cgroups.all().unwrap().len(), 3));
    assert_eq!(all, [0, 1]);
    let one = reads_of(&files, || assert!(cgroups.one("/app.slice").is_ok()));
    assert_eq!(one, [0, 1]);
}
