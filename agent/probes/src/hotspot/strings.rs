//! The strings of a library, read from its file: through the process they would
//! grow what it maps.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;

use crate::Image;

/// Bytes that are read at once, and remembered.
const WINDOW: u64 = 64 << 10;
/// Windows of a file: 32 MiB of strings, of which HotSpot has one.
const MAX_WINDOWS: usize = 512;
/// Longest string; names of C++ types that are.
const MAX_LEN: usize = 256;

/// The strings of a library that a process maps.
pub(super) struct Strings<'i> {
    image: &'i Image<'i>,
    windows: HashMap<u64, Vec<u8>>,
}

impl<'i> Strings<'i> {
    pub fn of(image: &'i Image<'i>) -> Self {
        Self { image, windows: HashMap::new() }
    }

    /// The string at an address of the process, where the library has one there.
    pub fn at(&mut self, address: u64) -> Option<&str> {
        let place = address.checked_sub(self.image.mapped.bias)?;
        let segment = self.image.elf.segments.iter().find(|segment| {
            place.checked_sub(segment.address).is_some_and(|at| at < segment.file_size)
        })?;
        let offset = segment.offset.checked_add(place - segment.address)?;
        let window = self.window(offset / WINDOW)?;
        let tail = window.get(usize::try_from(offset % WINDOW).ok()?..)?;
        let end = tail.iter().take(MAX_LEN).position(|byte| *byte == 0)?;
        std::str::from_utf8(&tail[..end]).ok()
    }

    /// A window, and enough behind it for a string that begins at its end.
    fn window(&mut self, number: u64) -> Option<&[u8]> {
        let known = self.windows.contains_key(&number);
        if !known && self.windows.len() >= MAX_WINDOWS {
            return None;
        }
        let window = self.windows.entry(number).or_default();
        if !known {
            let mut bytes = vec![0; usize::try_from(WINDOW).ok()? + MAX_LEN];
            let start = number.checked_mul(WINDOW)?;
            let mut filled = 0;
            while filled < bytes.len() {
                match self.image.file.read_at(&mut bytes[filled..], start + filled as u64) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => filled += count,
                }
            }
            bytes.truncate(filled);
            *window = bytes;
        }
        Some(window)
    }
}
