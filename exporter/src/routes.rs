//! What the server answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::access::{Refused, Visitor};
use crate::api::problem::refusal;
use crate::api::routes::Api;
use crate::api::{self};
use crate::encode::Format;
use crate::negotiate;
use crate::server::Routers;
use crate::snapshot::Snapshot;
use crate::telemetry::http;
use crate::ui;

/// The last collection, once there is one.
pub type Published = Option<Arc<Snapshot>>;

/// What the answers are made of.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The last collection.
    pub published: watch::Receiver<Published>,
    /// The last documents, where the API is on.
    pub documents: Option<watch::Receiver<api::routes::Published>>,
    /// When the exporter started to collect.
    pub started: Instant,
    /// Time between collections.
    pub interval: watch::Receiver<Duration>,
}

/// Intervals without a collection after which the exporter counts as stuck.
const OVERDUE: u32 = 3;

/// A silence that is no sign of being stuck, however short the interval.
const PATIENCE: Duration = Duration::from_secs(10);

const BUSY: &str = "all connections are in use: try again, or raise --web.max-connections";

const UNKNOWN: &str = "who asks? give a name and a password";

const TOO_MANY_PASSWORDS: &str = "too many passwords are being compared: try again";

const NOT_READY: &str = "the first collection is not done yet\n";

/// What is answered to those that found a place, and to those that did not.
pub fn routers(answers: Answers, telemetry_path: &str) -> Routers {
    let overflow = health().fallback(busy).with_state(answers.clone());
    Routers {
        full: router(answers, telemetry_path).layer(from_fn(guard)),
        overflow: overflow.layer(from_fn(decorate)),
    }
}

/// The routes, with the metrics at `telemetry_path`.
pub fn router(answers: Answers, telemetry_path: &str) -> Router {
    let index = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>memgap-exporter</title></head><body>\
         <h1>memgap-exporter {}</h1><ul>\
         <li><a href=\"{telemetry_path}\">metrics</a></li>\
         <li><a href=\"/healthz\">healthz</a></li>\
         <li><a href=\"/readyz\">readyz</a></li>\
         </ul><p>--web.api has pages of containers and programs here</p></body></html>\n",
        env!("CARGO_PKG_VERSION")
    );
    let index: Arc<str> = index.into();
    let router = health().route(telemetry_path, get(metrics));
    let api = answers.documents.clone().map(|published| Api {
        published,
        overdue: is_overdue,
        interval: answers.interval.clone(),
    });
    let router = match (&api, telemetry_path) {
        (_, "/") => router.with_state(answers),
        (Some(api), _) => router.with_state(answers).merge(ui::router(api.clone())),
        (None, _) => {
            let index = get(move || async move { Html(index.to_string()) });
            router.route("/", index).with_state(answers)
        }
    };
    router.merge(api::routes::router(api))
}

/// What is answered to everybody, so that probes need no password.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

fn health() -> Router<Answers> {
    let [healthz_path, readyz_path] = HEALTH;
    Router::new().route(healthz_path, get(healthz)).route(readyz_path, get(readyz))
}

/// Answers who may ask.
async fn guard(request: Request, next: Next) -> Response {
    if HEALTH.contains(&request.uri().path()) {
        return decorate(request, next).await;
    }
    let visitor = request.extensions().get::<Visitor>().cloned();
    let admitted = match &visitor {
        Some(visitor) => visitor.admit(request.headers()).await,
        None => Err(Refused::Unknown),
    };
    let path = request.uri().path().to_owned();
    let refused = match admitted {
        Ok(()) => return decorate(request, next).await,
        Err(Refused::Unknown) => {
            let headers = [(WWW_AUTHENTICATE, "Basic realm=\"memgap-exporter\"")];
            (headers, refusal(&path, StatusCode::UNAUTHORIZED, UNKNOWN)).into_response()
        }
        Err(Refused::Busy) => {
            let headers = [(RETRY_AFTER, "1")];
            let status = StatusCode::SERVICE_UNAVAILABLE;
            (headers, refusal(&path, status, TOO_MANY_PASSWORDS)).into_response()
        }
    };
    http::scrape(refused.status().as_u16());
    with_headers(refused, visitor.as_ref())
}

/// Gives an answer the headers of the web configuration.
async fn decorate(request: Request, next: Next) -> Response {
    let visitor = request.extensions().get::<Visitor>().cloned();
    with_headers(next.run(request).await, visitor.as_ref())
}

fn with_headers(mut response: Response, visitor: Option<&Visitor>) -> Response {
    if let Some(visitor) = visitor {
        let headers = &visitor.access.headers;
        response.headers_mut().extend(headers.iter().map(|(n, v)| (n.clone(), v.clone())));
    }
    response
}

impl Answers {
    /// How long nothing was collected, where that is longer than it should be.
    fn overdue(&self) -> Option<Duration> {
        let last = self.published.borrow().as_ref().map_or(self.started, |s| s.received);
        let silence = last.elapsed();
        is_overdue(silence, *self.interval.borrow()).then_some(silence)
    }
}

fn is_overdue(silence: Duration, interval: Duration) -> bool {
    silence > interval.saturating_mul(OVERDUE).max(PATIENCE)
}

/// The last collection. Figures of one that is overdue would pass for those of
/// now, so then there are none.
async fn metrics(State(answers): State<Answers>, headers: HeaderMap) -> Response {
    let snapshot = answers.published.borrow().clone();
    let response = match (snapshot, answers.overdue()) {
        (_, Some(silence)) => stuck(silence),
        (Some(snapshot), None) => exposition(&snapshot, &headers),
        (None, None) => (StatusCode::SERVICE_UNAVAILABLE, NOT_READY).into_response(),
    };
    http::scrape(response.status().as_u16());
    response
}

/// The rest, where all places are taken.
async fn busy(request: Request) -> Response {
    http::scrape(StatusCode::SERVICE_UNAVAILABLE.as_u16());
    let headers = [(RETRY_AFTER, "1"), (CONNECTION, "close")];
    let status = StatusCode::SERVICE_UNAVAILABLE;
    (headers, refusal(request.uri().path(), status, BUSY)).into_response()
}

fn stuck(silence: Duration) -> Response {
    let why = format!("no collection was finished for {} s: see the log\n", silence.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

fn exposition(snapshot: &Snapshot, headers: &HeaderMap) -> Response {
    let format = negotiate::format(headers);
    let content_type = match format {
        Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    let encoded = snapshot.format(format);
    let common = [(CONTENT_TYPE, content_type), (VARY, "accept, accept-encoding")];
    if negotiate::gzip(headers) {
        (common, [(CONTENT_ENCODING, "gzip")], encoded.gzip()).into_response()
    } else {
        (common, encoded.plain()).into_response()
    }
}

/// Whether the collection thread makes progress.
async fn healthz(State(answers): State<Answers>) -> Response {
    answers.overdue().map_or_else(|| "ok\n".into_response(), stuck)
}

/// Whether there is something to scrape.
async fn readyz(State(answers): State<Answers>) -> Response {
    if answers.published.borrow().is_some() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, NOT_READY).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn statuses(started: Instant) -> [u16; 3] {
        let (_publish, published) = watch::channel(None);
        let (_set, interval) = watch::channel(Duration::from_secs(1));
        let answers = Answers { published, documents: None, started, interval };
        let router = router(answers, "/metrics");
        let mut found = [0; 3];
        for (status, path) in found.iter_mut().zip(["/healthz", "/readyz", "/metrics"]) {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let response = router.clone().oneshot(request).await.expect("an answer");
            *status = response.status().as_u16();
        }
        found
    }

    #[tokio::test]
    async fn before_the_first_collection_it_is_healthy_and_not_ready() {
        assert_eq!(statuses(Instant::now()).await, [200, 503, 503]);
    }

    #[tokio::test]
    async fn without_progress_it_is_not_healthy() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(30)).expect("uptime");
        assert_eq!(statuses(long_ago).await, [503, 503, 503]);
    }
}
