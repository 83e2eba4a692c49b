//! How long a target waits for the kernel when it maps and unmaps memory, with nobody
//! looking and while somebody does: `tests/targets/stalls.c` counts.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use memgap_reader::{Collector, Depth, Reader, Roots, WalkPolicy};

/// What looks at a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    None,
    /// A collection: finds the runtimes and reads the counters in their heap statistics.
    Runtimes,
    /// A collection's walk, of `smaps`.
    Walk,
    /// The exporter's first collection, at its defaults: what is not too large is walked.
    Collection,
    /// `--deep`.
    Deep,
    /// One that has the kernel walk all mappings at once, `smaps_rollup`.
    Rollup,
}

impl Look {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Runtimes, Self::Collection, Self::Walk, Self::Deep, Self::Rollup];

    fn take(self, reader: &Reader, pid: u32) -> Result<()> {
        match self {
            Self::None => thread::sleep(Duration::from_millis(1)),
            Self::Runtimes => drop(reader.process(pid, Depth::Runtimes)?),
            Self::Walk => drop(reader.process(pid, Depth::Walk)?),
            Self::Collection => {
                let reader = Reader::open(Roots::default())?;
                drop(Collector::new(reader, WalkPolicy::default()).collect()?);
            }
            Self::Deep => drop(reader.process(pid, Depth::Pages)?),
            Self::Rollup => drop(fs::read(format!("/proc/{pid}/smaps_rollup"))?),
        }
        Ok(())
    }
}

/// What the target's calls of mmap and munmap took during the looks of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Looks that were taken meanwhile.
    pub looks: u64,
    /// Calls.
    pub calls: u64,
    /// All of them together.
    pub time: Duration,
    /// Calls that slept, as who waits for a lock does.
    pub blocked: u64,
    /// All of those together, without the time for which a processor was waited for.
    pub blocked_time: Duration,
    /// Those that took more than a millisecond.
    pub blocked_long: u64,
    /// The longest of them.
    pub longest_blocked: Duration,
    /// What one of 10,000 calls exceeds, without the time for which a processor was waited for.
    pub p9999: Duration,
}

impl Tally {
    /// What a call that slept took on average, in microseconds.
    pub fn mean_blocked(&self) -> f64 {
        self.blocked_time.as_secs_f64() * 1e6 / self.blocked.max(1) as f64
    }
}

/// The notes of one target.
#[derive(Debug)]
pub struct Stalls {
    path: PathBuf,
    notes: File,
}

/// Words of a tally in the notes, which begin with the number of the one that counts.
const WORDS: usize = 6;
/// Behind them, calls by how long they took.
const BINS: usize = 256;
/// Where there is no tally.
const NOWHERE: u64 = u64::MAX;

impl Stalls {
    /// What names the file in the target's environment.
    pub const VARIABLE: &str = "STALLS";

    /// Makes the file of the notes, which goes with the value.
    pub fn new(path: &Path) -> Result<Self> {
        let mut options = File::options();
        let notes = options.read(true).write(true).create_new(true).open(path);
        let notes = notes.with_context(|| format!("failed to create {}", path.display()))?;
        let stalls = Self { path: path.to_owned(), notes };
        stalls.count_in(NOWHERE)?;
        Ok(stalls)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the target in turns: a slice of time with each kind, so that all see
    /// the same machine. Between two looks of a kind is no more time than the first took:
    /// a scheduler may take the processor from one who never rests. Calls are added to
    /// those of the last time.
    pub fn during<const N: usize>(
        &self,
        pid: u32,
        looks: [Look; N],
        rounds: u32,
        slice: Duration,
    ) -> Result<[Tally; N]> {
        let reader = Reader::open(Roots::default())?;
        // The variables of its runtimes are searched once for each file.
        reader.process(pid, Depth::Runtimes)?;
        let mut taken = [0; N];
        for _ in 0..rounds {
            for (at, look) in looks.iter().enumerate() {
                self.count_in(at as u64)?;
                let start = Instant::now();
                while start.elapsed() < slice {
                    let begun = Instant::now();
                    look.take(&reader, pid)?;
                    taken[at] += 1;
                    thread::sleep(begun.elapsed());
                }
            }
        }
        self.count_in(NOWHERE)?;
        let mut tallies = [Tally::default(); N];
        for (at, tally) in tallies.iter_mut().enumerate() {
            *tally = Tally { looks: taken[at], ..self.tally(at)? };
            ensure!(tally.calls > 0, "the target made no call during {:?}", looks[at]);
        }
        Ok(tallies)
    }

    fn count_in(&self, tally: u64) -> Result<()> {
        Ok(self.notes.write_all_at(&tally.to_ne_bytes(), 0)?)
    }

    fn tally(&self, at: usize) -> Result<Tally> {
        let mut words = [[0; 8]; WORDS + BINS];
        let size = size_of_val(&words) as u64;
        self.notes.read_exact_at(words.as_flattened_mut(), 8 + at as u64 * size)?;
        let words = words.map(u64::from_ne_bytes);
        let (sums, bins) = words.split_at(WORDS);
        let [calls, time, blocked, blocked_time, blocked_long, longest] = *sums else {
            bail!("a tally has {WORDS} sums");
        };
        Ok(Tally {
            looks: 0,
            calls,
            time: Duration::from_nanos(time),
            blocked,
            blocked_time: Duration::from_nanos(blocked_time),
            blocked_long,
            longest_blocked: Duration::from_nanos(longest),
            p9999: Duration::from_nanos(exceeded(bins, calls / 10_000)),
        })
    }
}

/// What so many calls exceed, in ns, to an eighth: eight bins are for each power of 2.
fn exceeded(bins: &[u64], most: u64) -> u64 {
    let mut calls = 0;
    let holds = |(_, count): &(usize, &u64)| {
        calls += **count;
        calls > most
    };
    let bin = bins.iter().enumerate().rev().find(holds).map_or(0, |(bin, _)| bin);
    // Of the first bins those up to 8 ns are never filled.
    let power = (bin / 8 + 2).max(3);
    (8 + bin as u64 % 8) << (power - 3)
}

impl Drop for Stalls {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
