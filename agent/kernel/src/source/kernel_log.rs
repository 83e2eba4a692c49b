//! `/dev/kmsg`, the kernel's log: Documentation/ABI/testing/dev-kmsg. What it tells of the OOM
//! killer is read from it, and nothing is kept of the rest.
//!
//! Names of processes and cgroups stand in its lines, chosen by whoever made them. The kernel
//! escapes what is not printable, a newline too, so that no name makes a record; and a line
//! is known by how its record begins, where no name stands that is long enough to look like
//! one. Lines that programs wrote are marked by the kernel, and left out.

mod paths;
mod report;
mod shortage;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use memgap_ledger::oom::KernelLog;
use memgap_ledger::{Fact, Missing, MissingKind};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::file::missing;
use crate::text;
use report::Reports;

/// Where the kernel's log is read.
pub const PATH: &str = "/dev/kmsg";

/// A record is shorter (`CONSOLE_EXT_LOG_MAX`, `PRINTKRB_RECORD_MAX`).
const RECORD: usize = 8 << 10;
/// More records than a log buffer of 32 MiB holds.
const MAX_RECORDS: usize = 400_000;

/// Reads all that the log holds, without waiting for more.
pub fn read() -> Fact<KernelLog> {
    let path = Path::new(PATH);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|e| lack(path, e))?;
    let mut file = File::from(file);
    let mut record = vec![0; RECORD];
    let mut log = Log::new(rustix::param::page_size() as u64);
    for _ in 0..MAX_RECORDS {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(len) => log.take(&record[..len]),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => break,
                // Lines were overwritten since the last call: the next one is behind them.
                Some(Errno::PIPE | Errno::INTR) => log.interrupted(),
                Some(errno) => return Err(lack(path, errno)),
                None => return Err(missing(path, &error)),
            },
        }
    }
    let (now, with_sleep) = (clock(ClockId::Monotonic), clock(ClockId::Boottime));
    Ok(KernelLog { now, slept: with_sleep.saturating_sub(now), ..log.end() })
}

/// What a text of records tells. A last record that is cut short is left out.
pub fn parse(text: &[u8], page: u64) -> KernelLog {
    let mut log = Log::new(page);
    for record in text.split_inclusive(|b| *b == b'\n') {
        log.take(record);
    }
    log.end()
}

fn lack(path: &Path, errno: Errno) -> Missing {
    match errno {
        Errno::PERM | Errno::ACCESS => Missing::new(
            MissingKind::Denied,
            format!(
                "{} may not be read: it takes root or CAP_SYSLOG (kernel.dmesg_restrict is set)",
                path.display()
            ),
        ),
        Errno::NOENT => Missing::absent(format!(
            "{} does not exist: a container has it where the runtime is told so (--device {PATH})",
            path.display()
        )),
        errno => missing(path, &errno.into()),
    }
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The records so far.
struct Log {
    first: Option<(u64, Duration)>,
    reports: Reports,
}

impl Log {
    fn new(page: u64) -> Self {
        Self { first: None, reports: Reports::new(page) }
    }

    /// Takes one record as a call of `read` gives it: a line, and behind it lines of
    /// `KEY=value`, each after a space.
    fn take(&mut self, record: &[u8]) {
        let Some(line) = record.split_inclusive(|b| *b == b'\n').next() else { return };
        let Some(line) = line.strip_suffix(b"\n") else { return };
        let Some(record) = Record::of(line) else { return };
        self.first.get_or_insert((record.number, record.at));
        if record.is_kernels {
            self.reports.take(record.at, &unescaped(record.text));
        }
    }

    /// Lines are missing: what is half reported stays unknown.
    fn interrupted(&mut self) {
        self.reports.forget();
    }

    fn end(self) -> KernelLog {
        let (number, begins) = self.first.unwrap_or_default();
        let (kills, left_out) = self.reports.kills();
        KernelLog { kills, left_out, begins, overwritten: number > 0, ..KernelLog::default() }
    }
}

/// `PRIORITY,NUMBER,MICROSECONDS,FLAGS;TEXT`
struct Record<'r> {
    number: u64,
    at: Duration,
    is_kernels: bool,
    text: &'r [u8],
}

impl<'r> Record<'r> {
    fn of(line: &'r [u8]) -> Option<Self> {
        let end = line.iter().position(|b| *b == b';')?;
        let mut head = line[..end].split(|b| *b == b',');
        let mut number = || text::decimal(head.next()?);
        let (priority, number, at) = (number()?, number()?, number()?);
        // Three bits of it are the level, the others who wrote it: 0 is the kernel.
        let is_kernels = priority >> 3 == 0;
        Some(Self { number, at: Duration::from_micros(at), is_kernels, text: &line[end + 1..] })
    }
}

/// A text whose `\xHH` are bytes again.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let byte = rest.strip_prefix(b"\\x").and_then(|hex| text::hex(hex.get(..2)?));
        match byte.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[4..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}
