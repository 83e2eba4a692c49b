//! Children of a fork have their parent's beacon by name only.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use memgap_beacon::{Beacon, Error};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Fails where a child may use the beacon; it is dropped there too.
fn assert_left_to_the_parent(beacon: Beacon) {
    let mut beacon = Some(beacon);
    let mut command = Command::new("true");
    let in_child = move || {
        let beacon = beacon.take().ok_or(Errno::INVAL)?;
        let is_refused = matches!(beacon.refresh(), Err(Error::Forked))
            && matches!(beacon.gauge("one"), Err(Error::Forked));
        drop(beacon);
        if is_refused { Ok(()) } else { Err(io::Error::from(Errno::PERM)) }
    };
    #[allow(unsafe_code, reason = "of a fork without a program only this is safe to call")]
    // SAFETY: the closure takes no lock and allocates nothing: what it calls is refused
    // before that, and dropping the beacon frees what only this thread uses.
    let command = unsafe { command.pre_exec(in_child) };
    let status = command.status().expect("a child is refused");
    assert!(status.success(), "{status}");
}

#[test]
fn a_child_does_not_write_its_parents_page() {
    assert_left_to_the_parent(memgap_beacon::publish().expect("statistics are on"));
}

/// The test itself, as process 1 of a pid namespace, whose child is process 1 of
/// another one.
#[test]
fn a_child_of_the_same_pid_does_not_write_its_parents_page() {
    if std::process::id() == 1 {
        let beacon = memgap_beacon::publish().expect("statistics are on");
        #[allow(unsafe_code, reason = "files could be left to other threads by it too")]
        // SAFETY: no file descriptors are unshared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWPID) }.expect("we are root there");
        return assert_left_to_the_parent(beacon);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--"]);
    command.arg(std::env::current_exe().expect("we run")).arg("--exact");
    command.arg("a_child_of_the_same_pid_does_not_write_its_parents_page");
    let done = command.output().expect("util-linux is there");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}{done:?}");
}
