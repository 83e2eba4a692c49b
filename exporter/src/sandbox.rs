//! What the exporter's processes give up.

mod filter;

use std::ffi::CStr;
use std::io;
use std::path::Path;

use anyhow::Context;
use filter::Calls;
use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::io::Errno;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_name, set_no_new_privs,
};

/// Names this process, and has it end when the one that started it does.
pub fn end_with_parent(name: &CStr) -> io::Result<()> {
    set_name(name)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// What holds of a process that serves, beside that it has no capability.
#[derive(Debug)]
pub struct Confined {
    /// The version of Landlock that forbids it files and new sockets.
    pub paths: anyhow::Result<ABI>,
    /// How many system calls its filter leaves it.
    pub calls: anyhow::Result<usize>,
}

/// Leaves a process that serves the sockets it has, and nothing else of the machine. Call it
/// before there are other threads. Capabilities go or it fails; what else this kernel or this
/// container has no means for is said.
///
/// It may make connections to other machines where it is to push, to that TCP port alone.
pub fn confine_server(port: Option<u16>) -> anyhow::Result<()> {
    let confined = confine(port)?;
    if let Err(error) = &confined.paths {
        tracing::warn!("the server may open files: {error:#}");
    }
    if let Err(error) = &confined.calls {
        tracing::warn!("the server may make every system call: {error:#}");
    }
    Ok(())
}

/// Leaves a process that watches pods the files of a folder to read, and connections to that
/// TCP port. The same holds of it else.
pub fn confine_watcher(port: u16, files: &Path) -> anyhow::Result<()> {
    give_up_privileges().context("can not give up capabilities: allow capset and prctl")?;
    if let Err(error) = forbid_paths(Some(port), Some(files)) {
        tracing::warn!("the watcher may open files: {error:#}");
    }
    if let Err(error) = filter::install(Calls::Ask) {
        tracing::warn!("the watcher may make every system call: {error:#}");
    }
    Ok(())
}

/// Leaves another thread of that process the same. What can not be given up is said by the
/// first.
pub fn confine_thread() -> io::Result<()> {
    give_up_privileges()?;
    let _ = forbid_paths(None, None);
    let _ = filter::install(Calls::Serve);
    Ok(())
}

/// The same for the calling thread, and tells what holds.
pub fn confine(port: Option<u16>) -> anyhow::Result<Confined> {
    give_up_privileges().context("can not give up capabilities: allow capset and prctl")?;
    let calls = if port.is_some() { Calls::Push } else { Calls::Serve };
    Ok(Confined { paths: forbid_paths(port, None), calls: filter::install(calls) })
}

/// Forbids every file but to read those of a folder, and new listeners and connections but to
/// that port, for good (landlock(7)).
fn forbid_paths(port: Option<u16>, files: Option<&Path>) -> anyhow::Result<ABI> {
    // What of it an older kernel does not know is left out.
    let abi = ABI::V6;
    let files = files.map(PathFd::new).transpose()?;
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(
            port.map(|port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp))),
        )?
        .add_rules(files.map(|files| {
            Ok::<_, RulesetError>(PathBeneath::new(files, AccessFs::ReadFile | AccessFs::ReadDir))
        }))?
        .restrict_self()?;
    anyhow::ensure!(
        restricted.ruleset != RulesetStatus::NotEnforced,
        "this kernel has no Landlock, or it is not enabled"
    );
    Ok(ABI::from(restricted.landlock).min(abi))
}

/// Gives up every capability for good.
pub fn give_up_privileges() -> io::Result<()> {
    set_no_new_privs(true)?;
    match clear_ambient_capability_set() {
        // Linux has them from 4.3 on.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    give_up_capabilities()
}

/// Gives up the calling thread's capabilities.
pub fn give_up_capabilities() -> io::Result<()> {
    // Where there are none, the call that gives them up may be forbidden.
    if capabilities(None)?.permitted.is_empty() {
        return Ok(());
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// On a thread of its own, for what is given up is given up for good.
    fn confined(check: impl FnOnce() + Send + 'static) {
        std::thread::spawn(|| {
            confine_server(None).expect("this kernel has what it takes");
            check();
        })
        .join()
        .expect("the checks hold");
    }

    #[test]
    fn a_confined_thread_opens_and_connects_to_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let client = TcpStream::connect(address).expect("it listens");
        confined(move || {
            let denied = |what: &str, kind: Option<io::ErrorKind>| {
                assert_eq!(kind, Some(PermissionDenied), "{what}");
            };
            denied("a file", File::open("/dev/null").err().map(|e| e.kind()));
            denied("a listener", TcpListener::bind("127.0.0.1:0").err().map(|e| e.kind()));
            denied("a connection", TcpStream::connect(address).err().map(|e| e.kind()));
            let program = std::process::Command::new("/bin/true").spawn();
            denied("a program", program.err().map(|e| e.kind()));
            // What it has is served.
            listener.accept().expect("the client waits");
        });
        drop(client);
    }

    #[test]
    fn one_that_watches_reads_its_folder_and_connects_to_its_port_alone() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [allowed, other] = listeners.each_ref().map(|l| l.local_addr().expect("its address"));
        let folder = std::env::temp_dir().join(format!("memgap-watcher-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let token = folder.join("token");
        std::fs::write(&token, "token").expect("a file");
        let inner = folder.clone();
        let checks = std::thread::spawn(move || {
            confine_watcher(allowed.port(), &inner).expect("this kernel has what it takes");
            assert_eq!(std::fs::read(&token).expect("it may"), b"token");
            let patience = std::time::Duration::from_secs(5);
            TcpStream::connect_timeout(&allowed, patience).expect("it may");
            for denied in [
                File::open("/dev/null").err(),
                std::fs::write(&token, "other").err(),
                TcpStream::connect(other).err(),
                TcpListener::bind("127.0.0.1:0").err(),
                UnixStream::pair().err(),
                std::process::Command::new("/bin/true").spawn().err(),
            ] {
                assert_eq!(denied.map(|error| error.kind()), Some(PermissionDenied));
            }
        });
        let ended = checks.join();
        std::fs::remove_dir_all(&folder).expect("it is there");
        ended.expect("the checks hold");
    }

    #[test]
    fn one_that_pushes_connects_to_its_port_alone() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [allowed, other] = listeners.each_ref().map(|l| l.local_addr().expect("its address"));
        std::thread::spawn(move || {
            let confined = confine(Some(allowed.port())).expect("this kernel has what it takes");
            confined.calls.expect("this kernel has seccomp");
            TcpStream::connect(allowed).expect("it may");
            // Landlock tells ports apart from its version 4 on.
            if confined.paths.is_ok_and(|abi| abi >= ABI::V4) {
                let denied = TcpStream::connect(other).err().map(|error| error.kind());
                assert_eq!(denied, Some(PermissionDenied));
            }
            for denied in [
                UdpSocket::bind("127.0.0.1:0").err(),
                UnixStream::pair().err(),
                TcpListener::bind("127.0.0.1:0").err(),
                File::open("/dev/null").err(),
            ] {
                assert_eq!(denied.map(|error| error.kind()), Some(PermissionDenied));
            }
        })
        .join()
        .expect("the checks hold");
    }
}
