//! The process inside a measured cgroup: it does with its memory what it is
//! told, a command a line, and answers each when it is done. Nobody sleeps.

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::mm::Advice;

use crate::memory::{MIB, Region};

/// The answer to a command that was carried out.
pub const DONE: &str = "done";

/// Moves into the cgroup and starts over as a new program, so that all of its
/// memory is charged there: as the words say, or as the actor. Returns only on failure.
pub fn enter(group: &Path, words: &[&str]) -> Result<()> {
    let procs = group.join("cgroup.procs");
    fs::write(&procs, "0").with_context(|| format!("failed to enter {}", procs.display()))?;
    let mut program = match words {
        [] => Command::new(env::current_exe()?),
        [path, ..] => Command::new(path),
    };
    let rest = words.get(1..).unwrap_or(&["actor"]);
    Err(anyhow!(program.args(rest).exec()).context(format!("failed to start {program:?}")))
}

/// Obeys until the input ends.
pub fn obey() -> Result<()> {
    let mut actor = Actor::default();
    for line in io::stdin().lines() {
        let line = line?;
        match actor.act(&line) {
            Ok(()) => println!("{DONE}"),
            Err(error) => println!("{line}: {error:#}"),
        }
    }
    Ok(())
}

/// What the actor holds.
#[derive(Default)]
struct Actor {
    regions: HashMap<String, Region>,
    /// Kept open: a block device drops its cache on the last close.
    files: Vec<File>,
    pipes: Vec<(io::PipeReader, io::PipeWriter)>,
    sockets: Vec<(TcpListener, TcpStream)>,
}

impl Actor {
    /// Carries out one command. Amounts and bounds are in MiB.
    fn act(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words.as_slice() {
            ["anon", name, mib] => self.keep(name, Region::anonymous(mib.parse()?, false)?),
            ["huge", name, mib] => self.keep(name, Region::anonymous(mib.parse()?, true)?),
            ["shared", name, mib] => self.keep(name, Region::shared(mib.parse()?)?),
            ["map", name, path, mib] => {
                let file = File::open(path).with_context(|| format!("failed to open {path}"))?;
                self.keep(name, Region::file(&file, mib.parse()?)?);
                self.files.push(file);
            }
            ["read", path, mib] => self.read(path, mib.parse()?)?,
            ["fill", path, mib] => self.fill(path, mib.parse()?)?,
            ["flush", path] => File::open(path)?.sync_all()?,
            ["pipes", count] => self.pipes(count.parse()?)?,
            ["socket"] => self.socket()?,
            ["entries", path, count] => entries(path, count.parse()?)?,
            ["threads", count] => threads(count.parse()?),
            [verb, name, from, to] => {
                let part = from.parse()?..to.parse()?;
                let region = self.regions.get(name).ok_or_else(|| anyhow!("no region {name}"))?;
                match verb {
                    "write" => region.write(part)?,
                    "lock" => region.lock(part)?,
                    "free" => region.advise(part, Advice::LinuxFree)?,
                    "drop" => region.advise(part, Advice::LinuxDontNeed)?,
                    "pageout" => region.advise(part, Advice::LinuxPageOut)?,
                    _ => bail!("no such command"),
                }
            }
            _ => bail!("no such command"),
        }
        Ok(())
    }

    fn keep(&mut self, name: &str, region: Region) {
        self.regions.insert(name.to_owned(), region);
    }

    /// Brings the first bytes of a file into the page cache, clean.
    fn read(&mut self, path: &str, mib: usize) -> Result<()> {
        let mut file = File::open(path).with_context(|| format!("failed to open {path}"))?;
        let mut buffer = vec![0; MIB];
        for _ in 0..mib {
            file.read_exact(&mut buffer)?;
        }
        self.files.push(file);
        Ok(())
    }

    /// Writes the first bytes of a file: dirty page cache, or shmem on tmpfs.
    fn fill(&mut self, path: &str, mib: usize) -> Result<()> {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("failed to open {path}"))?;
        let buffer = vec![1; MIB];
        for _ in 0..mib {
            file.write_all(&buffer)?;
        }
        self.files.push(file);
        Ok(())
    }

    /// Full pipes: 64 KiB of kernel memory each.
    fn pipes(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let (reader, mut writer) = io::pipe()?;
            writer.write_all(&vec![1; 64 << 10])?;
            self.pipes.push((reader, writer));
        }
        Ok(())
    }

    /// A connection that nobody reads, as full as it gets.
    fn socket(&mut self) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nonblocking(true)?;
        while stream.write(&[1; 4096]).is_ok() {}
        self.sockets.push((listener, stream));
        Ok(())
    }
}

/// Empty files: directory entries and inodes, which are slab memory.
fn entries(path: &str, count: usize) -> Result<()> {
    ensure!(count <= 100_000, "too many entries");
    fs::create_dir_all(path)?;
    for i in 0..count {
        File::create(format!("{path}/{i}"))?;
    }
    Ok(())
}

/// Threads that have touched a little stack and wait for ever.
fn threads(count: usize) {
    for _ in 0..count {
        thread::spawn(|| {
            loop {
                thread::park();
            }
        });
    }
}
