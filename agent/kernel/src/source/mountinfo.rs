//! `/proc/PID/mountinfo`: proc_pid_mountinfo(5).

use std::borrow::Cow;
use std::ops::ControlFlow;

use memgap_ledger::Fact;

use crate::file::{Buf, Dir};
use crate::text;

/// Name of the file below a process's directory.
pub const NAME: &str = "mountinfo";

/// Room for tens of thousands of mounts.
pub const LIMIT: usize = 16 << 20;

/// What is read of each of many processes: room for the thousands of mounts that a machine
/// of some hundred containers has.
pub const SHARE: usize = 4 << 20;

/// One mount, with the kernel's escapes undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'t> {
    /// Device number of the file system, major and minor.
    pub device: (u32, u32),
    /// The directory of the file system that is mounted.
    pub root: Cow<'t, [u8]>,
    /// Where it is mounted.
    pub point: Cow<'t, [u8]>,
    /// Type of the file system.
    pub fs_type: Cow<'t, [u8]>,
    /// Options of the file system, separated by commas.
    pub options: Cow<'t, [u8]>,
}

/// Reads the file at `name` below a procfs root: `self/mountinfo`.
pub fn read<'b>(proc: &Dir, name: &str, buf: &'b mut Buf) -> Fact<Vec<Mount<'b>>> {
    Ok(parse(proc.read(name, LIMIT, buf)?))
}

/// Hands the mounts that a process sees, whose directory is given, to `each` until it
/// wants no more. They are never held together: any user may make as many as he likes, in
/// a namespace of his own.
pub fn each(
    dir: &Dir,
    limit: usize,
    buf: &mut Buf,
    mut each: impl FnMut(&Mount<'_>) -> ControlFlow<()>,
) -> Fact<()> {
    dir.lines(NAME, limit, buf, |line| {
        Ok(mount(line).map_or(ControlFlow::Continue(()), |m| each(&m)))
    })
}

/// The mounts of the text. A line that is not in form is left out: file systems
/// print their own options, and one odd mount must not hide the others.
pub fn parse(text: &[u8]) -> Vec<Mount<'_>> {
    text.split_inclusive(|b| *b == b'\n')
        .filter_map(|line| mount(line.strip_suffix(b"\n")?))
        .collect()
}

/// `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=x`
pub fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut words = line.split(|b| *b == b' ');
    let _id = text::decimal(words.next()?)?;
    let _parent = text::decimal(words.next()?)?;
    let device = device(words.next()?)?;
    let root = unescape(words.next()?);
    let point = unescape(words.next()?);
    let _mount_options = words.next()?;
    words.find(|word| *word == b"-")?;
    let fs_type = unescape(words.next()?);
    let _source = words.next()?;
    Some(Mount { device, root, point, fs_type, options: unescape(words.next()?) })
}

/// `98:0`, in decimal.
fn device(word: &[u8]) -> Option<(u32, u32)> {
    let colon = word.iter().position(|b| *b == b':')?;
    let number = |digits| u32::try_from(text::decimal(digits)?).ok();
    Some((number(&word[..colon])?, number(&word[colon + 1..])?))
}

/// Undoes the kernel's `\040` for space and its like.
fn unescape(word: &[u8]) -> Cow<'_, [u8]> {
    if !word.contains(&b'\\') {
        return Cow::Borrowed(word);
    }
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, tail @ ..] = rest {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(bytes)
}
