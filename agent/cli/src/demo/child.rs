//! The demo's side of a program with known memory: start, step, end.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{self, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Stop;
use super::signals::Signals;
use super::target::Program;

/// The name of the hidden subcommand that runs a [`Program`].
pub const SUBCOMMAND: &str = "demo-target";

/// The longest that a step may take; the slowest takes about a second.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest line that a program may say.
const LINE: usize = 4096;

/// A running program with known memory. Dropping it kills it and waits.
pub struct Child<'a> {
    process: process::Child,
    input: ChildStdin,
    output: ChildStdout,
    received: Vec<u8>,
    signals: &'a Signals,
}

/// The figures that a program tells of itself, in bytes.
pub type Word = BTreeMap<String, i64>;

impl<'a> Child<'a> {
    /// Starts a program in the directory given and waits until it stands.
    /// `malloc` configures its jemalloc.
    pub fn start(
        program: Program,
        malloc: &str,
        directory: &Path,
        signals: &'a Signals,
    ) -> Result<Self, Stop> {
        let name = program.to_possible_value().map_or_else(String::new, |v| v.get_name().into());
        let cannot = |e: io::Error| Stop::Skip(format!("cannot start its program {name}: {e}"));
        let mut process = Command::new(std::env::current_exe().map_err(cannot)?)
            .args([SUBCOMMAND, &name])
            .env("_RJEM_MALLOC_CONF", malloc)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Stop::Skip(format!("cannot speak with its program {name}")));
        };
        let mut child = Self { process, input, output, received: Vec::new(), signals };
        child.done()?;
        Ok(child)
    }

    /// The process id. It stays this program's until the value is dropped.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Lets the program do its next step, and waits until it is done.
    pub fn step(&mut self) -> Result<Word, Stop> {
        self.proceed()?;
        self.done()
    }

    /// [`Child::step`] for a step that may well end the program: how it ended.
    pub fn step_or_end(&mut self) -> Result<Option<ExitStatus>, Stop> {
        self.proceed()?;
        match self.add_report()? {
            Some(_) => Ok(None),
            None => self.ended().map(Some),
        }
    }

    fn proceed(&mut self) -> Result<(), Stop> {
        writeln!(self.input, "next").map_err(|e| self.lost(&e.to_string()))
    }

    fn done(&mut self) -> Result<Word, Stop> {
        if let Some(word) = self.add_report()? {
            return Ok(word);
        }
        let status = self.ended()?;
        Err(self.lost(&match status.signal() {
            Some(signal) => format!("it was killed by signal {signal}"),
            None => format!("it ended with {status}"),
        }))
    }

    fn ended(&mut self) -> Result<ExitStatus, Stop> {
        self.process.wait().map_err(|e| self.lost(&e.to_string()))
    }

    /// The next line of the program; `None` when it ended.
    fn add_report(&mut self) -> Result<Option<Word>, Stop> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.received.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return self.word(&String::from_utf8_lossy(&line)).map(Some);
            }
            if self.received.len() > LINE || !self.wait(deadline)? {
                return Err(self.lost("it does not answer"));
            }
            let mut buffer = [0; LINE];
            match self.output.read(&mut buffer).map_err(|e| self.lost(&e.to_string()))? {
                0 => return Ok(None),
                n => self.received.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// Waits until the program says something; false when it is late.
    fn wait(&self, deadline: Instant) -> Result<bool, Stop> {
        loop {
            self.signals.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: 0 };
            let mut fds = [
                PollFd::new(&self.output, PollFlags::IN),
                PollFd::new(self.signals, PollFlags::IN),
            ];
            match poll(&mut fds, Some(&timeout)) {
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(self.lost(&e.to_string())),
                Ok(0) => return Ok(false),
                Ok(_) if !fds[0].revents().is_empty() => return Ok(true),
                Ok(_) => {}
            }
        }
    }

    fn word(&self, line: &str) -> Result<Word, Stop> {
        if let Some(error) = line.strip_prefix("error ") {
            return Err(self.lost(error.trim_end()));
        }
        let figures = line.split_whitespace().skip(1).map(|figure| {
            let (name, bytes) = figure.split_once('=')?;
            Some((name.to_owned(), bytes.parse().ok()?))
        });
        let word: Option<Word> = figures.collect();
        word.ok_or_else(|| self.lost(&format!("it said {line:?}")))
    }

    fn lost(&self, why: &str) -> Stop {
        Stop::Skip(format!("its program (pid {}) could not do its part: {why}", self.pid()))
    }
}

impl Drop for Child<'_> {
    fn drop(&mut self) {
        // An error means that it ended already; it is reaped either way.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
