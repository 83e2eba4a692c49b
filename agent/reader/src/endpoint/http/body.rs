//! The body of an answer: RFC 9112, 6 and 7.

use std::io::{self, BufRead, Read};

use memgap_kernel::text;

use super::head::{HEAD, Head};
use super::{line, malformed, refused};

/// Longest line that tells a chunk's size, with its extensions.
const SIZE_LINE: usize = 256;

/// A body without its framing. It ends early with an error only.
#[derive(Debug)]
pub struct Body<S> {
    stream: S,
    framing: Framing,
    /// Bytes that may still be given, and the cap that they are left of.
    left: u64,
    cap: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// So many bytes are to come.
    Length(u64),
    /// So many bytes of this chunk.
    Chunk(u64),
    /// The next chunk's size is to come.
    Size,
    /// All until the other side closes.
    Open,
    Ended,
}

impl<S: BufRead> Body<S> {
    pub(super) fn new(stream: S, head: &Head, cap: u64) -> io::Result<Self> {
        let framing = match head.length {
            Some(length) if length > cap => return Err(too_long(cap)),
            Some(length) => Framing::Length(length),
            None if head.chunked => Framing::Size,
            None => Framing::Open,
        };
        Ok(Self { stream, framing, left: cap, cap })
    }

    /// The size of the next chunk; at the last one also reads the trailer.
    fn next_chunk(&mut self) -> io::Result<Framing> {
        let size = chunk_size(&mut self.stream)?;
        if size > self.left {
            return Err(too_long(self.cap));
        }
        if size > 0 {
            return Ok(Framing::Chunk(size));
        }
        let (mut left, mut buf) = (HEAD, Vec::new());
        while !line(&mut self.stream, &mut left, &mut buf)?.ok_or_else(cut)?.is_empty() {}
        Ok(Framing::Ended)
    }

    /// Gives at most `most` bytes, 0 of them at the end of the stream only.
    fn give(&mut self, buf: &mut [u8], most: u64) -> io::Result<u64> {
        let room = usize::try_from(most).unwrap_or(usize::MAX).min(buf.len());
        let n = self.stream.read(&mut buf[..room])? as u64;
        self.left -= n;
        Ok(n)
    }
}

impl<S: BufRead> Read for Body<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.framing == Framing::Size {
            self.framing = self.next_chunk()?;
        }
        let n = match self.framing {
            Framing::Length(0) | Framing::Ended | Framing::Size => 0,
            Framing::Length(most) => {
                let n = self.give(buf, most)?;
                self.framing = Framing::Length(most - n);
                if n == 0 {
                    return Err(cut());
                }
                n
            }
            Framing::Chunk(most) => {
                let n = self.give(buf, most)?;
                match most - n {
                    _ if n == 0 => return Err(cut()),
                    0 => {
                        end_of_chunk(&mut self.stream)?;
                        self.framing = Framing::Size;
                    }
                    rest => self.framing = Framing::Chunk(rest),
                }
                n
            }
            Framing::Open if self.left == 0 => {
                if self.stream.fill_buf()?.is_empty() {
                    0
                } else {
                    return Err(too_long(self.cap));
                }
            }
            Framing::Open => self.give(buf, self.left)?,
        };
        // At most the length of `buf`.
        Ok(usize::try_from(n).unwrap_or(buf.len()))
    }
}

fn chunk_size(stream: &mut impl BufRead) -> io::Result<u64> {
    let (mut left, mut buf) = (SIZE_LINE, Vec::new());
    let line = line(stream, &mut left, &mut buf)?.ok_or_else(cut)?;
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
    text::hex(digits).ok_or_else(|| malformed("the size of a chunk is no number"))
}

fn end_of_chunk(stream: &mut impl BufRead) -> io::Result<()> {
    let mut end = [0; 2];
    stream.read_exact(&mut end)?;
    if end == *b"\r\n" { Ok(()) } else { Err(malformed("a chunk is longer than its size")) }
}

fn cut() -> io::Error {
    malformed("it closed before its answer was whole")
}

fn too_long(cap: u64) -> io::Error {
    refused(format!("its answer is longer than {cap} bytes"))
}
