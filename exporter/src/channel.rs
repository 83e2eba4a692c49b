//! Collections on their way from the reader to the server, which are two processes.
//!
//! A message is a sealed file in memory that holds the families in both formats, sent over
//! a pair of sockets: it arrives whole or not at all, also where the reader dies over it. A
//! server that does not keep up misses collections, and a new reader sends to the same one.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The families of a collection, without an end, for each format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Families {
    /// Prometheus' text format.
    pub text: Vec<u8>,
    /// OpenMetrics.
    pub open_metrics: Vec<u8>,
}

/// The reader's end.
#[derive(Debug)]
pub struct Sender(OwnedFd);

/// The server's end. Messages are received by `recvmsg`; the event loop's type serves to
/// wait for them.
#[derive(Debug)]
pub struct Receiver(UnixStream);

/// The most that a message may hold.
const MAX_BYTES: u64 = 256 << 20;

/// Two lengths, in bytes.
const HEAD: usize = 16;

/// Both ends, for processes yet to be started: the reader's and the server's.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (reader, server) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // The least there is: a server that has stopped holds few collections, not hundreds.
    set_socket_send_buffer_size(&reader, 1)?;
    Ok((reader, server))
}

impl Sender {
    /// The sender at an end that [`pair`] made.
    pub fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Sends a collection. `WouldBlock` where the server does not keep up.
    pub fn send(&self, families: &Families) -> io::Result<()> {
        let Families { text, open_metrics } = families;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("memgap-collection", flags)?);
        file.write_all(text)?;
        file.write_all(open_metrics)?;
        fcntl_add_seals(&file, SEALS | SealFlags::SEAL)?;

        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&(text.len() as u64).to_le_bytes());
        head[8..].copy_from_slice(&(open_metrics.len() as u64).to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        if !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::Error::other("no room for a file in a message"));
        }
        sendmsg(&self.0, &[IoSlice::new(&head)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// What the sender can no longer change.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW);

impl Receiver {
    /// The receiver at an end that [`pair`] made; within an event loop.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        Ok(Self(UnixStream::from_std(end.into())?))
    }

    /// Waits for the next collection; none when no reader can come any more.
    pub async fn receive(&mut self) -> io::Result<Option<Families>> {
        loop {
            self.0.readable().await?;
            match self.0.try_io(Interest::READABLE, || receive(&self.0)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }
}

fn receive(socket: impl AsFd) -> io::Result<Option<Families>> {
    let mut head = [0; HEAD];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut head)];
    let message = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if message.bytes == 0 {
        return Ok(None);
    }
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let is_cut = message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    let file = file.filter(|_| message.bytes == HEAD && !is_cut).ok_or_else(malformed)?;
    let length = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    read(&File::from(file), length(&head[..8]), length(&head[8..])).map(Some)
}

/// Reads both texts from a file that can not change meanwhile.
fn read(file: &File, text: u64, open_metrics: u64) -> io::Result<Families> {
    let total = text.checked_add(open_metrics).filter(|total| *total <= MAX_BYTES);
    let total = total.ok_or_else(malformed)?;
    let size = u64::try_from(fstat(file)?.st_size).map_err(|_| malformed())?;
    if size != total || !fcntl_get_seals(file)?.contains(SEALS) {
        return Err(malformed());
    }
    let part = |length: u64, at| {
        let length = usize::try_from(length).map_err(|_| malformed())?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at)?;
        Ok::<_, io::Error>(bytes)
    };
    Ok(Families { text: part(text, 0)?, open_metrics: part(open_metrics, text)? })
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message from the reader is malformed")
}

#[cfg(test)]
mod tests {
    use rustix::net::send;

    use super::*;

    fn families(size: usize) -> Families {
        Families { text: vec![b'a'; size], open_metrics: vec![b'b'; 2 * size] }
    }

    #[tokio::test]
    async fn collections_arrive_whole_and_in_order_until_no_sender_is_left() {
        let (reader, server) = pair().expect("sockets");
        let sender = Sender::new(reader);
        let mut receiver = Receiver::new(server).expect("an event loop");
        for size in [0, 1, 3 << 20] {
            sender.send(&families(size)).expect("there is room");
            let got = receiver.receive().await.expect("it is whole");
            assert_eq!(got, Some(families(size)));
        }
        drop(sender);
        assert_eq!(receiver.receive().await.expect("the end"), None);
    }

    #[tokio::test]
    async fn a_server_that_does_not_keep_up_misses_collections() {
        let (reader, server) = pair().expect("sockets");
        let sender = Sender::new(reader);
        let sent = (0..1000).take_while(|_| sender.send(&families(1)).is_ok()).count();
        assert!((1..32).contains(&sent), "{sent}");
        let error = sender.send(&families(1)).expect_err("nobody receives");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let mut receiver = Receiver::new(server).expect("an event loop");
        receiver.receive().await.expect("the first");
        sender.send(&families(1)).expect("there is room again");
    }

    #[tokio::test]
    async fn what_is_no_collection_is_refused() {
        let (reader, server) = pair().expect("sockets");
        let mut receiver = Receiver::new(server).expect("an event loop");
        let sealed = |bytes: &[u8], seals| {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let mut file = File::from(memfd_create("x", flags).expect("memory"));
            file.write_all(bytes).expect("memory");
            fcntl_add_seals(&file, seals).expect("ours");
            file
        };
        for bad in [&b""[..], b"x", &[0; HEAD], &[0xff; HEAD], &[0; 2 * HEAD]] {
            // An empty message is what the end looks like.
            if !bad.is_empty() {
                send(&reader, bad, SendFlags::empty()).expect("there is room");
                let refused = receiver.receive().await.expect_err("no file");
                assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
            }
        }
        for (bytes, seals, text, open) in [
            (&b"abc"[..], SEALS, 1, 1),
            (b"abc", SEALS, u64::MAX, 4),
            (b"abc", SEALS, MAX_BYTES, 0),
            (b"abc", SealFlags::GROW, 1, 2),
        ] {
            let refused = read(&sealed(bytes, seals), text, open).expect_err("malformed");
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        }
        assert!(read(&sealed(b"abc", SEALS), 1, 2).is_ok());
    }
}
