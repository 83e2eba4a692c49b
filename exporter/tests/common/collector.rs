//! A program that takes what is pushed to it, or does not.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use flate2::read::GzDecoder;

use crate::common::daemon::PATIENCE;

/// One that listens, until the test ends.
pub struct Collector {
    pub port: u16,
    requests: Receiver<Request>,
}

/// What was pushed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub at: Instant,
    pub line: String,
    pub headers: BTreeMap<String, String>,
    /// As it came.
    pub compressed: Vec<u8>,
}

impl Collector {
    /// Answers the requests, which `answer` counts from 0, each on a connection of its own.
    pub fn start(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (send, requests) = mpsc::channel();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.expect("a connection");
                // A push that is given up may end in mid-request.
                if let Ok(request) = Request::read(&stream)
                    && send.send(request).is_err()
                {
                    return;
                }
                answer(number, &mut stream);
            }
        });
        Self { port, requests }
    }

    /// One that takes everything.
    pub fn that_takes_all() -> Self {
        Self::start(|_, stream| say(stream, "200 OK", "", b""))
    }

    pub fn endpoint(&self) -> String {
        format!("--otlp.endpoint=http://127.0.0.1:{}", self.port)
    }

    /// Whether nothing was pushed to it.
    pub fn is_unasked(&self) -> bool {
        self.requests.try_recv().is_err()
    }

    /// Waits for the next request.
    pub fn next(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).expect("a push in time")
    }
}

/// Answers whole.
pub fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let length = body.len();
    // Who has given up does not read it.
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n")
        .and_then(|()| stream.write_all(body));
}

impl Request {
    fn read(stream: &TcpStream) -> io::Result<Self> {
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut lines = lines.into_iter();
        let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                Some((name.to_ascii_lowercase(), value.to_owned()))
            })
            .collect();
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let mut compressed = vec![0; length.expect("a length")];
        stream.read_exact(&mut compressed)?;
        Ok(Self { at: Instant::now(), line, headers, compressed })
    }

    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        GzDecoder::new(&*self.compressed).read_to_end(&mut body).expect("gzip");
        body
    }
}
