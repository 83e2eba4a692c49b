//! Tables of sockets, whole and garbled, and the sockets that a process holds.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::UdpSocket;
use std::path::Path;

use memgap_kernel::source::sockets::{self, Protocol, Queue};
use memgap_kernel::{Buf, Process};
use memgap_ledger::MissingKind;
use proptest::prelude::*;

const TCP: &str = "   1: 0100007F:8BD7 0100007F:0A11 01 00002000:00010a00 00:00000000 00000000     0  \
    0 236854 1 000000004a59383b 20 4 30 10 -1";
const UDP: &str = "  812: 00000000:14E9 00000000:0000 07 00000000:00A00300 00:00000000 00000000   \
    107        0 23423 2 00000000a2f3ef1c 17";

#[test]
fn a_line_is_a_socket_with_two_queues() {
    let tcp = Queue { inode: 236_854, sent: 0x2000, received: 0x10a00 };
    assert_eq!(sockets::parse(TCP.as_bytes(), Protocol::Tcp), Ok(Some(tcp)));
    let udp = Queue { inode: 23_423, sent: 0, received: 0xa0_0300 };
    assert_eq!(sockets::parse(UDP.as_bytes(), Protocol::Udp), Ok(Some(udp)));
    // The queue of one that listens counts connections.
    let listens = TCP.replace(" 01 ", " 0A ");
    assert_eq!(sockets::parse(listens.as_bytes(), Protocol::Tcp), Ok(None));
    let heading = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt";
    assert_eq!(sockets::parse(heading, Protocol::Tcp), Ok(None));
}

#[test]
fn what_is_no_line_of_a_socket_is_refused() {
    for bad in [
        String::new(),
        "x".to_owned(),
        TCP.replace("00002000:00010a00", "00002000"),
        TCP.replace("00002000:00010a00", "0000200g:00010a00"),
        TCP.replace("00002000:00010a00", "00002000:-1"),
        TCP.replace("00002000:00010a00", "fffffffffffffffff:0"),
        TCP.replace(" 01 ", " zz "),
        TCP.replace("236854", "-1"),
        TCP[..80].to_owned(),
    ] {
        assert!(sockets::parse(bad.as_bytes(), Protocol::Tcp).is_err(), "{bad:?}");
    }
    for bad in ["", "socket:[", "socket:[x]", "socket:[1", "pipe:[1]", "/dev/null", "socket:[-1]"] {
        assert_eq!(sockets::inode(bad.as_bytes()), None, "{bad:?}");
    }
}

#[test]
fn our_own_socket_is_held_and_in_the_table() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = Process::open(Path::new("/proc"), std::process::id()).unwrap();
    let (held, is_whole) = sockets::held(&own).unwrap();
    assert!(is_whole && !held.is_empty());
    let to = socket.local_addr().unwrap();
    assert_eq!(socket.send_to(&[0; 1000], to).unwrap(), 1000);
    let mut waits = 0;
    sockets::queues(&own, &mut Buf::default(), |protocol, queue| {
        if protocol == Protocol::Udp && held.contains(&queue.inode) {
            waits += queue.received;
        }
    })
    .unwrap();
    assert!(waits >= 1000, "{waits}");
    assert!(sockets::namespace(&own).unwrap().starts_with(b"net:["));
}

#[test]
fn a_process_that_ended_is_gone() {
    let mut kid = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let process = Process::open(Path::new("/proc"), kid.id()).unwrap();
    kid.kill().unwrap();
    kid.wait().unwrap();
    let lack = sockets::held(&process).unwrap_err();
    assert_eq!(lack.kind, MissingKind::Gone, "{lack}");
}

proptest! {
    #[test]
    fn garbage_is_survived(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = sockets::parse(&line, Protocol::Tcp);
        let _ = sockets::inode(&line);
    }

    #[test]
    fn garbled_lines_are_survived(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut line = TCP.as_bytes().to_vec();
        let at = at.index(line.len());
        line[at] = byte;
        let _ = sockets::parse(&line, Protocol::Tcp);
    }
}
