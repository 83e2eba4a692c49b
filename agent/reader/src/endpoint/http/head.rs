//! The head of an answer: status line and the few header fields that matter.

use std::io::{self, BufRead};

use memgap_kernel::text;

use super::{line, malformed, refused};

/// Longest head, and longest trailer.
pub(super) const HEAD: usize = 16 << 10;

/// What the head says of the body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub status: u16,
    pub length: Option<u64>,
    pub chunked: bool,
    /// Whether the body is compressed.
    pub encoded: bool,
    pub content_type: String,
    pub location: Vec<u8>,
}

impl Head {
    pub fn read(stream: &mut impl BufRead) -> io::Result<Self> {
        let (mut left, mut buf) = (HEAD, Vec::new());
        let first = line(stream, &mut left, &mut buf)?
            .ok_or_else(|| malformed("it closed without an answer"))?;
        let mut head = Self { status: status(first)?, ..Self::default() };
        loop {
            let field = line(stream, &mut left, &mut buf)?
                .ok_or_else(|| malformed("it closed within the head"))?;
            if field.is_empty() {
                break;
            }
            head.field(field)?;
        }
        // RFC 9112, 6.3: one of two parties would be deceived about the end.
        if head.chunked && head.length.is_some() {
            return Err(refused("its head tells two framings, length and chunks".to_owned()));
        }
        Ok(head)
    }

    fn field(&mut self, field: &[u8]) -> io::Result<()> {
        let (name, value) =
            text::key_value(field).ok_or_else(|| malformed("a line of its head has no colon"))?;
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => {
                let length = text::decimal(value)
                    .ok_or_else(|| malformed("its content-length is no number"))?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(malformed("its head tells two lengths"));
                }
                self.length = Some(length);
            }
            b"transfer-encoding" => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(refused("its transfer-encoding is not `chunked`".to_owned()));
                }
                self.chunked = true;
            }
            b"content-encoding" => self.encoded |= !value.eq_ignore_ascii_case(b"identity"),
            b"content-type" => {
                self.content_type = text::printable(&value.to_ascii_lowercase(), 200);
            }
            b"location" => self.location = value.to_vec(),
            _ => {}
        }
        Ok(())
    }
}

fn status(line: &[u8]) -> io::Result<u16> {
    let rest = [&b"HTTP/1.1 "[..], b"HTTP/1.0 "].iter().find_map(|v| line.strip_prefix(*v));
    let digits = rest.and_then(|rest| rest.split(|b| *b == b' ').next());
    let status = digits.filter(|d| d.len() == 3).and_then(text::decimal);
    status
        .and_then(|status| u16::try_from(status).ok())
        .ok_or_else(|| malformed("it does not answer in HTTP/1.1"))
}
