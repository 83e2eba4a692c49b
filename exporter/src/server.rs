//! The HTTP server: listeners, connections and their bounds.
//!
//! `axum::serve` has no limits and no timers, so connections are accepted here, each with
//! a time to send its request and a time to live. Accepting never waits for a place: who
//! finds none in [`places`] is served by few further ones, where health is answered and
//! everything else refused. A client that is to speak TLS holds its place from the first byte
//! on, and is idle until its first request.

mod activity;
pub mod listeners;
pub mod places;
mod spare;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::access::passwords::Passwords;
use crate::access::{Access, Visitor};
use crate::telemetry::http::{self, Closed};
use activity::Watched;
use listeners::{Listener, Stream};
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

/// Who may ask, as it is now.
#[derive(Clone)]
pub struct Gate {
    /// None until it is known: nobody is served before.
    pub access: watch::Receiver<Option<Arc<Access>>>,
    /// What compares passwords, where there may be users.
    pub passwords: Option<Passwords>,
}

/// Serves until `stop` is done, then lets open requests finish.
pub async fn serve(
    listeners: Vec<Listener>,
    routers: Routers,
    bounds: Bounds,
    gate: Gate,
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
        gate,
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
    gate: Gate,
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
    async fn accept(mut self, listener: Listener) {
        // Where that can not come any more, the server ends.
        if self.gate.access.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let mut spare = Spare::default();
        loop {
            spare.refill(&listener);
            match listener.accept().await {
                Ok((stream, client)) => self.admit(stream, client),
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
    fn admit(&self, stream: Box<dyn Stream>, client: Client) {
        if let Some(place) = self.full.places.take(client) {
            tokio::spawn(self.clone().serve(stream, client, place, self.full.clone()));
        } else if let Some(place) = self.overflow.places.take(client) {
            http::overflowed();
            tokio::spawn(self.clone().serve(stream, client, place, self.overflow.clone()));
        } else {
            http::closed(Closed::NoPlace);
        }
        self.count();
    }

    async fn serve(mut self, stream: Box<dyn Stream>, client: Client, place: Place, tier: Tier) {
        let access = self.gate.access.borrow_and_update().clone();
        if let Some(access) = access {
            let ended = self.converse(stream, client, &place, &tier, access).await;
            if let Some(reason) = ended {
                http::closed(reason);
            }
        }
        drop(place);
        self.count();
    }

    /// Serves a connection to its end. Returns why it was closed, where that is of this
    /// server's doing.
    async fn converse(
        &mut self,
        stream: Box<dyn Stream>,
        client: Client,
        place: &Place,
        tier: &Tier,
        access: Arc<Access>,
    ) -> Option<Closed> {
        let stream = match &access.tls {
            None => stream,
            Some(tls) => {
                let handshake = timeout(tier.head_timeout, tls.accept(stream));
                tokio::select! {
                    shaken = handshake => match shaken {
                        Ok(Ok(stream)) => Box::new(stream) as Box<dyn Stream>,
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "no TLS");
                            return Some(Closed::Handshake);
                        }
                        Err(_) => return Some(Closed::Head),
                    },
                    () = place.closed() => return Some(Closed::MadeRoom),
                    _ = self.closing.changed() => return None,
                }
            }
        };
        let visitor =
            Visitor { address: client.address(), access, passwords: self.gate.passwords.clone() };
        let service = service_fn(|mut request: Request<Incoming>| {
            place.activity.begin();
            request.extensions_mut().insert(visitor.clone());
            tier.service.call(request)
        });
        let stream = TokioIo::new(Watched::new(stream, place.activity.clone()));
        let mut connection = pin!(builder(tier).serve_connection(stream, service));
        tokio::select! {
            done = connection.as_mut() => done.err().and_then(|error| why(&error)),
            () = place.closed() => Some(Closed::MadeRoom),
            closed = async {
                tokio::select! {
                    _ = self.closing.changed() => None,
                    // Who may ask now, asks anew.
                    _ = self.gate.access.changed() => None,
                    () = sleep(MAX_AGE) => Some(Closed::Age),
                }
            } => {
                connection.as_mut().graceful_shutdown();
                // Whoever does not finish is cut off.
                let _ = timeout(GRACE, connection).await;
                closed
            }
        }
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
