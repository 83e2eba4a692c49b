//! The programs that the demo explains: each holds memory that is known to the
//! byte. They are this same binary, started with a hidden subcommand.
//!
//! A program does one step, says `ready` with its own figures as `name=bytes`,
//! and waits for a line before the next. It ends when its input ends, so it can
//! not outlive the demo.

use std::fs::{self, File};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use clap::ValueEnum;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::disable_transparent_huge_pages;

use super::pages::Pages;

/// A program with known memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// Allocates [`CHURN`] in large pieces and frees it.
    Churn,
    /// Allocates [`SPARSE`] in small pieces and frees two of three.
    Sparse,
    /// Writes [`WHOLE`], frees [`LAZY`] of it lazily, writes that again, grows.
    Rewritten,
    /// The same without writing again.
    LeftAlone,
    /// Maps [`BALLAST`] and never touches it.
    Ballast,
    /// Writes a file of [`FILE`] bytes in the working directory and reads it.
    File,
}

/// A mebibyte.
pub const MIB: usize = 1 << 20;
/// What the churning program frees.
pub const CHURN: usize = 200 * MIB;
/// What the sparse program has allocated at first.
pub const SPARSE: usize = 300 * MIB;
/// What the sparse program keeps.
pub const SPARSE_KEPT: usize = SPARSE / 3;
/// The limit of the cgroups: small, so that the demo is quick.
pub const LIMIT: usize = 256 * MIB;
/// What the lazily freeing programs write: 95 % of the limit.
pub const WHOLE: usize = 243 * MIB;
/// What they free lazily: so much that 60 % of the limit remain.
pub const LAZY: usize = 90 * MIB;
/// What they grow by in the end: 12 % of the limit, which fits on top of 60 %
/// and not on top of 95 %.
pub const GROWTH: usize = 31 * MIB;
/// What the ballast program maps.
pub const BALLAST: usize = 1 << 30;
/// The size of the file.
pub const FILE: usize = 128 * MIB;

/// Runs a program until its last step is done or its input ends.
pub fn run(program: Program) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // So that a page that is written is one page of memory on every machine.
    disable_transparent_huge_pages(true)?;
    // Should the machine run short, the demo goes first; raising needs no right.
    fs::write("/proc/self/oom_score_adj", "1000")?;
    let mut talk = Talk { input: io::stdin().lock(), output: io::stdout().lock() };
    talk.ready(&[])?;
    let done = match program {
        Program::Churn => churn(&mut talk),
        Program::Sparse => sparse(&mut talk),
        Program::Rewritten => lazy(&mut talk, true),
        Program::LeftAlone => lazy(&mut talk, false),
        Program::Ballast => ballast(&mut talk),
        Program::File => file(&mut talk),
    };
    match done {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => talk.error(&error),
        _ => Ok(()),
    }
}

struct Talk<'a> {
    input: io::StdinLock<'a>,
    output: io::StdoutLock<'a>,
}

impl Talk<'_> {
    /// Reports the step done and waits for leave to go on.
    fn ready(&mut self, figures: &[(&str, usize)]) -> io::Result<()> {
        write!(self.output, "ready")?;
        for (name, bytes) in figures {
            write!(self.output, " {name}={bytes}")?;
        }
        writeln!(self.output)?;
        self.output.flush()?;
        match self.input.read_line(&mut String::new())? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn error(&mut self, error: &io::Error) -> io::Result<()> {
        writeln!(self.output, "error {error}")?;
        self.output.flush()
    }

    /// [`Talk::ready`] with the allocator's own word.
    fn ready_with_stats(&mut self) -> io::Result<()> {
        use tikv_jemalloc_ctl::{epoch, stats};
        let figures = epoch::advance().and_then(|_| {
            Ok([("allocated", stats::allocated::read()?), ("resident", stats::resident::read()?)])
        });
        self.ready(&figures.map_err(|e| io::Error::other(format!("jemalloc tells nothing: {e}")))?)
    }
}

fn churn(talk: &mut Talk<'_>) -> io::Result<()> {
    // So large that jemalloc's rounding leaves next to nothing untouched.
    const PIECE: usize = MIB - (16 << 10);
    let pieces: Vec<Vec<u8>> = (0..CHURN / PIECE).map(|_| vec![1; PIECE]).collect();
    talk.ready_with_stats()?;
    drop(pieces);
    purge()?;
    talk.ready_with_stats()
}

/// Gives all free pages back as jemalloc does after their time: lazily.
#[allow(unsafe_code, reason = "mallctl takes untyped values")]
fn purge() -> io::Result<()> {
    // SAFETY: this setting is a signed word, as mallctl(3) says.
    unsafe { tikv_jemalloc_ctl::raw::write(b"arena.0.dirty_decay_ms\0", 0isize) }
        .map_err(|e| io::Error::other(format!("jemalloc does not purge: {e}")))
}

fn sparse(talk: &mut Talk<'_>) -> io::Result<()> {
    const PIECE: usize = 1024;
    let mut pieces: Vec<Option<Box<[u8; PIECE]>>> =
        (0..SPARSE / PIECE).map(|_| Some(Box::new([1; PIECE]))).collect();
    talk.ready_with_stats()?;
    // A page holds four pieces, so that each keeps one at least.
    for (n, piece) in pieces.iter_mut().enumerate() {
        if n % 3 != 0 {
            *piece = None;
        }
    }
    talk.ready_with_stats()
}

fn lazy(talk: &mut Talk<'_>, again: bool) -> io::Result<()> {
    let mut pages = Pages::map(WHOLE + GROWTH)?;
    pages.write(0..WHOLE);
    pages.free_lazily(0..LAZY)?;
    if again {
        pages.write(0..LAZY);
    }
    talk.ready(&[])?;
    pages.write(WHOLE..WHOLE + GROWTH);
    talk.ready(&[])
}

fn ballast(talk: &mut Talk<'_>) -> io::Result<()> {
    let _pages = Pages::map(BALLAST)?;
    talk.ready(&[])
}

fn file(talk: &mut Talk<'_>) -> io::Result<()> {
    let name = format!(".memgap-demo-{}", std::process::id());
    let mut file = File::options().read(true).write(true).create_new(true).open(&name)?;
    // Gone from the directory at once, so that nothing stays whatever happens.
    fs::remove_file(&name)?;
    let mut piece = vec![1; MIB];
    for _ in 0..FILE / MIB {
        file.write_all(&piece)?;
    }
    // Read twice: that makes it active, which the working set counts.
    for _ in 0..2 {
        file.seek(SeekFrom::Start(0))?;
        for _ in 0..FILE / MIB {
            file.read_exact(&mut piece)?;
        }
    }
    talk.ready(&[])
}
