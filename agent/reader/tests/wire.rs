//! Bytes off the wire, of any kind: parsers end, stay within their bounds and take
//! no part of a text for the whole.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Read;

use memgap_reader::endpoint::{exposition, expvar, http, pprof};
use proptest::prelude::*;
use proptest::sample::select;

const JAVA: &str = include_str!("endpoint/java.txt");
const CAP: u64 = 4096;

/// Text that is nearly right: real pieces in any order, with any bytes between.
fn nearly(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

const ANSWER: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "Content-Length: 9\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\r\n",
    "\r\n",
    "4\r\n",
    "ffffffffffffffff\r\n",
    "0\r\n\r\n",
    "0000000000000000001\r\n",
    "abcd\r\n",
    ";x\r\n",
    "\n",
];
const SERIES: &[&str] = &[
    "a",
    "{",
    "}",
    "x=",
    "\"",
    "\\\"",
    "\\n",
    "\\",
    ",",
    " ",
    "1",
    "NaN",
    "+Inf",
    "1e9",
    "-",
    "#",
    "# EOF",
    "\n",
    "\n",
    "{\"a.b\"",
    "go_info",
    "{x=\"}\"}",
];
const PROFILE: &[&str] = &[
    "heap profile: 1: 2 [3: 4] @\n",
    "# runtime.MemStats\n",
    "# HeapInuse = ",
    "# Stack = ",
    " / ",
    "1",
    "9223372036854775808",
    "\n",
    "# NumGC = 1\n",
    "[1 2]",
];
const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"memstats\"",
    ":",
    "\"HeapInuse\"",
    ",",
    "1",
    "-1",
    "1e9",
    "\"",
    "null",
    "18446744073709551616",
];

/// The body of an answer, however it ends.
fn body(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    http::answer(bytes, CAP)?.body.read_to_end(&mut text)?;
    Ok(text)
}

fn chunked(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for part in parts {
        answer.extend(format!("{:x}\r\n", part.len()).bytes());
        answer.extend(part);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    answer
}

proptest! {
    #[test]
    fn any_answer_ends_within_its_cap(
        bytes in prop_oneof![nearly(ANSWER), prop::collection::vec(any::<u8>(), 0..256)],
        read in 1usize..64,
    ) {
        let framed = [b"HTTP/1.1 200 OK\r\n", bytes.as_slice()].concat();
        for bytes in [&bytes, &framed] {
            let Ok(answer) = http::answer(bytes.as_slice(), CAP) else { continue };
            let (mut body, mut total, mut piece) = (answer.body, 0, vec![0; read]);
            while let Ok(n @ 1..) = body.read(&mut piece) {
                total += n as u64;
            }
            prop_assert!(total <= CAP);
        }
    }

    #[test]
    fn chunks_are_put_together_and_a_cut_is_seen(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let answer = chunked(&parts);
        prop_assert_eq!(body(&answer).unwrap(), parts.concat());
        prop_assert!(body(&answer[..cut.index(answer.len())]).is_err());
    }

    #[test]
    fn any_text_is_parsed_or_refused(
        bytes in prop_oneof![nearly(SERIES), nearly(PROFILE), nearly(JSON)],
        open_metrics in any::<bool>(),
    ) {
        let _ = exposition::parse(bytes.as_slice(), open_metrics, |series| {
            let _ = (series.label("x"), series.bytes());
            Ok(())
        });
        let _ = pprof::parse(bytes.as_slice());
        let _ = expvar::parse(bytes.as_slice());
    }

    #[test]
    fn an_exposition_is_cut_at_the_end_of_a_line_only(cut in 0..JAVA.len()) {
        let parsed = exposition::parse(&JAVA.as_bytes()[..cut], false, |_| Ok(()));
        prop_assert_eq!(parsed.is_ok(), cut == 0 || JAVA.as_bytes()[cut - 1] == b'\n');
    }

    #[test]
    fn what_a_label_holds_is_read_back(value in "\\PC*", other in "\\PC*") {
        let escaped = |text: &str| {
            text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
        };
        let text = format!("m{{a=\"{}\",b=\"{}\"}} 7\n", escaped(&other), escaped(&value));
        let mut found = None;
        exposition::parse(text.as_bytes(), false, |series| {
            found = series.label("b").zip(series.bytes().ok());
            Ok(())
        }).unwrap();
        prop_assert_eq!(found, Some((value.into_bytes(), 7)));
    }
}
