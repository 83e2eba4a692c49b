//! Endpoints that lie, dawdle or never end: the answer is a named refusal, soon.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use memgap_ledger::{Account, Fact, MissingKind};
use memgap_reader::{Answer, Endpoint, Limits, read_endpoint};

/// Long enough for a busy machine to answer, short enough to wait for.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(10),
    idle: Duration::from_secs(10),
    total: Duration::from_secs(10),
    bytes: 64 << 10,
};
/// For servers that dawdle.
const SHORT: Duration = Duration::from_millis(200);

const GO: &str = "# TYPE go_memstats_heap_inuse_bytes gauge\n\
    go_memstats_heap_inuse_bytes 1.073741824e+09\n";

/// A server's end of a connection.
trait Peer: Read + Write {}
impl<T: Read + Write> Peer for T {}

/// Reads the request, so that closing is no reset, and lets `answer` speak.
fn speak(mut peer: impl Peer, answer: impl FnOnce(&mut dyn Peer)) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && peer.read(&mut byte).is_ok_and(|n| n == 1) {
        request.push(byte[0]);
    }
    answer(&mut peer);
    String::from_utf8(request).expect("ASCII")
}

/// Asks a server on this address that says what `answer` writes.
fn ask_at(
    host: SocketAddr,
    limits: &Limits,
    answer: impl FnOnce(&mut dyn Peer) + Send,
) -> (Fact<Answer>, String) {
    let listener = TcpListener::bind(host).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let endpoint: Endpoint = format!("http://{address}/metrics").parse().expect("an address");
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            let (peer, _) = listener.accept().expect("a connection");
            speak(peer, answer)
        });
        let answer = read_endpoint(&endpoint, limits);
        (answer, server.join().expect("the server ends"))
    })
}

fn ask(limits: &Limits, answer: impl FnOnce(&mut dyn Peer) + Send) -> Fact<Answer> {
    ask_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), limits, answer).0
}

/// The answer to a text that is sent as it is.
fn reported(text: impl AsRef<[u8]> + Send) -> Fact<Answer> {
    // The client may close before all is sent.
    ask(&LIMITS, move |peer| drop(peer.write_all(text.as_ref())))
}

fn ok(head: &str, body: &str) -> Fact<Answer> {
    reported(format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}"))
}

#[track_caller]
fn refused(answer: &Fact<Answer>, kind: MissingKind, what: &str) {
    let lack = answer.as_ref().expect_err("a refusal");
    assert!(lack.kind == kind && lack.why.contains(what), "{:?}: {}", lack.kind, lack.why);
    assert!(lack.why.starts_with("http://"), "unnamed: {}", lack.why);
}

#[track_caller]
fn in_use(answer: &Fact<Answer>) -> Vec<(&'static str, u64)> {
    let answer = answer.as_ref().expect("an answer");
    answer.figures.iter().map(|f| (f.runtime, f.in_use)).collect()
}

#[test]
fn every_framing_gives_the_same_text() {
    let chunks = |text: &str, size: usize| {
        let mut body = String::new();
        for part in text.as_bytes().chunks(size) {
            let part = str::from_utf8(part).expect("ASCII");
            write!(body, "{:X};x=\"y\"\r\n{part}\r\n", part.len()).expect("to memory");
        }
        body + "0\r\nTrailer: x\r\n\r\n"
    };
    let length = format!("content-LENGTH:{}\r\n", GO.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    for answer in [
        ok("", GO),
        ok(&length, GO),
        ok(&length, &format!("{GO}what follows is not of this answer")),
        ok(chunked, &chunks(GO, 1)),
        ok(chunked, &chunks(GO, 7)),
        ok(chunked, &chunks(GO, 4096)),
        reported(format!("HTTP/1.0 200\n\n{GO}")),
    ] {
        assert_eq!(in_use(&answer), [("go", 1 << 30)]);
    }
}

#[test]
fn the_request_is_one_get_over_ipv4_ipv6_and_unix_sockets() {
    for host in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()] {
        let text = format!("HTTP/1.1 200 OK\r\n\r\n{GO}");
        let (answer, request) = ask_at(host, &LIMITS, |peer| drop(peer.write_all(text.as_bytes())));
        assert_eq!(in_use(&answer), [("go", 1 << 30)]);
        assert!(request.starts_with("GET /metrics HTTP/1.1\r\nHost: "), "{request}");
        assert!(request.contains("\r\nConnection: close\r\n"), "{request}");
    }
    let socket = Socket::new("answers");
    let listener = UnixListener::bind(&socket.0).expect("a new path");
    let endpoint: Endpoint = format!("unix:{}:/x?y", socket.0).parse().expect("a socket");
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            let (peer, _) = listener.accept().expect("a connection");
            speak(peer, |peer| drop(write!(peer, "HTTP/1.1 200 OK\r\n\r\n{GO}")))
        });
        assert_eq!(in_use(&read_endpoint(&endpoint, &LIMITS)), [("go", 1 << 30)]);
        assert!(server.join().expect("it ends").starts_with("GET /x?y HTTP/1.1\r\n"));
    });
}

#[test]
fn nobody_there_is_absent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let endpoint: Endpoint = format!("http://{address}").parse().expect("an address");
    refused(&read_endpoint(&endpoint, &LIMITS), MissingKind::Absent, "nobody listens");
    let endpoint: Endpoint = "unix:/nonexistent/socket".parse().expect("a socket");
    let lack = read_endpoint(&endpoint, &LIMITS).expect_err("absent");
    assert_eq!(lack.kind, MissingKind::Absent, "{}", lack.why);
}

#[test]
fn who_dawdles_is_cut_off() {
    let idle = Limits { idle: SHORT, ..LIMITS };
    // It says nothing, until we close.
    let silent = |peer: &mut dyn Peer| drop(peer.read(&mut [0]));
    refused(&ask(&idle, silent), MissingKind::Refused, "moved no byte in 200ms");
    let total = Limits { total: SHORT, ..LIMITS };
    refused(&ask(&total, silent), MissingKind::Refused, "not whole after 200ms");
    for head in ["", "HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\n#"] {
        // A byte at a time for as long as we listen: no wait is long, all of it is.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let endpoint: Endpoint = format!("http://{address}").parse().expect("an address");
        thread::scope(|scope| {
            scope.spawn(move || {
                let (peer, _) = listener.accept().expect("a connection");
                peer.set_read_timeout(Some(SHORT / 20)).expect("set");
                let trickle = |peer: &mut dyn Peer| {
                    let _ = peer.write_all(head.as_bytes());
                    while peer.write_all(b"a").is_ok() && peer.read(&mut [0]).is_err() {}
                };
                speak(peer, trickle);
            });
            let answer = read_endpoint(&endpoint, &Limits { idle: SHORT * 10, ..total });
            refused(&answer, MissingKind::Refused, "not whole after 200ms");
        });
    }
}

#[test]
fn a_full_queue_of_a_unix_socket_is_not_waited_for() {
    let socket = Socket::new("full");
    let listener = UnixListener::bind(&socket.0).expect("a new path");
    rustix::net::listen(&listener, 0).expect("a queue for one");
    let endpoint: Endpoint = format!("unix:{}", socket.0).parse().expect("a socket");
    let limits = Limits { connect: SHORT, total: SHORT, ..LIMITS };
    let mut whys = (0..3).map(|_| read_endpoint(&endpoint, &limits).expect_err("unanswered").why);
    assert!(whys.any(|why| why.contains("took no connection in 200ms")));
}

#[test]
fn what_never_ends_is_cut_off_at_the_cap() {
    let endless = |head: &'static str, piece: &'static str| {
        ask(&LIMITS, move |peer| {
            let _ = peer.write_all(head.as_bytes());
            while peer.write_all(piece.as_bytes()).is_ok() {}
        })
    };
    let start = "HTTP/1.1 200 OK\r\n";
    let cap = "longer than 65536 bytes";
    for (answer, what) in [
        (endless("", "x"), "no end"),
        (endless("HTTP/1.1 200 ", "K"), "no end"),
        (endless(start, "X-More: of it\r\n"), "no end"),
        (endless("HTTP/1.1 200 OK\r\n\r\n", "go_goroutines 1\n"), cap),
        (endless("HTTP/1.1 200 OK\r\n\r\n", "x"), "no end"),
        (endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\na 1\n\r\n"), cap),
        (endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0"), "no end"),
        (
            endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "T: 1\r\n"),
            "no end",
        ),
        (endless("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", "["), "malformed"),
        (endless("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":\"", "b"), cap),
        (endless("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":[", "["), cap),
    ] {
        let lack = answer.expect_err("a refusal");
        assert!(lack.why.contains(what), "{what}: {}", lack.why);
    }
}

#[test]
fn redirects_errors_and_odd_heads_are_named() {
    use MissingKind::{Absent, Denied, Malformed, Refused};
    let twice = "Content-Length: 1\r\nContent-Length: 2\r\n";
    let both = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n";
    for status in ["301", "302", "303", "307", "308", "300"] {
        let head = format!("HTTP/1.1 {status} Go\r\nLocation: http://10.0.0.1/\x1b[2J\r\n\r\n");
        refused(
            &reported(head),
            Refused,
            "redirects to `http://10.0.0.1/\u{fffd}[2J`, which is not",
        );
    }
    refused(&reported("HTTP/1.1 401 No\r\n\r\n"), Denied, "credentials");
    refused(&reported("HTTP/1.1 404 No\r\n\r\n"), Absent, "no such path");
    for status in ["100 Continue", "101 x", "204 x", "206 x", "500 x", "999"] {
        refused(&reported(format!("HTTP/1.1 {status}\r\n\r\n{GO}")), Refused, "status");
    }
    for garbage in
        ["", "\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 20 x\r\n\r\n", "SSH-2.0-x\r\n", "\0\n"]
    {
        refused(&reported(garbage), Malformed, "");
    }
    refused(&ok("no colon\r\n", GO), Malformed, "no colon");
    refused(&ok("Content-Length: -1\r\n", GO), Malformed, "no number");
    refused(&ok(twice, GO), Malformed, "two lengths");
    refused(&ok(both, GO), Refused, "two framings");
    refused(&ok("Content-Encoding: gzip\r\n", GO), Refused, "compressed");
    refused(&ok("Transfer-Encoding: gzip, chunked\r\n", GO), Refused, "not `chunked`");
}

#[test]
fn wrong_lengths_and_chunks_are_refused() {
    use MissingKind::{Malformed, Refused};
    let chunked = |body: &str| ok("Transfer-Encoding: chunked\r\n", body);
    let length = |length: &str| ok(&format!("Content-Length: {length}\r\n"), GO);
    refused(&length("65537"), Refused, "longer than");
    refused(&length("18446744073709551615"), Refused, "longer than");
    refused(&length("18446744073709551616"), Malformed, "no number");
    refused(&length("1000"), Malformed, "closed before");
    refused(&length("50"), Malformed, "within a line");
    refused(&chunked("ffffffffffffffff\r\na 1\n"), Refused, "longer than");
    refused(&chunked("fffffffffffffffff\r\na 1\n"), Malformed, "no number");
    refused(&chunked("4\r\na 1\n\r\nffffffffffffffff\r\n"), Refused, "longer than");
    refused(&chunked("-1\r\n"), Malformed, "no number");
    refused(&chunked("\r\n"), Malformed, "no number");
    refused(&chunked("4\r\na 1\nb 2\n"), Malformed, "longer than its size");
    refused(&chunked("4\r\na 1\n\r\n"), Malformed, "closed before");
    refused(&chunked("9\r\na 1\n"), Malformed, "closed before");
    refused(&chunked("4\r\na 1\n\r\n0\r\n"), Malformed, "closed before");
    refused(&chunked("4\r\na 1\n\r\n0\r\nX"), Malformed, "within a line");
}

#[test]
fn figures_that_no_memory_has_are_refused() {
    let metric = "go_memstats_heap_inuse_bytes";
    for (value, what) in [
        ("9.223372036854775808e+18", "2^63"),
        ("9223372036854775808", "2^63"),
        ("+Inf", "endless"),
        ("NaN", "NaN"),
        ("-4096", "negative"),
        ("0.5", "part of a byte"),
        ("", "no number"),
        ("many", "no number"),
    ] {
        refused(&ok("", &format!("{metric} {value}\n")), MissingKind::Malformed, what);
    }
    refused(
        &ok("", &format!("{metric} 1\n{metric}{{pod=\"b\"}} 1\n")),
        MissingKind::Malformed,
        "second time",
    );
    let released = "go_memstats_heap_idle_bytes 1\ngo_memstats_heap_released_bytes 2\n";
    refused(&ok("", &format!("{metric} 1\n{released}")), MissingKind::Malformed, "more released");
    refused(&ok("", "up 1\n"), MissingKind::Malformed, "no in-use figure");
    refused(&ok("", ""), MissingKind::Malformed, "no in-use figure");
    refused(&ok("", "\x1f\u{8b}"), MissingKind::Malformed, "");
    let open_metrics = "Content-Type: application/openmetrics-text; version=1.0.0\r\n";
    refused(&ok(open_metrics, GO), MissingKind::Malformed, "without # EOF");
    assert_eq!(in_use(&ok(open_metrics, &format!("{GO}# EOF\n"))), [("go", 1 << 30)]);
}

#[test]
fn each_runtime_is_understood() {
    let text = include_str!("endpoint/java.txt");
    let answer = ok("", text).expect("understood");
    let java = &answer.figures[0];
    assert_eq!((java.runtime, java.in_use, java.free), ("hotspot", 30 << 20, Some(98 << 20)));
    assert_eq!((java.version.as_deref(), java.cycles), (Some("17.0.18+8"), Some(7)));
    let others: Vec<_> = java.others.iter().map(|p| (p.account, p.bytes)).collect();
    assert_eq!(others, [(Account::Metaspace, 5 << 20), (Account::JitCode, 12 << 20)]);
    assert_eq!(answer.resident, Some(200 << 20));

    let text = "go_memory_classes_heap_objects_bytes 4096\ngo_memory_classes_heap_unused_bytes 4096\n\
        go_memory_classes_heap_free_bytes 100\ngo_memory_classes_heap_released_bytes 900\n";
    let answer = ok("", text).expect("understood");
    let go = &answer.figures[0];
    assert_eq!((go.in_use, go.free, go.released), (8192, Some(100), Some(900)));

    // The ledger's runtime counts free memory that was given back, too; its claim does not.
    let endpoint = "http://127.0.0.1:1/".parse().expect("an address");
    let (runtime, claims) = answer.reported(&endpoint).statistics.remove(0);
    assert_eq!((runtime.free, runtime.released), (Some(1000), Some(900)));
    let claimed: Vec<_> = claims[0].parts.iter().map(|p| (p.account, p.bytes)).collect();
    assert_eq!(claimed, [(Account::AllocatorFree, 100), (Account::HeapInUse, 8192)]);

    let text = "go_memstats_heap_inuse_bytes 1\nprocess_resident_memory_bytes 1\n\
        redis_allocator_allocated_bytes{a=\"b\"} 10\nredis_allocator_active_bytes 15\n\
        redis_allocator_resident_bytes 40\n";
    let answer = ok("", text).expect("understood");
    assert_eq!(answer.resident, None, "the exporter's own");
    assert_eq!(in_use(&Ok(answer.clone())), [("jemalloc", 10)], "and its Go heap, too");
    assert_eq!(answer.figures[0].free, Some(30));
    let text = "memgap_exporter_jemalloc_bytes{stat=\"allocated\"} 10\n\
        memgap_exporter_jemalloc_bytes{stat=\"active\"} 9\n";
    refused(&ok("", text), MissingKind::Malformed, "more allocated");
}

/// The path of a socket, removed with the value.
struct Socket(String);

impl Socket {
    fn new(name: &str) -> Self {
        let name = format!("memgap-{name}-{}.sock", std::process::id());
        Self(std::env::temp_dir().join(name).to_string_lossy().into_owned())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
