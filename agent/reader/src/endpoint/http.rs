//! A target's HTTP endpoint: one GET of RFC 9112 (HTTP/1.1), its answer a stream.
//!
//! The other side is hostile: every length, line and wait has a bound, nothing is
//! followed (no redirect, no proxy, no name service), and a refusal names what was
//! refused. TLS is not spoken.

mod address;
mod body;
mod head;
mod stream;

use std::io::{self, BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use memgap_kernel::text;
use memgap_ledger::{Fact, Missing, MissingKind};

pub use address::Endpoint;
pub use body::Body;
use head::Head;
pub use stream::Timed;

/// How long and how much is waited for and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the connection to stand.
    pub connect: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// From the first packet to the last byte: a trickle ends here.
    pub total: Duration,
    /// Bytes of the body.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            idle: Duration::from_secs(2),
            total: Duration::from_secs(5),
            bytes: 16 << 20,
        }
    }
}

/// An answer with status 200, its body still to be read.
#[derive(Debug)]
pub struct Response<S> {
    /// `Content-Type`, in lower case; empty where it is not reported.
    pub content_type: String,
    /// The body, freed of its framing.
    pub body: Body<S>,
}

/// Asks an endpoint; hands the answer to `read`, whose errors are named after the
/// endpoint as the client's are.
pub fn get<T>(
    endpoint: &Endpoint,
    limits: &Limits,
    read: impl FnOnce(Response<BufReader<Timed>>) -> io::Result<T>,
) -> Fact<T> {
    ask(endpoint, limits).and_then(read).map_err(|error| missing(endpoint, error))
}

fn ask(endpoint: &Endpoint, limits: &Limits) -> io::Result<Response<BufReader<Timed>>> {
    let end = Instant::now() + limits.total;
    let mut stream = Timed::connect(endpoint.place(), limits, end)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: memgap/{}\r\n\
         Accept: text/plain;version=0.0.4, application/json;q=0.9, */*;q=0.1\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
        endpoint.path(),
        endpoint.host(),
        env!("CARGO_PKG_VERSION"),
    );
    stream.write_all(request.as_bytes())?;
    answer(BufReader::new(stream), limits.bytes)
}

/// Reads the head of an answer; at most `bytes` of body will be given.
pub fn answer<S: BufRead>(mut stream: S, bytes: u64) -> io::Result<Response<S>> {
    let head = Head::read(&mut stream)?;
    check(&head)?;
    let body = Body::new(stream, &head, bytes)?;
    Ok(Response { content_type: head.content_type, body })
}

/// The same whatever the status is, which is given beside it: for who speaks with a server of
/// which answers are known.
pub fn answer_of_any_status<S: BufRead>(
    mut stream: S,
    bytes: u64,
) -> io::Result<(u16, Response<S>)> {
    let head = Head::read(&mut stream)?;
    check_form(&head)?;
    let body = Body::new(stream, &head, bytes)?;
    Ok((head.status, Response { content_type: head.content_type, body }))
}

fn check(head: &Head) -> io::Result<()> {
    match head.status {
        200 => {}
        300..=399 => {
            let place = text::printable(&head.location, 200);
            return Err(refused(format!("it redirects to `{place}`, which is not followed")));
        }
        401 | 403 => {
            let what = format!("it wants credentials (status {})", head.status);
            return Err(error(MissingKind::Denied, what));
        }
        404 | 410 => return Err(error(MissingKind::Absent, "it has no such path".to_owned())),
        status => return Err(refused(format!("it answered with status {status}, not 200"))),
    }
    check_form(head)
}

fn check_form(head: &Head) -> io::Result<()> {
    if head.encoded {
        return Err(refused("the body is compressed, which was not asked for".to_owned()));
    }
    Ok(())
}

/// Something that is not taken though it may be well-formed.
pub(crate) fn refused(what: String) -> io::Error {
    error(MissingKind::Refused, what)
}

/// Something that is not in its documented form.
pub(crate) fn malformed(what: impl Into<String>) -> io::Error {
    error(MissingKind::Malformed, what.into())
}

/// `io::Read` passes on `io::Error` only, so the reason travels inside one.
fn error(kind: MissingKind, what: String) -> io::Error {
    io::Error::other(Missing::new(kind, what))
}

fn missing(endpoint: &Endpoint, error: io::Error) -> Missing {
    let (kind, what) = match error.downcast::<Missing>() {
        Ok(Missing { kind, why }) => (kind, why.to_string()),
        Err(error) => of_system(&error),
    };
    Missing::new(kind, format!("{endpoint}: {what}"))
}

fn of_system(error: &io::Error) -> (MissingKind, String) {
    use io::ErrorKind as K;
    match error.kind() {
        K::ConnectionRefused | K::NotFound => {
            (MissingKind::Absent, format!("nobody listens there ({error})"))
        }
        K::PermissionDenied => (MissingKind::Denied, error.to_string()),
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => {
            (MissingKind::Malformed, format!("it closed before its answer was whole ({error})"))
        }
        _ => (MissingKind::Absent, format!("it can not be reached ({error})")),
    }
}

/// One line without its end, of at most `left` bytes, which are counted off. `None`
/// at the end of the stream; an end within a line is refused.
pub(crate) fn line<'b>(
    stream: &mut impl BufRead,
    left: &mut usize,
    buf: &'b mut Vec<u8>,
) -> io::Result<Option<&'b [u8]>> {
    buf.clear();
    let limit = *left;
    let n = io::Read::take(&mut *stream, limit as u64).read_until(b'\n', buf)?;
    *left -= n;
    match buf.strip_suffix(b"\n") {
        Some(line) => Ok(Some(line.strip_suffix(b"\r").unwrap_or(line))),
        None if n == 0 && limit > 0 => Ok(None),
        None if n == limit => {
            Err(refused(format!("a line or the head has no end in {limit} bytes")))
        }
        None => Err(malformed("it ends within a line")),
    }
}
