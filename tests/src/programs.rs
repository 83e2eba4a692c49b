//! Go programs that nobody here wrote, started with nothing to do: each in a
//! directory of its own, and ended with it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::target;

/// A program that runs; it and its directory end with the value.
#[derive(Debug)]
pub struct Program {
    child: Child,
    dir: PathBuf,
    port: u16,
}

/// How long a program may take to start on a busy machine.
const START: Duration = Duration::from_mins(1);

impl Program {
    /// Debian's Prometheus.
    pub fn prometheus() -> Result<Self> {
        let (dir, port) = (directory("prometheus")?, free_port()?);
        std::fs::write(dir.join("prometheus.yml"), "global: {}\n")?;
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        Self::start(command, dir, port)?.listening()
    }

    /// Debian's Prometheus exporter of a machine's figures.
    pub fn node_exporter() -> Result<Self> {
        let (dir, port) = (directory("node-exporter")?, free_port()?);
        let mut command = Command::new("prometheus-node-exporter");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        Self::start(command, dir, port)?.listening()
    }

    /// Debian's Caddy, with its administration's endpoint only.
    pub fn caddy() -> Result<Self> {
        let (dir, port) = (directory("caddy")?, free_port()?);
        let config = format!("{{\"admin\": {{\"listen\": \"127.0.0.1:{port}\"}}}}");
        std::fs::write(dir.join("caddy.json"), config)?;
        let mut command = Command::new("caddy");
        command.args(["run", "--config", "caddy.json"]).env("HOME", &dir);
        Self::start(command, dir, port)?.listening()
    }

    /// Debian's containerd.
    pub fn containerd() -> Result<Self> {
        let dir = directory("containerd")?;
        let socket = dir.join("socket");
        std::fs::write(dir.join("config.toml"), "version = 2\n")?;
        let mut command = Command::new("containerd");
        command.args(["--config", "config.toml", "--root"]).arg(dir.join("root"));
        command.arg("--state").arg(dir.join("state")).arg("--address").arg(&socket);
        let program = Self::start(command, dir, 0)?;
        program.wait(|| UnixStream::connect(&socket).is_ok())?;
        Ok(program)
    }

    /// esbuild, as npm has it: it serves who writes to its input.
    pub fn esbuild() -> Result<Self> {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/node_modules");
        let path = modules.join("@esbuild/linux-x64/bin/esbuild");
        let version = Command::new(&path).arg("--version").output();
        let version = String::from_utf8(version.context("no esbuild: run tests/install")?.stdout)?;
        let mut command = Command::new(path);
        command.arg(format!("--service={}", version.trim()));
        let mut program = Self::start(command, directory("esbuild")?, 0)?;
        // Its greeting.
        program.child.stdout.as_mut().context("piped")?.read_exact(&mut [0; 4])?;
        Ok(program)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The port of 127.0.0.1 that it answers on.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn start(mut command: Command, dir: PathBuf, port: u16) -> Result<Self> {
        let log = File::create(dir.join("log"))?;
        keep_in_page_cache(command.get_program())?;
        command.current_dir(&dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("failed to start {command:?}: run tests/install"))?;
        Ok(Self { child, dir, port })
    }

    fn listening(self) -> Result<Self> {
        self.wait(|| TcpStream::connect(("127.0.0.1", self.port)).is_ok())?;
        Ok(self)
    }

    fn wait(&self, is_there: impl Fn() -> bool) -> Result<()> {
        let started = Instant::now();
        while !is_there() {
            if started.elapsed() > START {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("the program in {} does not become ready: {log}", self.dir.display());
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Reads the file of a program as a whole. A fault maps what of a file the page cache has
/// around it: of one that has just been read from disk the runtime's variables may be missing
/// in memory, and then nobody reads them.
fn keep_in_page_cache(program: &OsStr) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(program));
    let file = files.find(|file| file.is_file());
    let mut file =
        File::open(file.with_context(|| format!("no {}: run tests/install", program.display()))?)?;
    std::io::copy(&mut file, &mut std::io::sink())?;
    Ok(())
}

/// A fresh directory, on disk.
fn directory(name: &str) -> Result<PathBuf> {
    let thread = std::thread::current().id();
    let dir = target::directory()?.join(format!("{name}-{}-{thread:?}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
    Ok(dir)
}

/// A port that nothing listens on.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
