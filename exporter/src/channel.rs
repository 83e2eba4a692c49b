//! What is on its way to the server, which is a process of its own: collections from the
//! reader, and who may ask from the process that was started.
//!
//! A message is a sealed file in memory that holds what is sent part by part, sent over
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

use crate::access::files::Contents;

/// The families of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Families {
    /// Prometheus' text format.
    pub text: Vec<u8>,
}

/// The documents of a collection, and what tells where each lies.
#[derive(Debug)]
pub struct Documents {
    /// The file, which begins with them and changes no more.
    pub file: File,
    /// Their length.
    pub length: u64,
    /// What tells where each lies.
    pub index: Vec<u8>,
}

/// What the server gets.
pub enum Message {
    /// A collection.
    Collection(Families),
    /// The documents of one.
    Documents(Documents),
    /// Who may ask from now on.
    Access(Contents),
}

/// An end of those that send.
#[derive(Debug)]
pub struct Sender(OwnedFd);

/// The server's end. Messages are received by `recvmsg`; the event loop's type serves to
/// wait for them.
#[derive(Debug)]
pub struct Receiver(UnixStream);

/// The most that a message may hold.
const MAX_BYTES: u64 = 256 << 20;

/// The most parts that a message has.
const PARTS: usize = 4;

/// The kind of a message, and the lengths of its parts in bytes.
const HEAD: usize = 8 * (1 + PARTS);

const COLLECTION: u64 = 0;
const ACCESS: u64 = 1;
const DOCUMENTS: u64 = 2;

/// A file in memory for what is to be sent.
pub fn draft() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(memfd_create("memgap-message", flags)?.into())
}

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
        self.send_parts(COLLECTION, [&families.text, &[], &[], &[]])
    }

    /// Sends who may ask. `WouldBlock` likewise.
    pub fn send_access(&self, contents: &Contents) -> io::Result<()> {
        let Contents { config, cert, key, client_ca } = contents;
        self.send_parts(ACCESS, [config, cert, key, client_ca])
    }

    /// Sends documents, of which the file holds nothing else yet. `WouldBlock` likewise.
    pub fn send_documents(&self, documents: &Documents) -> io::Result<()> {
        let Documents { file, length, index } = documents;
        file.write_all_at(index, *length)?;
        self.send_file(DOCUMENTS, file, [*length, index.len() as u64, 0, 0])
    }

    fn send_parts(&self, kind: u64, parts: [&[u8]; PARTS]) -> io::Result<()> {
        let mut file = draft()?;
        for part in parts {
            file.write_all(part)?;
        }
        self.send_file(kind, &file, parts.map(|part| part.len() as u64))
    }

    fn send_file(&self, kind: u64, file: &File, lengths: [u64; PARTS]) -> io::Result<()> {
        fcntl_add_seals(file, SEALS | SealFlags::SEAL)?;
        let head = [[kind].as_slice(), &lengths].concat();
        let head: Vec<u8> = head.into_iter().flat_map(u64::to_le_bytes).collect();
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

    /// Waits for the next message; none when no sender can come any more.
    pub async fn receive(&mut self) -> io::Result<Option<Message>> {
        loop {
            self.0.readable().await?;
            match self.0.try_io(Interest::READABLE, || receive(&self.0)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }
}

fn receive(socket: impl AsFd) -> io::Result<Option<Message>> {
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
    read(file.into(), &head).map(Some)
}

/// Reads a message from a file that can not change meanwhile.
fn read(file: File, head: &[u8; HEAD]) -> io::Result<Message> {
    let (words, _) = head.as_chunks();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let kind = words.next();
    let lengths: Vec<u64> = words.collect();
    let total = lengths.iter().try_fold(0_u64, |total, length| total.checked_add(*length));
    let total = total.filter(|total| *total <= MAX_BYTES).ok_or_else(malformed)?;
    let size = u64::try_from(fstat(&file)?.st_size).map_err(|_| malformed())?;
    if size != total || !fcntl_get_seals(&file)?.contains(SEALS) {
        return Err(malformed());
    }
    if let (Some(DOCUMENTS), &[length, index, 0, 0]) = (kind, lengths.as_slice()) {
        let mut bytes = vec![0; usize::try_from(index).map_err(|_| malformed())?];
        file.read_exact_at(&mut bytes, length)?;
        return Ok(Message::Documents(Documents { file, length, index: bytes }));
    }
    let mut parts = Vec::with_capacity(PARTS);
    let mut at = 0;
    for length in lengths {
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| malformed())?];
        file.read_exact_at(&mut bytes, at)?;
        parts.push(bytes);
        at += length;
    }
    let parts: [Vec<u8>; PARTS] = parts.try_into().map_err(|_| malformed())?;
    match (kind, parts) {
        (Some(COLLECTION), [text, ..]) => Ok(Message::Collection(Families { text })),
        (Some(ACCESS), [config, cert, key, client_ca]) => {
            Ok(Message::Access(Contents { config, cert, key, client_ca }))
        }
        _ => Err(malformed()),
    }
}

/// What a head of as many words as there are parts and a kind, and what follows it, would be
/// understood as.
#[cfg(fuzzing)]
pub fn understand(message: &[u8]) -> io::Result<Message> {
    let (head, parts) = message.split_first_chunk().ok_or_else(malformed)?;
    let mut file = File::from(memfd_create("memgap-message", MemfdFlags::ALLOW_SEALING)?);
    file.write_all(parts)?;
    fcntl_add_seals(&file, SEALS)?;
    read(file, head)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message to the server is malformed")
}

#[cfg(test)]
mod tests {
    use rustix::net::send;

    use super::*;

    fn families(size: usize) -> Families {
        Families { text: vec![b'a'; size] }
    }

    fn head(words: [u64; 1 + PARTS]) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        for (bytes, word) in head.chunks_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        head
    }

    fn is_same(got: Option<Message>, expected: &Message) -> bool {
        match (got, expected) {
            (Some(Message::Collection(got)), Message::Collection(expected)) => got == *expected,
            (Some(Message::Access(got)), Message::Access(expected)) => got == *expected,
            _ => false,
        }
    }

    #[tokio::test]
    async fn documents_arrive_as_a_file_that_both_ends_read() {
        let (reader, server) = pair().expect("sockets");
        let sender = Sender::new(reader);
        let mut receiver = Receiver::new(server).expect("an event loop");
        let mut file = draft().expect("memory");
        file.write_all(b"documents").expect("memory");
        let sent = Documents { file, length: 9, index: b"index".to_vec() };
        sender.send_documents(&sent).expect("there is room");
        let got = receiver.receive().await.expect("it is whole");
        let Some(Message::Documents(got)) = got else { panic!("another message") };
        assert_eq!((got.length, &*got.index), (9, &b"index"[..]));
        for file in [&sent.file, &got.file] {
            let mut bytes = [0; 9];
            file.read_exact_at(&mut bytes, 0).expect("it is there");
            assert_eq!(&bytes, b"documents");
            assert!(file.write_all_at(b"x", 0).is_err(), "it can be changed");
        }
    }

    #[tokio::test]
    async fn who_may_ask_arrives_among_collections() {
        let (reader, server) = pair().expect("sockets");
        let beside = Sender::new(reader.try_clone().expect("a descriptor"));
        let reader = Sender::new(reader);
        let mut receiver = Receiver::new(server).expect("an event loop");
        let part = |text: &str| text.as_bytes().to_vec();
        let contents = Contents {
            config: part("a: b"),
            cert: Vec::new(),
            key: part("k"),
            client_ca: part("ca"),
        };
        reader.send(&families(3)).expect("there is room");
        beside.send_access(&contents).expect("there is room");
        reader.send(&families(4)).expect("there is room");
        for expected in [
            Message::Collection(families(3)),
            Message::Access(contents),
            Message::Collection(families(4)),
        ] {
            assert!(is_same(receiver.receive().await.expect("it is whole"), &expected));
        }
    }

    #[tokio::test]
    async fn collections_arrive_whole_and_in_order_until_no_sender_is_left() {
        let (reader, server) = pair().expect("sockets");
        let sender = Sender::new(reader);
        let mut receiver = Receiver::new(server).expect("an event loop");
        for size in [0, 1, 3 << 20] {
            sender.send(&families(size)).expect("there is room");
            let got = receiver.receive().await.expect("it is whole");
            assert!(is_same(got, &Message::Collection(families(size))));
        }
        drop(sender);
        assert!(receiver.receive().await.expect("the end").is_none());
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
                let refused = receiver.receive().await.err().expect("no file");
                assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
            }
        }
        for (seals, words) in [
            (SEALS, [COLLECTION, 1, 1, 0, 0]),
            (SEALS, [COLLECTION, u64::MAX, 4, 0, 0]),
            (SEALS, [COLLECTION, MAX_BYTES, 0, 0, 0]),
            (SEALS, [DOCUMENTS, 1, 1, 1, 0]),
            (SEALS, [3, 1, 2, 0, 0]),
            (SealFlags::GROW, [COLLECTION, 1, 2, 0, 0]),
        ] {
            let refused = read(sealed(b"abc", seals), &head(words)).err().expect("malformed");
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        }
        assert!(read(sealed(b"abc", SEALS), &head([COLLECTION, 1, 2, 0, 0])).is_ok());
    }
}
