//! What the real daemon keeps of a cgroup in which the kernel killed something for want of
//! memory: its ledger before that.

mod common;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::daemon::{Daemon, PATIENCE};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::rights::{Need, left_out};
use serde_json::Value;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 96 * MIB;
/// What is there before the kill.
const HELD: u64 = 40 * MIB;

/// A process in a cgroup that ends with the value.
struct Kid(Child);

impl Kid {
    /// `script` goes on when it is told so.
    fn start(group: &Cgroup, script: &str) -> Self {
        let script = format!("read go; {script}");
        let mut command = Command::new("sh");
        let child = command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null());
        let kid = Self(child.spawn().expect("a shell"));
        group.admit(kid.0.id()).expect("it moves");
        kid
    }

    fn tell(&mut self, bytes: &[u8]) {
        let stdin = self.0.stdin.as_mut().expect("a pipe");
        stdin.write_all(bytes).expect("it reads");
    }

    /// Holds what it is given, and waits for more.
    fn holding(group: &Cgroup) -> Self {
        let mut kid = Self::start(group, "exec tail -c 100M");
        kid.tell(b"go\n");
        kid.tell(&vec![b'x'; usize::try_from(HELD).expect("it fits")]);
        kid
    }

    /// Allocates until it is killed.
    fn is_killed(group: &Cgroup) {
        let mut kid = Self::start(group, "exec tail /dev/zero");
        kid.tell(b"go\n");
        let status = kid.0.wait().expect("it ends");
        assert!(!status.success(), "it lives");
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn group() -> Cgroup {
    let group = Cgroup::new("killed-kept").expect("a cgroup");
    group.limit(Some(LIMIT)).expect("it is ours");
    group.swap_limit(0).expect("it is ours");
    group
}

fn get(daemon: &Daemon, path: &str) -> Value {
    let answer = daemon.get(&format!("/api/v1/{path}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn item(daemon: &Daemon, list: &str, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
    let page = get(daemon, &format!("{list}?limit=1000"));
    page["items"].as_array().expect("items").iter().find(|item| is_it(item)).cloned()
}

/// Waits until a list has an item.
fn wait(daemon: &Daemon, list: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = item(daemon, list, &is_it) {
            return found;
        }
        assert!(Instant::now() < end, "{list}: {}", get(daemon, list));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A cgroup as the exporter sees it before the kill.
fn seen(daemon: &Daemon, group: &Cgroup) {
    let holds = |item: &Value| {
        item["scope"]["path"] == group.path()
            && item["headline"]["usage"].as_u64().is_some_and(|usage| usage >= HELD)
    };
    wait(daemon, "cgroups", holds);
}

fn assert_kept(item: &Value, holder: u32) {
    assert_eq!(item["kills"], 1, "{item}");
    let ledger = &item["ledger"];
    let usage = ledger["headline"]["usage"].as_u64().expect("a figure");
    assert!((HELD..LIMIT).contains(&usage), "{usage}");
    let accounts = ledger["accounts"].as_array().expect("accounts");
    let sum: i64 = accounts.iter().filter_map(|account| account["bytes"].as_i64()).sum();
    assert_eq!(sum, i64::try_from(usage).expect("it is small"), "{ledger}");
    let largest = &item["processes"][0];
    assert_eq!((&largest["name"], largest["pid"].as_u64()), (&"tail".into(), Some(holder.into())));
    assert!(item["read"].as_str() <= item["time"].as_str(), "{item}");
}

#[test]
fn the_ledger_before_a_kill_is_kept() {
    if left_out(Need::Cgroups) {
        return;
    }
    let (group, beside) = (group(), group());
    let daemon = Daemon::ready(&["--web.api", "--interval=200ms"]);
    let holder = Kid::holding(&group);
    let _other = Kid::holding(&beside);
    seen(&daemon, &group);
    seen(&daemon, &beside);
    let is_it = |item: &Value| item["ledger"]["scope"]["path"] == group.path();
    assert!(item(&daemon, "oom-kills", is_it).is_none(), "nothing was killed");
    Kid::is_killed(&group);
    let kept = wait(&daemon, "oom-kills", is_it);
    assert_eq!(kept["evidence"], "counter");
    assert_kept(&kept, holder.0.id());
    // It stays when the cgroup has gone, and is of nobody else.
    let path = group.path().to_owned();
    drop((holder, group));
    let end = Instant::now() + PATIENCE;
    while item(&daemon, "cgroups", |item| item["scope"]["path"] == *path).is_some() {
        assert!(Instant::now() < end, "it is there yet");
    }
    let all = get(&daemon, "oom-kills?limit=1000");
    let of = |path: &str| {
        let items = all["items"].as_array().expect("items").iter();
        items.filter(|item| item["ledger"]["scope"]["path"] == path).count()
    };
    assert_eq!((of(&path), of(beside.path())), (1, 0), "{all}");
}

/// The kernel's log tells, where its report was not left out; on v2 the cgroup above.
#[test]
fn the_ledger_of_a_cgroup_that_went_with_the_kill_is_kept() {
    if left_out(Need::Cgroups) {
        return;
    }
    let daemon = Daemon::ready(&["--web.api", "--interval=2s"]);
    for _ in 0..8 {
        let group = group();
        let holder = Kid::holding(&group);
        seen(&daemon, &group);
        let (path, pid) = (group.path().to_owned(), holder.0.id());
        Kid::is_killed(&group);
        drop((holder, group));
        let end = Instant::now() + PATIENCE;
        while item(&daemon, "cgroups", |item| item["scope"]["path"] == *path).is_some() {
            assert!(Instant::now() < end, "it is there yet");
            std::thread::sleep(Duration::from_millis(20));
        }
        let is_it = |item: &Value| item["ledger"]["scope"]["path"] == *path;
        if let Some(kept) = item(&daemon, "oom-kills", is_it) {
            println!("{}", kept["evidence"]);
            assert_kept(&kept, pid);
            return;
        }
        // As long as the kernel counts kills that follow each other.
        std::thread::sleep(Duration::from_secs(6));
    }
    panic!("nothing was kept eight times");
}
