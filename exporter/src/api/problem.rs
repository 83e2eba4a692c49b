//! What is answered where a request fails (RFC 9457).

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::PREFIX;

#[derive(Debug, Serialize)]
struct Problem<'p> {
    title: &'p str,
    status: u16,
    detail: &'p str,
}

/// An answer that tells what is wrong, in one line.
pub fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("error").to_ascii_lowercase();
    let problem = Problem { title: &title, status: status.as_u16(), detail };
    // Three members that are text and a number can always be written.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let headers = [(CONTENT_TYPE, "application/problem+json"), (CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

/// The same on paths of the API; a line of text on others.
pub fn refusal(path: &str, status: StatusCode, detail: &str) -> Response {
    let below = path.strip_prefix(PREFIX);
    if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        problem(status, detail)
    } else {
        (status, format!("{detail}\n")).into_response()
    }
}
