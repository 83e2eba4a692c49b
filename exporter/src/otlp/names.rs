//! Where a name leads. The process that pushes may open no file, so another one looks the
//! name up and tells it; it is told nothing itself.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::net;
use tokio::sync::watch;

use super::endpoint::Endpoint;

/// Time between two looks, while they succeed and while they do not.
const PAUSE: Duration = Duration::from_mins(1);
const PAUSE_OF_FAILURE: Duration = Duration::from_secs(5);

/// The most addresses that are told.
const MAX_ADDRESSES: usize = 8;

/// The longest line.
const MAX_BYTES: usize = 1 << 10;

/// Looks a name up, and writes a line of addresses each time, until nobody reads them.
pub fn look_up(endpoint: &Endpoint, mut to: &UnixStream) -> io::Result<()> {
    let mut has_failed = false;
    loop {
        let found = (endpoint.host.as_str(), endpoint.port).to_socket_addrs();
        let addresses = found.map(|found| {
            let found = found.take(MAX_ADDRESSES).map(|address| address.to_string());
            found.collect::<Vec<_>>().join(" ")
        });
        match &addresses {
            Ok(addresses) => {
                if std::mem::take(&mut has_failed) {
                    tracing::info!(host = endpoint.host, addresses, "the name is known again");
                }
                writeln!(to, "{addresses}")?;
            }
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    tracing::warn!(host = endpoint.host, %error, "can not look the name up");
                }
            }
        }
        let pause = if has_failed { PAUSE_OF_FAILURE } else { PAUSE };
        if is_closed_within(to, pause)? {
            return Ok(());
        }
    }
}

/// Waits that long for the other end to be closed. The kernel sends no signal of the server's
/// end: Landlock lets it send none, not even that one.
fn is_closed_within(mut to: &UnixStream, pause: Duration) -> io::Result<bool> {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    to.set_read_timeout(Some(pause))?;
    match to.read(&mut [0]) {
        // Nothing is ever said there.
        Ok(_) => Ok(true),
        Err(error) if [Interrupted, TimedOut, WouldBlock].contains(&error.kind()) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes addresses on as they come. Where none come any more, what is known stays.
pub async fn take(from: net::UnixStream, addresses: watch::Sender<Vec<SocketAddr>>) {
    let mut line = Vec::new();
    let mut part = [0; MAX_BYTES];
    loop {
        let read = match from.readable().await {
            Ok(()) => from.try_read(&mut part),
            Err(error) => Err(error),
        };
        match read {
            Ok(length @ 1..) => line.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Ok(_) | Err(_) => {
                return tracing::error!("names are looked up no more: addresses stay as they are");
            }
        }
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let rest = line.split_off(end + 1);
            let words = str::from_utf8(&line).unwrap_or_default().split_whitespace();
            let found: Vec<SocketAddr> = words.filter_map(|word| word.parse().ok()).collect();
            if !found.is_empty() {
                addresses.send_replace(found);
            }
            line = rest;
        }
        if line.len() > MAX_BYTES {
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_arrive_until_nobody_reads_them() {
        let (server, resolver) = UnixStream::pair().expect("sockets");
        server.set_nonblocking(true).expect("a socket");
        let server = net::UnixStream::from_std(server).expect("an event loop");
        let endpoint: Endpoint = "http://localhost:4318".parse().expect("a URL");
        let looking = std::thread::spawn(move || look_up(&endpoint, &resolver));
        let (publish, mut addresses) = watch::channel(Vec::new());
        let taking = tokio::spawn(take(server, publish));
        let found = addresses.wait_for(|found| !found.is_empty()).await.expect("it is known");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 4318));
        drop(found);
        taking.abort();
        assert!(taking.await.is_err_and(|error| error.is_cancelled()));
        looking.join().expect("no panic").expect("it ends when the socket is closed");
    }
}
