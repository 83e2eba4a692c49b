//! One request to a collector, and what it says of it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::headers::Header;

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// All was taken.
    Taken,
    /// All but some points was taken.
    TakenInPart(String),
    /// It may be taken later: not before that time, where it is known.
    Later(Option<Duration>, String),
    /// It will not be taken.
    Refused(String),
}

/// A request, to be sent as often as it takes.
#[derive(Debug)]
pub struct Push<'p> {
    /// Where to.
    pub endpoint: &'p Endpoint,
    /// Headers to send along.
    pub headers: &'p [Header],
    /// The body, compressed by gzip.
    pub body: Bytes,
    /// Time for all of it.
    pub timeout: Duration,
}

/// The most that is read of an answer.
const MAX_ANSWER: usize = 64 << 10;

/// Time for an answer to end, once its head is there.
const REST: Duration = Duration::from_secs(1);

/// The longest head of an answer.
const MAX_HEAD: usize = 16 << 10;

/// The most that is told of an answer.
const MAX_TOLD: usize = 200;

/// The longest that a collector may have us wait.
const MAX_WAIT: Duration = Duration::from_hours(1);

impl Push<'_> {
    /// Sends it to the first of the addresses that takes a connection.
    pub async fn send(&self, addresses: &[SocketAddr]) -> Answer {
        match timeout(self.timeout, self.exchange(addresses)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => Answer::Later(None, why),
            Err(_) => Answer::Later(None, format!("no answer within {:?}", self.timeout)),
        }
    }

    async fn exchange(&self, addresses: &[SocketAddr]) -> Result<Answer, String> {
        let stream = self.connect(addresses).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| told(&error))?;
        // It ends with this set.
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let request = self.request().map_err(|error| told(&error))?;
        let response = sender.send_request(request).await.map_err(|error| told(&error))?;
        Ok(answer(response).await)
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, String> {
        let mut why = format!("the address of {} is not known yet", self.endpoint.host);
        // One that does not answer leaves time for the others.
        let share = self.timeout / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
        for address in addresses {
            let connected = timeout(share, TcpStream::connect(address)).await;
            let late = || io::Error::from(io::ErrorKind::TimedOut);
            match connected.unwrap_or_else(|_| Err(late())) {
                Ok(stream) => return Ok(stream),
                Err(error) => why = format!("can not connect to {address}: {error}"),
            }
        }
        Err(why)
    }

    fn request(&self) -> Result<Request<Body>, axum::http::Error> {
        let mut request = Request::post(&self.endpoint.path)
            .header(HOST, self.endpoint.authority())
            .header(USER_AGENT, concat!("memgap-exporter/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(CONTENT_ENCODING, "gzip");
        for Header { name, value } in self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body.clone()))
    }
}

/// What an answer says, by the rules of OTLP over HTTP.
async fn answer(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    // One that is longer than it may be, or does not end, is taken by its head alone.
    let body = timeout(REST, to_bytes(Body::new(body), MAX_ANSWER)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    let status = head.status;
    if status.is_success() {
        return partial(&body).map_or(Answer::Taken, Answer::TakenInPart);
    }
    if status.is_redirection() {
        let to = head.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
        return Answer::Refused(cut(&format!("{status}: it is redirected to {to}")));
    }
    let said = cut(&printable(&body));
    let why = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Later(retry_after(&head.headers), why),
        _ => Answer::Refused(why),
    }
}

/// How long to wait, in seconds or until a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_WAIT))
}

/// What an `ExportMetricsServiceResponse` says was left out; none where nothing was. It is
/// `partial_success` (1), of `rejected_data_points` (1) and `error_message` (2).
fn partial(body: &[u8]) -> Option<String> {
    let mut rejected = 0;
    let mut why = String::new();
    for (_, field) in fields(body).filter(|(id, _)| *id == 1) {
        let Field::Bytes(message) = field else { continue };
        for field in fields(message) {
            match field {
                (1, Field::Number(points)) => rejected = points,
                (2, Field::Bytes(text)) => why = cut(&printable(text)),
                _ => {}
            }
        }
    }
    (rejected > 0).then(|| format!("{rejected} points were left out: {why}"))
}

enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Other,
}

/// The fields of a message, as far as it is one.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let key = varint(&mut rest)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut rest)?),
            1 => rest.split_off(..8).map(|_| Field::Other)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Field::Bytes(rest.split_off(..length)?)
            }
            5 => rest.split_off(..4).map(|_| Field::Other)?,
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Text of whom it came from, fit for a line of the log.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain = |c: char| if c.is_control() || c == '\u{fffd}' { ' ' } else { c };
    let words: String = text.chars().take(4 * MAX_TOLD).map(plain).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TOLD).collect()
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_read_of_any_bytes() {
        assert_eq!(partial(b""), None);
        assert_eq!(partial(b"\x0a\x02\x08\x07"), Some("7 points were left out: ".to_owned()));
        let said = b"\x1a\x01x\x0a\x0b\x08\x81\x01\x12\x06too\nol";
        assert_eq!(partial(said), Some("129 points were left out: too ol".to_owned()));
        // A warning, with nothing left out.
        assert_eq!(partial(b"\x0a\x05\x12\x03old"), None);
        for bad in [&b"\x0a"[..], b"\x0a\xff", b"\x0a\x80\x80", b"\xff\xff", &[0x80; 20], b"\x0b"] {
            assert_eq!(partial(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn how_long_to_wait_is_told_in_seconds_or_by_a_date() {
        let of = |text: &str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]))
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("999999999"), Some(MAX_WAIT));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(2));
        let wait = of(&date).expect("a date");
        assert!(wait > Duration::from_secs(110) && wait <= Duration::from_mins(2), "{wait:?}");
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        for bad in ["", "-1", "soon", "1.5"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
