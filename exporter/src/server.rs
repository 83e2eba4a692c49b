//! The HTTP server: listeners, connections and their bounds.
//!
//! `axum::serve` has no limits and no timers, so connections are accepted here, each with
//! a time to send its request and a time to live. Accepting never waits for a place: who
//! finds none in [`places`] is served by few further ones, where health is answered and
//! everything else refused. TLS would wrap the stream in `Server::serve`.

mod activity;
pub mod places;
mod spare;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::telemetry::http::{self, Closed};
use activity::Watched;
use places::{Bounds, Client, Place, Places};
use spare::Spare;

/// Connections served at a time, by default.
pub const MAX_CONNECTIONS: usize = 64;

/// Connections beyond them, which are answered about health and refused else.
const OVERFLOW: usize = 32;

/// Time for a request's head to arrive; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for connections beyond the places.
const OVERFLOW_HEAD_TIMEOUT: Duration = Duration::from_secs(1);

/// Time to live of a connection.
const MAX_AGE: Duration = Duration::from_mins(5);

/// Time that a connection gets to finish once it is asked to close.
const GRACE: Duration = Duration::from_secs(5);

/// Rest after a failure to accept that nothing here can mend.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest head of a request.
const MAX_HEAD: usize = 16 << 10;

/// What is answered: to those that found a place, and to those that did not.
#[derive(Debug, Clone)]
pub struct Routers {
    /// Everything.
    pub full: Router,
    /// Health; the rest is refused.
    pub overflow: Router,
}

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
pub async fn serve(
    listeners: Vec<TcpListener>,
    routers: Routers,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) {
    let (close, closing) = watch::channel(());
    // Every connection holds a sender: none is left when all are done.
    let (open, mut done) = mpsc::channel(1);
    let tier = |router, bounds, head_timeout| Tier {
        service: TowerToHyperService::new(router),
        places: Places::new(bounds),
        head_timeout,
    };
    let server = Server {
        full: tier(routers.full, bounds, HEAD_TIMEOUT),
        overflow: tier(routers.overflow, Bounds::of(OVERFLOW), OVERFLOW_HEAD_TIMEOUT),
        closing,
        _open: open,
    };
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(server.clone().accept(listener));
    }
    stop.await;
    accepting.shutdown().await;
    drop(server);
    close.send_replace(());
    if timeout(GRACE, done.recv()).await.is_err() {
        tracing::warn!("closing connections that did not finish in time");
    }
}

/// What each connection needs.
#[derive(Clone)]
struct Server {
    full: Tier,
    overflow: Tier,
    closing: watch::Receiver<()>,
    _open: mpsc::Sender<()>,
}

/// Places, and how who holds one is served.
#[derive(Clone)]
struct Tier {
    service: TowerToHyperService<Router>,
    places: Places,
    head_timeout: Duration,
}

impl Server {
    async fn accept(self, listener: TcpListener) {
        let mut spare = Spare::default();
        loop {
            spare.refill(&listener);
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if is_of_peer(&error) => {}
                Err(error) => {
                    http::accept_failed();
                    let has_room = is_out_of_descriptors(&error)
                        && (spare.give() || self.full.places.close_idle());
                    if has_room {
                        // The connection that gives its descriptor up has to see it.
                        tokio::task::yield_now().await;
                    } else {
                        tracing::warn!(%error, "can not accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Serves a connection as well as there is room for it.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        // Without it every client is one of elsewhere.
        let local = stream.local_addr().map_or(peer, |local| local);
        let client = Client::new(peer.ip(), local.ip());
        if let Some(place) = self.full.places.take(client) {
            tokio::spawn(self.clone().serve(stream, place, self.full.clone()));
        } else if let Some(place) = self.overflow.places.take(client) {
            http::overflowed();
            tokio::spawn(self.clone().serve(stream, place, self.overflow.clone()));
        } else {
            http::closed(Closed::NoPlace);
        }
        self.count();
    }

    async fn serve(mut self, stream: TcpStream, place: Place, tier: Tier) {
        // Without it the last part of an answer waits for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "can not set TCP_NODELAY");
        }
        let service = service_fn(|request| {
            place.activity.begin();
            tier.service.call(request)
        });
        let stream = TokioIo::new(Watched::new(stream, place.activity.clone()));
        let mut connection = pin!(builder(&tier).serve_connection(stream, service));
        let ended = tokio::select! {
            done = connection.as_mut() => done.err().and_then(|error| why(&error)),
            () = place.closed() => Some(Closed::MadeRoom),
            closed = async {
                tokio::select! {
                    _ = self.closing.changed() => None,
                    () = sleep(MAX_AGE) => Some(Closed::Age),
                }
            } => {
                connection.as_mut().graceful_shutdown();
                // Whoever does not finish is cut off.
                let _ = timeout(GRACE, connection).await;
                closed
            }
        };
        if let Some(reason) = ended {
            http::closed(reason);
        }
        drop(place);
        self.count();
    }

    fn count(&self) {
        let (idle, busy) = self.full.places.count();
        let (refused_idle, refused_busy) = self.overflow.places.count();
        http::connections(idle, busy, refused_idle + refused_busy);
    }
}

fn builder(tier: &Tier) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(tier.head_timeout).max_buf_size(MAX_HEAD);
    builder
}

/// Why a connection ended early, where that is of this server's doing.
fn why(error: &hyper::Error) -> Option<Closed> {
    tracing::debug!(%error, "connection ended early");
    let cause = std::error::Error::source(error).and_then(|e| e.downcast_ref::<io::Error>());
    if error.is_timeout() {
        Some(Closed::Head)
    } else if cause.is_some_and(|e| e.kind() == io::ErrorKind::TimedOut) {
        Some(Closed::Slow)
    } else {
        None
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].contains(&Errno::from_io_error(error).unwrap_or(Errno::INVAL))
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
