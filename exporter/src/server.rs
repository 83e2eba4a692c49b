//! The HTTP server: listeners, connections and their bounds.
//!
//! `axum::serve` has no limits and no timers, so connections are accepted here:
//! at most [`MAX_CONNECTIONS`] at a time, each with a time to send its request
//! and a time to live. TLS would wrap the stream in `Connections::serve`.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::telemetry;

/// Connections served at a time; others wait in the kernel's queue.
pub const MAX_CONNECTIONS: u32 = 64;

/// Time for a request's head to arrive; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Time to live of a connection: bounds a client that reads slowly.
const MAX_AGE: Duration = Duration::from_mins(5);

/// Time that a connection gets to finish once it is asked to close.
const GRACE: Duration = Duration::from_secs(5);

/// Rest after a failure to accept, such as having no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The longest head of a request.
const MAX_HEAD: usize = 16 << 10;

/// Opens a listener. An address without a host, `:9877`, is every interface.
pub async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let candidates = resolve(address).with_context(|| {
        format!("can not resolve listen address {address}: give it as host:port")
    })?;
    TcpListener::bind(&*candidates).await.with_context(|| {
        format!("can not listen on {address}: choose another --web.listen-address")
    })
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

/// Serves until `stop` is done, then lets open requests finish.
pub async fn serve(listeners: Vec<TcpListener>, router: Router, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let (close, closing) = watch::channel(());
    let connections = Connections { router, slots: slots.clone(), closing };
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(connections.clone().accept(listener));
    }
    stop.await;
    accepting.shutdown().await;
    close.send_replace(());
    // A free slot is a connection that is done.
    if timeout(GRACE, slots.acquire_many(MAX_CONNECTIONS)).await.is_err() {
        tracing::warn!("closing connections that did not finish in time");
    }
}

/// What each connection needs.
#[derive(Clone)]
struct Connections {
    router: Router,
    slots: Arc<Semaphore>,
    closing: watch::Receiver<()>,
}

impl Connections {
    async fn accept(self, listener: TcpListener) {
        loop {
            // The semaphore is never closed; if it were, nothing could be served.
            let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(self.clone().serve(stream, slot));
                }
                Err(error) if is_of_peer(&error) => {}
                Err(error) => {
                    telemetry::accept_failed();
                    tracing::warn!(%error, "can not accept a connection");
                    drop(slot);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(mut self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        telemetry::connections(1.0);
        // Without it the last part of an answer waits for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "can not set TCP_NODELAY");
        }
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
        let service = TowerToHyperService::new(self.router);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let done = tokio::select! {
            done = connection.as_mut() => Some(done),
            _ = self.closing.changed() => None,
            () = sleep(MAX_AGE) => None,
        };
        let done = match done {
            Some(done) => Ok(done),
            None => {
                connection.as_mut().graceful_shutdown();
                timeout(GRACE, connection).await
            }
        };
        if let Ok(Err(error)) = done {
            tracing::debug!(%error, "connection ended early");
        }
        telemetry::connections(-1.0);
        drop(slot);
    }
}

/// Whether the failure is that of one peer, which went away before it was served.
fn is_of_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
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
