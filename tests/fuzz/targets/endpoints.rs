//! What a program's endpoint answers: the parts of HTTP that are read of it, the formats of
//! its figures, a list of pods, and the address of an endpoint.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use memgap_fuzz::choose;
use memgap_reader::endpoint::http::{self, Endpoint};
use memgap_reader::endpoint::{self, exposition, expvar, pods, pprof};

/// Bytes of a body that are taken.
const CAP: u64 = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((which, text)) = choose(input, 8) else { return };
    match which {
        0 => answer(text),
        1 => figures(&[b"HTTP/1.1 200 OK\r\n", text].concat()),
        2 | 3 => {
            let begin = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
            let _ = exposition::parse(text, which == 3, |series| {
                let _ = (series.label("x"), series.bytes());
                Ok(())
            });
            figures(&[begin, text].concat());
        }
        4 => figures_of(text, pprof::parse(text).is_ok()),
        5 => figures_of(text, expvar::parse(text).is_ok()),
        6 => pods_are_named(text),
        _ => address(text),
    }
});

/// A body ends, within its bound. One that ends before its connection does is framed, and
/// nothing less of it is taken for whole.
fn answer(text: &[u8]) {
    let text = &[text, b"x"].concat()[..];
    let mut rest = text;
    let Some(length) = body(&mut rest) else { return };
    assert!(length as u64 <= CAP);
    if !rest.is_empty() {
        let end = text.len() - rest.len();
        assert_eq!(body(&mut &text[..end]), Some(length));
        assert_eq!(body(&mut &text[..end - 1]), None, "a cut body was taken for whole");
    }
}

/// The length of the body, read in pieces to its end.
fn body(stream: &mut &[u8]) -> Option<usize> {
    let mut body = http::answer(stream, CAP).ok()?.body;
    let (mut length, mut piece) = (0, [0; 61]);
    loop {
        match body.read(&mut piece).ok()? {
            0 => return Some(length),
            n => length += n,
        }
    }
}

/// Figures of an answer add up to claims without overflow.
fn figures(answer: &[u8]) {
    let Ok(response) = http::answer(answer, CAP) else { return };
    let Ok(answer) = endpoint::understand(response) else { return };
    assert!(!answer.figures.is_empty());
    let Ok(endpoint) = "http://127.0.0.1:1".parse() else { return };
    let report = answer.reported(&endpoint);
    assert_eq!(report.statistics.len(), answer.figures.len());
}

fn figures_of(text: &[u8], _: bool) {
    figures(&[b"HTTP/1.1 200 OK\r\n\r\n", text].concat());
    figures(&[b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", text].concat());
}

/// No pod names an endpoint but at an address of its own.
fn pods_are_named(text: &[u8]) {
    for pod in pods::parse(text).into_iter().flatten().flatten() {
        assert!(!pod.endpoint.is_local(), "{pod:?} would be asked at this machine");
    }
}

/// What is shown of an endpoint names the same one.
fn address(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(endpoint) = text.parse::<Endpoint>() else { return };
    let again = endpoint.to_string().parse::<Endpoint>();
    assert!(again.as_ref().is_ok_and(|again| *again == endpoint), "{endpoint} {again:?}");
}
