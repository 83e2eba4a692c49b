//! What the API answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use memgap_ledger::finding::Severity;
use tokio::sync::watch;

use super::PREFIX;
use super::index::{Label, List, cgroup, finding, kill_key, pid_key, process};
use super::pages::{Token, page};
use super::problem::problem;
use super::query::{self, Filter, Filters, Query};
use super::store::Store;
use crate::telemetry::api;

/// The documents of the last collection, once there are some.
pub type Published = Option<Arc<Store>>;

/// What the answers are made of.
#[derive(Debug, Clone)]
pub struct Api {
    /// The last documents.
    pub published: watch::Receiver<Published>,
    /// Age from which on documents would pass for those of now.
    pub overdue: fn(Duration, Duration) -> bool,
    /// Time between collections.
    pub interval: watch::Receiver<Duration>,
}

/// The document that describes the API.
const OPENAPI: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/openapi-1.json"));

const OFF: &str = "the API is off: start the exporter with --web.api";

const NOT_FOUND: &str = "there is no such path: see /api/v1/openapi.json";

const NOT_READY: &str = "the first collection is not done yet";

/// Which key a word of a client's stands for, or what is wrong with it.
type Key = fn(&str, &Store) -> Result<String, (StatusCode, String)>;

/// A list that is served: which it is, and by what.
struct Served {
    list: fn(&Store) -> &List,
    filters: Filters,
    /// What every item has, whatever is asked for.
    only: Option<(Label, &'static str)>,
    /// What a client names an entry by, and which key that stands for.
    token: Token,
    key: Key,
}

/// What a list of containers can be asked for by.
const OF_CONTAINERS: Filters = &[
    Filter::new("namespace", Label::Is(cgroup::NAMESPACE)),
    Filter::new("pod", Label::Is(cgroup::POD)),
    Filter::new("container", Label::Container(cgroup::CONTAINER, cgroup::ID)),
];

static CONTAINERS: Served = Served {
    list: |store| &store.index.cgroups,
    filters: OF_CONTAINERS,
    only: Some((Label::Is(cgroup::KIND), "container")),
    ..CGROUPS
};

const CGROUPS: Served = Served {
    list: |store| &store.index.cgroups,
    filters: &[],
    only: None,
    token: |entry, _| entry.key.clone(),
    key: |path, _| Ok(path.to_owned()),
};

static ALL_CGROUPS: Served = CGROUPS;

static PROCESSES: Served = Served {
    list: |store| &store.index.processes,
    filters: &[
        Filter::new("name", Label::Is(process::NAME)),
        Filter::new("container", Label::Container(process::CONTAINER, process::ID)),
    ],
    only: None,
    token: |entry, _| entry.key.trim_start_matches('0').to_owned(),
    key: |pid, _| number(pid, "pid").map(pid_key),
};

static KILLS: Served = Served {
    list: |store| &store.index.kills,
    filters: OF_CONTAINERS,
    only: None,
    token: |entry, _| number_of(&entry.key).to_string(),
    key: |text, _| number(text, "number of a last ledger").map(kill_key),
};

fn number(text: &str, what: &str) -> Result<u32, (StatusCode, String)> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| bad(format!("after: {} is no {what}", query::shown(text))))
}

/// The number that [`kill_key`] made a key of.
fn number_of(key: &str) -> u32 {
    u32::MAX - key.parse().unwrap_or(u32::MAX)
}

static FINDINGS: Served = Served {
    list: |store| &store.index.findings,
    filters: &[
        Filter::new("finding", Label::Is(finding::ID)),
        Filter {
            name: "severity",
            label: Label::Is(finding::SEVERITY),
            words: Some(&[
                Severity::Info.name(),
                Severity::Warning.name(),
                Severity::Critical.name(),
            ]),
        },
    ],
    only: None,
    token: |entry, store| format!("{}-{}", store.index.collection, entry.key),
    key: rank,
};

/// A list whose order each collection changes is paged through within one.
fn rank(token: &str, store: &Store) -> Result<String, (StatusCode, String)> {
    let known = token.split_once('-').and_then(|(collection, rank)| {
        let is_rank = rank.len() == 10 && rank.bytes().all(|b| b.is_ascii_digit());
        Some((collection.parse::<u64>().ok()?, rank)).filter(|_| is_rank)
    });
    match known {
        None => Err(bad(format!("after: {} is no end of a page", query::shown(token)))),
        Some((collection, _)) if collection != store.index.collection => {
            let why = "after: that collection is gone: begin anew, without it";
            Err((StatusCode::GONE, why.to_owned()))
        }
        Some((_, rank)) => Ok(rank.to_owned()),
    }
}

/// The API; none of it where it is off.
pub fn router(api: Option<Api>) -> Router {
    let router = match api {
        None => Router::new().fallback(|| async { problem(StatusCode::NOT_FOUND, OFF) }),
        Some(api) => Router::new()
            .route("/containers", list(&CONTAINERS))
            .route("/cgroups", list(&ALL_CGROUPS))
            .route("/processes", list(&PROCESSES))
            .route("/findings", list(&FINDINGS))
            .route("/oom-kills", list(&KILLS))
            .route("/host", only_get(get(host)))
            .route("/openapi.json", only_get(get(openapi)))
            .fallback(|| async { problem(StatusCode::NOT_FOUND, NOT_FOUND) })
            .with_state(api),
    };
    let router = router.layer(from_fn(count));
    // The slash alone is no path below it.
    let bare = any(|| async { problem(StatusCode::NOT_FOUND, NOT_FOUND) });
    Router::new().nest(PREFIX, router).route(&format!("{PREFIX}/"), bare)
}

fn only_get(route: MethodRouter<Api>) -> MethodRouter<Api> {
    route.fallback(|| async {
        let refused = problem(StatusCode::METHOD_NOT_ALLOWED, "method: it must be GET or HEAD");
        ([(ALLOW, "GET, HEAD")], refused).into_response()
    })
}

fn list(served: &'static Served) -> MethodRouter<Api> {
    let answer = move |State(api): State<Api>, headers: HeaderMap, RawQuery(query): RawQuery| async move {
        answer(&api, &headers, |store| items(store, served, query.as_deref().unwrap_or("")))
    };
    only_get(get(answer))
}

async fn count(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    api::answered(response.status().as_u16());
    response
}

/// What a request is answered with: a body, or what is wrong with it.
type Answer = Result<Vec<u8>, (StatusCode, String)>;

fn items(store: &Store, served: &Served, text: &str) -> Answer {
    let mut query = Query::of(text, served.filters).map_err(bad)?;
    let behind = query.after.take().map(|token| (served.key)(&token, store)).transpose()?;
    if let Some((label, value)) = served.only {
        query.require(label, value);
    }
    page(store, (served.list)(store), &query, behind.as_deref(), served.token).map_err(|e| lost(&e))
}

async fn host(State(api): State<Api>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    answer(&api, &headers, |store| {
        query::none(query.as_deref().unwrap_or("")).map_err(bad)?;
        let mut body = Vec::new();
        let span = store.index.host.ok_or_else(|| {
            let why = "there was no room for the host: raise --web.api-max-bytes";
            (StatusCode::SERVICE_UNAVAILABLE, why.to_owned())
        })?;
        store.read(span, &mut body).map_err(|e| lost(&e))?;
        body.push(b'\n');
        Ok(body)
    })
}

async fn openapi(RawQuery(query): RawQuery) -> Response {
    match query::none(query.as_deref().unwrap_or("")) {
        Ok(()) => ([(CONTENT_TYPE, JSON), (CACHE_CONTROL, "no-store")], OPENAPI).into_response(),
        Err(why) => problem(StatusCode::BAD_REQUEST, &why),
    }
}

const JSON: &str = "application/json";

impl Api {
    /// The last documents, or why there are none, or none that pass for those of now.
    pub fn current(&self) -> Result<Arc<Store>, String> {
        let store = self.published.borrow().clone().ok_or(NOT_READY)?;
        let silence = store.received.elapsed();
        if (self.overdue)(silence, *self.interval.borrow()) {
            let seconds = silence.as_secs();
            return Err(format!("no collection was finished for {seconds} s: see the log"));
        }
        match &store.index.refused {
            Some(why) => Err(why.clone()),
            None => Ok(store),
        }
    }
}

/// Answers of the last documents, unless those are too old or known to the client.
fn answer(api: &Api, headers: &HeaderMap, body: impl FnOnce(&Store) -> Answer) -> Response {
    let store = match api.current() {
        Ok(store) => store,
        Err(why) => return later(&why),
    };
    match body(&store) {
        Err((status, why)) if status == StatusCode::SERVICE_UNAVAILABLE => later(&why),
        Err((status, why)) => problem(status, &why),
        Ok(body) => {
            let tag = format!("\"{}\"", store.index.collection);
            let same = is_known(headers, &tag);
            // Digits in quotes are a value of a header.
            let tag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
            let common = [(ETAG, tag), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
            if same {
                (StatusCode::NOT_MODIFIED, common).into_response()
            } else {
                (common, [(CONTENT_TYPE, JSON)], Bytes::from(body)).into_response()
            }
        }
    }
}

/// Whether the client has what it asks for (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn later(why: &str) -> Response {
    ([(RETRY_AFTER, "1")], problem(StatusCode::SERVICE_UNAVAILABLE, why)).into_response()
}

fn bad(why: String) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, why)
}

fn lost(error: &io::Error) -> (StatusCode, String) {
    tracing::error!(%error, "can not read a document");
    (StatusCode::INTERNAL_SERVER_ERROR, "a document can not be read: see the log".to_owned())
}
