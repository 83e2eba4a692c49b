//! Cgroups of the machine that the tests run on, and of trees made for a test.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use memgap_kernel::{Cgroups, Dir};
use memgap_ledger::sample::{CgroupSample, CgroupVersion};
use memgap_ledger::{Account, CgroupLedger, Missing, MissingKind, cgroup};
use rustix::fs::inotify;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

const STAT_V2: &str = include_str!("kernels/6.12/memory.stat");
const STAT_V1: &str = include_str!("kernels/6.18-v1/memory.stat");
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const POD: &str = "/kubepods/pod8f4e0b3a-1f0c-4d5e-9a67-0c1d2e3f4a5b";

fn machine() -> Cgroups {
    let proc = Dir::open(Path::new("/proc")).unwrap();
    Cgroups::open(&proc, None, Path::new("/var/log/containers")).unwrap()
}

/// The path of our own cgroup below the mount point.
fn own(cgroups: &Cgroups) -> String {
    path_of(cgroups, "self")
}

/// The path below the mount point of a process's cgroup.
fn path_of(cgroups: &Cgroups, pid: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let lines = text.lines().filter_map(|l| l.split_once(':')?.1.split_once(':'));
    cgroups.path_of(lines).unwrap()
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

/// A cgroup below our own, with a stopped process in it: nothing in it moves.
struct Made {
    path: PathBuf,
    member: Child,
}

impl Made {
    fn new(parent: &Path) -> Self {
        let path = parent.join(format!("memgap-test-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let made = Self { path, member: Command::new("sleep").arg("1000").spawn().unwrap() };
        fs::write(made.path.join("cgroup.procs"), made.member.id().to_string()).unwrap();
        let pid = Pid::from_child(&made.member);
        kill_process(pid, Signal::STOP).unwrap();
        waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
        made
    }

    fn number(&self, name: &str) -> u64 {
        fs::read_to_string(self.path.join(name)).unwrap().trim().parse().unwrap()
    }

    /// Empties and removes it.
    fn end(&mut self) {
        let _ = self.member.kill();
        let _ = self.member.wait();
        let _ = fs::remove_dir(&self.path);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.end();
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

/// On v1, where any cgroup may have one below it; v2 is tested in machines of
/// its own.
#[test]
fn a_cgroup_is_read_as_its_files_say() {
    let cgroups = machine();
    if cgroups.version() == CgroupVersion::V2 {
        return;
    }
    let parent = own(&cgroups);
    let mut made = Made::new(&cgroups.mount_point().join(parent.trim_start_matches('/')));
    let path = format!("/{}", made.path.strip_prefix(cgroups.mount_point()).unwrap().display());
    let before = cgroups.one(&path).unwrap();
    assert_eq!(before.limit, Ok(None));
    assert_eq!(before.swap_limit, Ok(None));
    fs::write(made.path.join("memory.limit_in_bytes"), "67108864").unwrap();
    fs::write(made.path.join("memory.memsw.limit_in_bytes"), "100663296").unwrap();

    let all = cgroups.all().unwrap();
    let sample = all.iter().find(|c| c.path == path).unwrap();
    assert_eq!(sample.usage, Ok(made.number("memory.usage_in_bytes")));
    assert_eq!(sample.kmem, Ok(made.number("memory.kmem.usage_in_bytes")));
    assert_eq!(sample.limit, Ok(Some(64 << 20)));
    assert_eq!(sample.swap_limit, Ok(Some(32 << 20)));
    assert!(sample.leaf && !sample.root);
    assert!(all.iter().any(|c| c.path == parent && !c.leaf));
    assert_eq!(cgroups.pids(&path), Ok(vec![made.member.id()]));

    made.end();
    assert_eq!(cgroups.one(&path).unwrap_err().kind, MissingKind::Absent);
    assert!(cgroups.all().unwrap().iter().all(|c| c.path != path));
}

/// The test starts itself again in a cgroup namespace of a cgroup of its own.
#[test]
fn paths_are_the_same_from_within_a_cgroup_namespace() {
    const EXPECTED: &str = "MEMGAP_TEST_EXPECTED_CGROUP";
    let cgroups = machine();
    if let Ok(expected) = std::env::var(EXPECTED) {
        assert!(fs::read_to_string("/proc/1/cgroup").unwrap().contains(":/.."));
        assert_eq!(format!("{} {}", own(&cgroups), path_of(&cgroups, "1")), expected);
        return;
    }
    let (parent, first) = (own(&cgroups), path_of(&cgroups, "1"));
    let name = format!("memgap-namespace-{}", std::process::id());
    let path = cgroups.mount_point().join(parent.trim_start_matches('/')).join(&name);
    fs::create_dir(&path).unwrap();
    let output = Command::new("sh")
        .args(["-c", "echo $$ >$1/cgroup.procs; exec unshare --cgroup $0 --exact $2"])
        .arg(std::env::current_exe().unwrap())
        .arg(&path)
        .arg("paths_are_the_same_from_within_a_cgroup_namespace")
        .env(EXPECTED, format!("{}/{name} {first}", parent.trim_end_matches('/')))
        .output();
    fs::remove_dir(&path).unwrap();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
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
