//! What the server listens on: addresses, sockets in the file system, and what it is passed.

use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::timeout;

use super::places::Client;
use crate::activation::Passed;

/// A socket that connections are accepted from.
#[derive(Debug)]
pub enum Listener {
    /// Of TCP.
    Tcp(TcpListener),
    /// In the file system.
    Unix(UnixListener),
}

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What stands before the path of a socket.
const UNIX: &str = "unix:";

/// Time for whoever listens on a socket to be told from nobody.
const PATIENCE: Duration = Duration::from_secs(1);

impl Listener {
    /// Opens one. An address without a host, `:9877`, is every interface.
    pub async fn bind(address: &str) -> anyhow::Result<Self> {
        if let Some(path) = address.strip_prefix(UNIX) {
            let listener = bind_unix(path).await;
            return listener.map(Self::Unix).with_context(|| {
                format!("can not listen on {address}: choose another --web.listen-address")
            });
        }
        let candidates = resolve(address).with_context(|| {
            format!("can not resolve listen address {address}: give it as host:port")
        })?;
        let listener = TcpListener::bind(&*candidates).await.with_context(|| {
            format!("can not listen on {address}: choose another --web.listen-address")
        })?;
        Ok(Self::Tcp(listener))
    }

    /// The same for a socket that was passed.
    pub fn of(passed: Passed) -> io::Result<Self> {
        Ok(match passed {
            Passed::Tcp(tcp) => {
                tcp.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(tcp)?)
            }
            Passed::Unix(unix) => {
                unix.set_nonblocking(true)?;
                Self::Unix(UnixListener::from_std(unix)?)
            }
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<String> {
        match self {
            Self::Tcp(tcp) => Ok(tcp.local_addr()?.to_string()),
            Self::Unix(unix) => {
                let address = unix.local_addr()?;
                let path = address.as_pathname().map(|path| path.display().to_string());
                Ok(format!("{UNIX}{}", path.unwrap_or_default()))
            }
        }
    }

    /// Waits for a connection.
    pub async fn accept(&self) -> io::Result<(Box<dyn Stream>, Client)> {
        match self {
            Self::Tcp(tcp) => {
                let (stream, peer) = tcp.accept().await?;
                // Without it the last part of an answer waits for an acknowledgement.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "can not set TCP_NODELAY");
                }
                // Without it every client is one of elsewhere.
                let local = stream.local_addr().map_or(peer, |local| local);
                Ok((Box::new(stream), Client::new(peer.ip(), local.ip())))
            }
            Self::Unix(unix) => {
                let (stream, _) = unix.accept().await?;
                Ok((Box::new(stream), Client::LOCAL))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) => tcp.as_fd(),
            Self::Unix(unix) => unix.as_fd(),
        }
    }
}

/// Takes the place of a socket that an exporter which is gone has left, and of nothing else.
async fn bind_unix(path: &str) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left(path).await => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
}

async fn is_left(path: &str) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refuses = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket
        && timeout(PATIENCE, UnixStream::connect(path))
            .await
            .is_ok_and(|connected| connected.as_ref().is_err_and(refuses))
}

fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(port) = address.strip_prefix(':') {
        // The first that can be bound: without IPv6 that is the second.
        let hosts = [format!("[::]:{port}"), format!("0.0.0.0:{port}")];
        let found: Result<Vec<_>, _> = hosts.iter().map(|h| h.parse::<SocketAddr>()).collect();
        return found.map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e));
    }
    Ok(address.to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read_as_other_exporters_read_them() {
        let of = |address: &str| resolve(address).map(|found| found[0].to_string());
        assert_eq!(of("127.0.0.1:9877").expect("an address"), "127.0.0.1:9877");
        assert_eq!(of(":9877").expect("an address"), "[::]:9877");
        assert_eq!(of("[::1]:0").expect("an address"), "[::1]:0");
        for bad in ["", ":", "9877", "127.0.0.1", ":99999", "127.0.0.1:http:1"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
