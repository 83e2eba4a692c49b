//! `/proc/PID/maps`: proc_pid_maps(5), `show_map_vma` in fs/proc/task_mmu.c.

use std::ops::ControlFlow;

use memgap_ledger::Fact;

use super::Parsed;
use crate::file::{Buf, Dir};
use crate::process::Process;
use crate::text;

/// Name of the file below a process's directory.
pub const NAME: &str = "maps";

/// Room for the default of 65,530 mappings with long names.
pub const LIMIT: usize = 64 << 20;

/// What is read of each of many processes: twice the text of 65,530 mappings with
/// ordinary names.
pub const SHARE: usize = 8 << 20;

/// A device number, major and minor.
pub type Device = (u32, u32);

/// One mapping: a line of `maps`, and the first line of an entry of `smaps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<'t> {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// `rwxp`, with `-` for a right that is not given and `s` for shared.
    pub access: [u8; 4],
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Device of the file.
    pub device: Device,
    /// Inode of the file; 0 without one.
    pub inode: u64,
    /// Path or `[name]`, empty without one. May hold blanks and need not be UTF-8;
    /// a newline stands as `\012`.
    pub name: &'t [u8],
}

/// Hands the mappings of a process to `each`, in address order, until it wants no more.
/// They are never held together: a program chooses how many it has, and their names.
pub fn read(
    process: &Process,
    limit: usize,
    buf: &mut Buf,
    mut each: impl FnMut(&Mapping<'_>) -> ControlFlow<()>,
) -> Fact<()> {
    process.lines_until(NAME, limit, buf, |line| Ok(each(&mapping(line)?)))
}

/// As [`read`], of the process whose directory is given.
pub fn read_in(
    dir: &Dir,
    limit: usize,
    buf: &mut Buf,
    mut each: impl FnMut(&Mapping<'_>) -> ControlFlow<()>,
) -> Fact<()> {
    dir.lines(NAME, limit, buf, |line| Ok(each(&mapping(line)?)))
}

/// The mappings of the text, in address order.
pub fn parse(text: &[u8]) -> Parsed<Vec<Mapping<'_>>> {
    text.split_inclusive(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\n").ok_or("the last line is cut short").and_then(mapping))
        .collect()
}

/// `55e8-55ea r-xp 00002000 fe:00 247278    /usr/bin/head`
pub fn mapping(line: &[u8]) -> Parsed<Mapping<'_>> {
    split(line).ok_or("a mapping's line is not in form")
}

fn split(line: &[u8]) -> Option<Mapping<'_>> {
    let mut words = line.splitn(6, |b| *b == b' ');
    let (start, end) = pair(words.next()?, b'-')?;
    let access = words.next()?.try_into().ok()?;
    let offset = text::hex(words.next()?)?;
    let (major, minor) = pair(words.next()?, b':')?;
    let inode = text::decimal(words.next()?)?;
    // Names are padded to a column; a path begins with `/`, a name with `[`.
    let name = words.next().unwrap_or_default().trim_ascii_start();
    let device = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    (start <= end).then_some(Mapping { start, end, access, offset, device, inode, name })
}

/// Two hexadecimal numbers with a mark between them.
fn pair(word: &[u8], mark: u8) -> Option<(u64, u64)> {
    let at = word.iter().position(|b| *b == mark)?;
    Some((text::hex(&word[..at])?, text::hex(&word[at + 1..])?))
}
