//! What the server answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::collect::Published;
use crate::encode::Format;
use crate::snapshot::Snapshot;
use crate::{negotiate, telemetry};

/// What the answers are made of.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The last collection.
    pub published: watch::Receiver<Published>,
    /// When the exporter started to collect.
    pub started: Instant,
    /// Time between collections.
    pub interval: Duration,
}

/// Collections that may be overdue before the exporter counts as stuck.
const OVERDUE: u32 = 3;

const NOT_READY: &str = "the first collection is not done yet\n";

/// The routes, with the metrics at `telemetry_path`.
pub fn router(answers: Answers, telemetry_path: &str) -> Router {
    let index = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>memgap-exporter</title></head><body>\
         <h1>memgap-exporter {}</h1><ul>\
         <li><a href=\"{telemetry_path}\">metrics</a></li>\
         <li><a href=\"/healthz\">healthz</a></li>\
         <li><a href=\"/readyz\">readyz</a></li>\
         </ul></body></html>\n",
        env!("CARGO_PKG_VERSION")
    );
    let index: Arc<str> = index.into();
    let router = Router::new()
        .route(telemetry_path, get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    let router = if telemetry_path == "/" {
        router
    } else {
        router.route("/", get(move || async move { Html(index.to_string()) }))
    };
    router.with_state(answers)
}

async fn metrics(State(answers): State<Answers>, headers: HeaderMap) -> Response {
    let snapshot = answers.published.borrow().clone();
    let response = match snapshot {
        Some(snapshot) => exposition(&snapshot, &headers),
        None => (StatusCode::SERVICE_UNAVAILABLE, NOT_READY).into_response(),
    };
    telemetry::scrape(response.status().as_u16());
    response
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
        (common, [(CONTENT_ENCODING, "gzip")], encoded.gzip.clone()).into_response()
    } else {
        (common, encoded.plain.clone()).into_response()
    }
}

/// Whether the collection thread makes progress.
async fn healthz(State(answers): State<Answers>) -> Response {
    let last = answers.published.borrow().as_ref().map_or(answers.started, |s| s.made);
    let silence = last.elapsed();
    if silence <= answers.interval.saturating_mul(OVERDUE) {
        return "ok\n".into_response();
    }
    let why = format!("no collection was finished for {} s\n", silence.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

/// Whether there is something to scrape.
async fn readyz(State(answers): State<Answers>) -> Response {
    if answers.published.borrow().is_some() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, NOT_READY).into_response()
    }
}
