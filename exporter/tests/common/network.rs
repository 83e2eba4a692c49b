//! A network of its own, in which a test has many addresses.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};

use super::daemon::PATIENCE;

/// A network namespace that the calling thread, and what it starts, is in. Its loopback
/// device has [`SERVER`] and the addresses of `10.9.0.0/16`.
pub struct Network {
    holder: Child,
    runtime: Runtime,
}

/// The address of the server.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 255, 1);

const SET_UP: &str = "busybox ip link set lo up && busybox ip address add 10.9.255.1/32 dev lo && \
                      busybox ip route add local 10.9.0.0/16 dev lo && echo ready && exec cat";

impl Network {
    /// Enters a new one. It takes root.
    pub fn enter() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", SET_UP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is of util-linux");
        let stdout = holder.stdout.take().expect("a pipe");
        let ready = BufReader::new(stdout).lines().next().expect("it takes root").expect("a line");
        assert_eq!(ready, "ready");
        let path = format!("/proc/{}/ns/net", holder.id());
        let namespace = File::open(path).expect("it runs");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may");
        let runtime = Builder::new_current_thread().enable_all().build().expect("an event loop");
        Self { holder, runtime }
    }

    /// Connects to a server from an address.
    pub fn connect(&self, from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
        let connected = self.runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            // The least there is: answers wait for their reader, not in the kernel.
            socket.set_recv_buffer_size(1)?;
            socket.bind((from, 0).into())?;
            socket.connect(to).await
        })?;
        let stream = connected.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
