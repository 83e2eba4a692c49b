//! Settings on their way from the supervisor to a child: the arguments that it would be
//! started with now, as one message.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// The most that the arguments of a child may take: a message holds them with ease.
pub const MAX_BYTES: usize = 64 << 10;

/// The supervisor's end.
#[derive(Debug)]
pub struct Sender(UnixDatagram);

/// The end of a child that does other things meanwhile and looks at times.
#[derive(Debug)]
pub struct Receiver {
    socket: UnixDatagram,
    /// It takes no memory before something comes.
    buffer: Vec<u8>,
}

/// The end of a child with an event loop.
#[derive(Debug)]
pub struct EventReceiver {
    socket: tokio::net::UnixDatagram,
    buffer: Vec<u8>,
}

/// The shortest time that the kernel is asked to wait; a shorter one is slept.
const SHORTEST: Duration = Duration::from_millis(1);

/// Both ends, the child's for a process yet to be started.
pub fn pair() -> io::Result<(Sender, OwnedFd)> {
    let (supervisor, child) = UnixDatagram::pair()?;
    supervisor.set_nonblocking(true)?;
    Ok((Sender(supervisor), child.into()))
}

impl Sender {
    /// Sends arguments. `WouldBlock` where the child takes none.
    pub fn send(&self, arguments: &[OsString]) -> io::Result<()> {
        // What can be an argument holds no NUL.
        let message = arguments.join(OsStr::from_bytes(b"\0"));
        if message.len() > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the arguments are too long"));
        }
        self.0.send(message.as_bytes()).map(|_| ())
    }
}

impl Receiver {
    /// The receiver at the end that [`pair`] made for a child.
    pub fn new(end: OwnedFd) -> Self {
        Self { socket: end.into(), buffer: vec![0; MAX_BYTES] }
    }

    /// Waits that long for arguments; none where none came.
    pub fn wait(&mut self, patience: Duration) -> io::Result<Option<Vec<OsString>>> {
        if patience < SHORTEST {
            std::thread::sleep(patience);
            return Ok(None);
        }
        self.socket.set_read_timeout(Some(patience))?;
        match self.socket.recv(&mut self.buffer) {
            Ok(length) => Ok(Some(split(&self.buffer[..length]))),
            Err(error) if is_to_be_repeated(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl EventReceiver {
    /// The receiver at the end that [`pair`] made for a child; within an event loop.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        let socket = UnixDatagram::from(end);
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixDatagram::from_std(socket)?;
        Ok(Self { socket, buffer: vec![0; MAX_BYTES] })
    }

    /// Waits for arguments.
    pub async fn receive(&mut self) -> io::Result<Vec<OsString>> {
        let length = self.socket.recv(&mut self.buffer).await?;
        Ok(split(&self.buffer[..length]))
    }
}

fn split(message: &[u8]) -> Vec<OsString> {
    message.split(|b| *b == 0).map(|argument| OsString::from_vec(argument.to_vec())).collect()
}

fn is_to_be_repeated(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    [Interrupted, TimedOut, WouldBlock].contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_arrive_as_they_are_and_none_when_none_come() {
        let (sender, child) = pair().expect("sockets");
        let mut receiver = Receiver::new(child);
        let mut wait = || receiver.wait(Duration::from_millis(2)).expect("a socket");
        assert_eq!(wait(), None);
        let arguments: Vec<OsString> =
            vec!["memgap-exporter".into(), "--a=b c".into(), OsString::from_vec(vec![0xff, b'\n'])];
        sender.send(&arguments).expect("there is room");
        assert_eq!(wait(), Some(arguments));
        assert_eq!(wait(), None);
        let whole = vec![OsString::from("x".repeat(MAX_BYTES))];
        sender.send(&whole).expect("a message may be that long");
        assert_eq!(wait(), Some(whole));
        sender.send(&["x".repeat(MAX_BYTES + 1).into()]).expect_err("and no longer");
    }

    #[test]
    fn who_takes_nothing_delays_nobody() {
        let (sender, _child) = pair().expect("sockets");
        let sent = (0..100_000).find_map(|_| sender.send(&["x".into()]).err());
        assert_eq!(sent.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
    }
}
