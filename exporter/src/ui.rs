//! Pages for people at `/`: what the API's documents say, as HTML without a script.
//!
//! Made from the documents of the last collection, where `--web.api` has them made, behind the
//! same limits and access as everything else. The overview is made once a collection, whoever asks.

mod documents;
mod html;
mod overview;
mod subject;

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use memgap_ledger::finding;
use tokio::sync::Mutex;

use crate::api::index::pid_key;
use crate::api::query::{parameter, shown};
use crate::api::routes::Api;
use crate::api::store::Store;
use html::Page;
use overview::{Overview, Sort};

/// What pages are made of.
#[derive(Debug, Clone)]
struct Ui {
    api: Api,
    /// The last overview that was made.
    overview: Arc<Mutex<Option<Arc<Overview>>>>,
}

/// A page, or why there is none.
type Made = Result<Page, (StatusCode, String)>;

/// No script, nothing from elsewhere, in no frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("ui/style.css");

/// The pages. Links among them are relative, for who serves them below another path; no metrics
/// can be served where they are (`telemetry_path`).
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/cgroup", get(cgroup))
        .route("/process", get(process))
        .route("/host", get(host))
        .route("/finding", get(finding_page))
        .route("/style.css", get(style))
        .with_state(Ui { api, overview: Arc::default() })
}

async fn index(State(ui): State<Ui>, RawQuery(query): RawQuery) -> Response {
    answer(ui.index(query.as_deref().unwrap_or("")).await)
}

async fn cgroup(State(ui): State<Ui>, RawQuery(query): RawQuery) -> Response {
    answer(ui.store().and_then(|store| {
        let path = parameter(query.as_deref().unwrap_or(""), "path").unwrap_or_default();
        subject::page(&store, store.index.cgroups.find(&path).map(|entry| entry.span), &path)
    }))
}

async fn process(State(ui): State<Ui>, RawQuery(query): RawQuery) -> Response {
    answer(ui.store().and_then(|store| {
        let text = parameter(query.as_deref().unwrap_or(""), "pid").unwrap_or_default();
        let entry = text.parse().ok().and_then(|pid| store.index.processes.find(&pid_key(pid)));
        subject::page(&store, entry.map(|entry| entry.span), &format!("process {text}"))
    }))
}

async fn host(State(ui): State<Ui>) -> Response {
    answer(ui.store().and_then(|store| subject::page(&store, store.index.host, "the host")))
}

/// The page of a finding, as `memgap why` prints it.
async fn finding_page(RawQuery(query): RawQuery) -> Response {
    let id = parameter(query.as_deref().unwrap_or(""), "id").unwrap_or_default();
    let known = finding::ALL.iter().find(|diagnosis| diagnosis.id == id);
    answer(known.map_or_else(
        || Err((StatusCode::NOT_FOUND, "there is no such finding".to_owned())),
        |diagnosis| Ok(html::of_markdown(diagnosis.id, diagnosis.page)),
    ))
}

async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=3600")];
    (headers, STYLE).into_response()
}

impl Ui {
    fn store(&self) -> Result<Arc<Store>, (StatusCode, String)> {
        self.api.current().map_err(|why| (StatusCode::SERVICE_UNAVAILABLE, why))
    }

    async fn index(&self, query: &str) -> Made {
        let store = self.store()?;
        let sort = match parameter(query, "sort") {
            None => Sort::default(),
            Some(word) => Sort::of(&word).ok_or_else(|| {
                let why = format!("sort: {} is none of {}", shown(&word), Sort::words());
                (StatusCode::BAD_REQUEST, why)
            })?,
        };
        Ok(self.overview(&store).await?.page(sort))
    }

    async fn overview(&self, store: &Store) -> Result<Arc<Overview>, (StatusCode, String)> {
        // Whoever asks meanwhile waits for the one that is made, instead of making one too.
        let mut last = self.overview.lock().await;
        if let Some(made) = last.as_ref().filter(|made| made.is_of(store)) {
            return Ok(made.clone());
        }
        let made = Arc::new(Overview::of(store).await.map_err(|error| lost(&error))?);
        *last = Some(made.clone());
        Ok(made)
    }
}

fn lost(error: &std::io::Error) -> (StatusCode, String) {
    tracing::error!(%error, "can not read a document");
    (StatusCode::INTERNAL_SERVER_ERROR, "a document can not be read: see the log".to_owned())
}

fn answer(made: Made) -> Response {
    let (status, page) = match made {
        Ok(page) => (StatusCode::OK, page),
        Err((status, why)) => (status, html::of_refusal(&why)),
    };
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, page.finish()).into_response()
}
