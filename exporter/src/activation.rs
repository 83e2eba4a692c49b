//! Sockets that systemd passes (sd_listen_fds(3)).
//!
//! They are passed to the process that was started, and its children have them from it: the
//! one that serves takes them, the one that reads closes them.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use anyhow::Context;
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// Says for which process the sockets are.
pub const PID: &str = "LISTEN_PID";

const COUNT: &str = "LISTEN_FDS";

/// The most that are taken.
const MOST: usize = 64;

/// A socket that listens.
#[derive(Debug)]
pub enum Passed {
    /// Of TCP.
    Tcp(TcpListener),
    /// In the file system.
    Unix(UnixListener),
}

/// Whether this process was passed any. One of its children is not named by [`PID`].
pub fn check() -> anyhow::Result<()> {
    let of = |name| std::env::var(name).ok();
    let is_ours = of(PID).is_some_and(|pid| pid == std::process::id().to_string());
    let count = of(COUNT).and_then(|count| count.parse().ok()).filter(|_| is_ours).unwrap_or(0);
    anyhow::ensure!(
        (1..=MOST).contains(&count),
        "--web.systemd-socket: {count} sockets were passed, not 1 to {MOST}: \
         start it by a unit of type socket"
    );
    Ok(())
}

/// Takes what [`check`] has found, in a child.
pub fn take() -> anyhow::Result<Vec<Passed>> {
    let mut passed = ListenFd::from_env();
    (0..passed.len()).map(|number| one(&mut passed, number)).collect()
}

fn one(all: &mut ListenFd, number: usize) -> anyhow::Result<Passed> {
    let socket = match all.take_unix_listener(number) {
        Ok(unix) => unix.map(Passed::Unix),
        Err(_) => {
            let tcp = all.take_tcp_listener(number);
            let name = || format!("--web.systemd-socket: socket {number} is neither TCP nor Unix");
            tcp.with_context(name)?.map(Passed::Tcp)
        }
    };
    let socket = socket.with_context(|| format!("socket {number} is taken twice"))?;
    let listens = match &socket {
        Passed::Tcp(tcp) => listens(tcp),
        Passed::Unix(unix) => listens(unix),
    };
    anyhow::ensure!(
        listens,
        "--web.systemd-socket: socket {number} does not listen: leave Accept= out of its unit"
    );
    Ok(socket)
}

fn listens(socket: impl AsFd) -> bool {
    socket_acceptconn(socket).unwrap_or(false)
}
