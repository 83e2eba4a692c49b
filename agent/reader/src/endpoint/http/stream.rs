//! A connection on which every wait ends in time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::address::Place;
use super::{Limits, refused};

/// A connection with a deadline for all of it and one for each piece.
#[derive(Debug)]
pub struct Timed {
    socket: Socket,
    idle: Duration,
    total: Duration,
    end: Instant,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Timed {
    /// Connects to an address.
    pub fn to(address: SocketAddr, limits: &Limits) -> io::Result<Self> {
        Self::connect(&Place::Tcp(address), limits, Instant::now() + limits.total)
    }

    pub(super) fn connect(place: &Place, limits: &Limits, end: Instant) -> io::Result<Self> {
        let wait = limits.connect.min(limits.total);
        let socket = match place {
            Place::Tcp(address) => TcpStream::connect_timeout(address, wait).map(Socket::Tcp),
            Place::Unix(path) => connect_unix(path, wait).map(Socket::Unix),
        };
        let socket =
            socket.map_err(|e| late(e, || format!("it took no connection in {wait:?}")))?;
        Ok(Self { socket, idle: limits.idle, total: limits.total, end })
    }

    /// How long the next piece may take.
    fn wait(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(refused(format!("its answer was not whole after {:?}", self.total)));
        }
        Ok(left.min(self.idle))
    }

    fn late(&self, error: io::Error) -> io::Error {
        late(error, || match self.wait() {
            Ok(_) => format!("it moved no byte in {:?}", self.idle),
            Err(_) => format!("its answer was not whole after {:?}", self.total),
        })
    }
}

impl Read for Timed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wait = Some(self.wait()?);
        let read = match &mut self.socket {
            Socket::Tcp(tcp) => tcp.set_read_timeout(wait).and_then(|()| tcp.read(buf)),
            Socket::Unix(unix) => unix.set_read_timeout(wait).and_then(|()| unix.read(buf)),
        };
        read.map_err(|e| self.late(e))
    }
}

impl Write for Timed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let wait = Some(self.wait()?);
        let written = match &mut self.socket {
            Socket::Tcp(tcp) => tcp.set_write_timeout(wait).and_then(|()| tcp.write(buf)),
            Socket::Unix(unix) => unix.set_write_timeout(wait).and_then(|()| unix.write(buf)),
        };
        written.map_err(|e| self.late(e))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Connecting waits for room in the listener's queue, and for ever unless the
/// socket has a time limit (unix(7)), which `UnixStream::connect` can not give it.
fn connect_unix(path: &Path, wait: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(wait))?;
    rustix::net::connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}

/// Names what took too long; other errors are as they were.
fn late(error: io::Error, what: impl FnOnce() -> String) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => refused(what()),
        _ => error,
    }
}
