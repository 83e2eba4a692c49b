//! Recordings: samples of a machine over time in one file, which explain anew what was there.
//!
//! A file is a head and blocks, one a sample. A block stands by itself (length, checksum,
//! compressed), so that what was written before a crash is read again. It tells what has changed
//! since the one before; each 60th tells everything. What is recorded are samples, not ledgers:
//! a later memgap makes better ones of them.

mod code;
mod redact;
mod sample;
mod state;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use memgap_ledger::sample::MachineSample;

use crate::capture::Names;
use crate::error::Error;
use state::State;

/// How every recording begins; the version follows, then what tells it from others.
const MAGIC: &[u8; 16] = b"memgap recording";
/// Blocks are read of this version and of those before. A field at the end of a structure needs
/// no new one.
const VERSION: u32 = 1;
const HEAD: usize = MAGIC.len() + 4 + 8;
/// Length and checksum of a block.
const FRAME: usize = 8;

/// Blocks from one that tells everything to the next: ten minutes of 10 s each.
const WHOLE_EACH: u32 = 60;

/// The longest block that is read, as it stands in the file, and as it says what it says.
const MOST_PACKED: u64 = 64 << 20;
const MOST_BLOCK: u64 = state::MOST as u64;

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: File,
    id: u64,
    written: u64,
    most: u64,
    state: State,
    blocks: u32,
    names: Option<Names>,
}

impl Recorder {
    /// Begins a recording; the file must not exist. It and the one that it is renamed to
    /// (`FILE.1`) when it is full take `most` bytes together; what is older is given up.
    /// `redact` replaces names as [`crate::capture`] does.
    pub fn create(path: &Path, most: u64, redact: bool) -> Result<Self, Error> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let file = begin(path, id)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            id,
            written: HEAD as u64,
            most,
            state: State::default(),
            blocks: 0,
            names: redact.then(Names::default),
        })
    }

    /// Adds a sample. When it returns, no end of this program can take it back.
    pub fn add(&mut self, at: SystemTime, mut sample: MachineSample) -> Result<(), Error> {
        if let Some(names) = &mut self.names {
            redact::sample(&mut sample, names);
        }
        let is_full = self.written >= self.most / 2;
        if is_full {
            let old = before(&self.path);
            std::fs::rename(&self.path, &old).map_err(|e| failed(&old, e))?;
            self.file = begin(&self.path, self.id)?;
            self.written = HEAD as u64;
        }
        let is_whole = is_full || self.blocks.is_multiple_of(WHOLE_EACH);
        self.blocks = if is_whole { 1 } else { self.blocks + 1 };
        let block = self.state.write(at, &sample, is_whole);
        if block.len() as u64 > MOST_BLOCK {
            return Err(wrong(&self.path, "the machine has more than a recording can hold"));
        }
        let framed = pack(&block).map_err(|e| failed(&self.path, e))?;
        self.file.write_all(&framed).map_err(|e| failed(&self.path, e))?;
        self.written += framed.len() as u64;
        Ok(())
    }

    /// Bytes of the file that is written now.
    pub fn written(&self) -> u64 {
        self.written
    }
}

/// Reads a recording, sample by sample.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    file: BufReader<File>,
    /// What follows: the newer file of two.
    next: Option<PathBuf>,
    state: State,
    damage: Option<String>,
}

impl Recording {
    /// Opens a recording, with what was written before it (`FILE.1`) where that is there.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (file, id) = open(path)?;
        let old = before(path);
        let (path, file, next) = match open(&old) {
            Ok((older, its)) if its == id => (old, older, Some(path.to_owned())),
            _ => (path.to_owned(), file, None),
        };
        Ok(Self { path, file, next, state: State::default(), damage: None })
    }

    /// Goes on to the next sample, and tells its time; none after the last one that can be
    /// read.
    pub fn advance(&mut self) -> Option<SystemTime> {
        loop {
            match unpack(&mut self.file) {
                Ok(Some(block)) => match self.state.read(&block) {
                    Some(at) => return Some(at),
                    None => self.spoilt("a block of it is not in the form of one"),
                },
                Ok(None) => {}
                Err(why) => self.spoilt(why),
            }
            let next = self.next.take()?;
            match open(&next) {
                Ok((file, _)) => (self.path, self.file) = (next, file),
                Err(error) => {
                    self.damage = Some(error.to_string());
                    return None;
                }
            }
        }
    }

    /// The sample at which it stands.
    pub fn sample(&self) -> Result<MachineSample, Error> {
        let why = "a sample of it is not in the form of one: make a new recording";
        self.state.sample().ok_or_else(|| wrong(&self.path, why))
    }

    /// What could not be read, and why.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    fn spoilt(&mut self, why: &str) {
        self.damage = Some(format!("{}: {why}; what stands before is whole", self.path.display()));
    }
}

/// The file that a full one is renamed to.
fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn begin(path: &Path, id: u64) -> Result<File, Error> {
    let options = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path);
    let mut file = options.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => wrong(path, "it is there already: name another file"),
        _ => failed(path, error),
    })?;
    let head = [&MAGIC[..], &VERSION.to_le_bytes(), &id.to_le_bytes()].concat();
    file.write_all(&head).map_err(|e| failed(path, e))?;
    Ok(file)
}

fn open(path: &Path) -> Result<(BufReader<File>, u64), Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(read)?);
    let mut head = Vec::new();
    (&mut file).take(HEAD as u64).read_to_end(&mut head).map_err(read)?;
    let foreign = || wrong(path, "it is no recording: `memgap record FILE` makes one");
    let rest = head.strip_prefix(MAGIC).ok_or_else(foreign)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(foreign)?;
    let id = rest.first_chunk::<8>().ok_or_else(foreign)?;
    let version = u32::from_le_bytes(*version);
    if version > VERSION {
        let why =
            format!("it is of version {version}, and up to {VERSION} is read: take a newer memgap");
        return Err(wrong(path, why));
    }
    Ok((file, u64::from_le_bytes(*id)))
}

fn pack(block: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(vec![0; FRAME], Compression::default());
    encoder.write_all(block)?;
    let mut framed = encoder.finish()?;
    let length = u32::try_from(framed.len() - FRAME).map_err(std::io::Error::other)?;
    let sum = checksum(length, &framed[FRAME..]);
    framed[..4].copy_from_slice(&length.to_le_bytes());
    framed[4..FRAME].copy_from_slice(&sum.to_le_bytes());
    Ok(framed)
}

/// The next block; none at the end of the file.
fn unpack(file: &mut impl Read) -> Result<Option<Vec<u8>>, &'static str> {
    const CUT: &str = "its last block was not written whole";
    const DAMAGED: &str = "a block of it is damaged";
    let mut frame = Vec::new();
    file.take(FRAME as u64).read_to_end(&mut frame).map_err(|_| "it can not be read further")?;
    if frame.is_empty() {
        return Ok(None);
    }
    let (length, sum) = frame.split_first_chunk::<4>().ok_or(CUT)?;
    let length = u32::from_le_bytes(*length);
    let sum = u32::from_le_bytes(*sum.first_chunk::<4>().ok_or(CUT)?);
    if u64::from(length) > MOST_PACKED {
        return Err(DAMAGED);
    }
    let mut packed = Vec::new();
    file.take(length.into()).read_to_end(&mut packed).map_err(|_| "it can not be read further")?;
    if packed.len() < length as usize {
        return Err(CUT);
    }
    if checksum(length, &packed) != sum {
        return Err(DAMAGED);
    }
    let mut block = Vec::new();
    let mut decoder = DeflateDecoder::new(&packed[..]).take(MOST_BLOCK + 1);
    decoder.read_to_end(&mut block).map_err(|_| DAMAGED)?;
    if block.len() as u64 > MOST_BLOCK { Err(DAMAGED) } else { Ok(Some(block)) }
}

fn checksum(length: u32, packed: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(&length.to_le_bytes());
    sum.update(packed);
    sum.sum()
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Write { path: path.to_owned(), source }
}

fn wrong(path: &Path, why: impl Into<String>) -> Error {
    Error::Recording { path: path.to_owned(), why: why.into() }
}
