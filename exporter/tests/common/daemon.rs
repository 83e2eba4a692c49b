//! The real binary, started on a free port and asked over HTTP.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use memgap_exporter::encode::Format;
use rustix::process::{Pid, Signal, kill_process};

use super::{Family, parse};

/// Longest wait for anything that the daemon should do.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Time between two looks whether it has ended, where it says nothing.
const LOOK: Duration = Duration::from_millis(20);

/// The binary that is tested.
pub const EXPORTER: &str = env!("CARGO_BIN_EXE_memgap-exporter");

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    log: Receiver<String>,
    pub address: String,
}

pub struct Response {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Daemon {
    /// Starts it and waits until it listens.
    pub fn start(args: &[&str]) -> Self {
        Self::start_by(&mut Command::new(EXPORTER), args)
    }

    /// Starts it by a command that ends in running the program it is given.
    pub fn start_by(command: &mut Command, args: &[&str]) -> Self {
        let mut child = command
            .args(["--web.listen-address", "127.0.0.1:0"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the exporter starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (send, log) = mpsc::channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut daemon = Self { child, log, address: String::new() };
        let line = daemon.wait_for_line("listening");
        // In text it is the last word, in JSON a string.
        let (_, address) = line.split_once("address").expect("an address");
        let around = |c: char| " =:\"".contains(c);
        let address = address.trim_start_matches(around).split(['"', ' ']).next();
        address.unwrap_or_default().clone_into(&mut daemon.address);
        daemon
    }

    /// Starts it and waits until its first collection is done.
    pub fn ready(args: &[&str]) -> Self {
        let daemon = Self::start(args);
        daemon.wait_for_line("ready");
        daemon
    }

    /// Waits for a line of its log that holds `text`.
    pub fn wait_for_line(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect("a line of the log in time");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The lines of its log that nobody has waited for.
    pub fn said(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Sends a request and reads the answer; the connection is closed after it.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> Response {
        Self::ask_over(self.connect(), method, path, headers)
    }

    /// The same over a connection that is open.
    pub fn ask_over(mut stream: TcpStream, method: &str, path: &str, headers: &str) -> Response {
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
            .expect("the request is taken");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer in time");
        Response::read(&answer)
    }

    pub fn get(&self, path: &str) -> Response {
        self.ask("GET", path, "")
    }

    /// Its processes: the one that was started, and those that it has started.
    pub fn pids(&self) -> Vec<u32> {
        let own = self.child.id();
        let path = format!("/proc/{own}/task/{own}/children");
        let children = std::fs::read_to_string(path).expect("it runs");
        let children = children.split_whitespace().map(|pid| pid.parse().expect("a pid"));
        std::iter::once(own).chain(children).collect()
    }

    /// The process of its that has a name.
    pub fn process(&self, name: &str) -> u32 {
        let comm = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm"));
        let is_it = |pid: &u32| comm(pid).is_ok_and(|comm| comm.trim_end() == name);
        self.pids().into_iter().find(is_it).unwrap_or_else(|| panic!("no process is called {name}"))
    }

    /// `status` of each of the reader's threads of that name.
    pub fn threads(&self, name: &str) -> Vec<String> {
        let reader = self.process("memgap-reader");
        let folder = std::fs::read_dir(format!("/proc/{reader}/task")).expect("it runs");
        let threads = folder.map(|thread| thread.expect("a thread").path().join("status"));
        let all = threads.filter_map(|path| std::fs::read_to_string(path).ok());
        let found: Vec<_> = all.filter(|s| s.starts_with(&format!("Name:\t{name}\n"))).collect();
        assert!(!found.is_empty(), "no thread is called {name}");
        found
    }

    /// Bytes and calls of `read` by one of its processes so far, as the kernel counts them in
    /// `/proc/PID/io`.
    pub fn read_so_far(pid: u32) -> (u64, u64) {
        let text = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("it runs");
        let of = |key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key)).expect("a figure");
            value.trim().parse::<u64>().expect("a number")
        };
        (of("rchar:"), of("syscr:"))
    }

    /// Its answers, one after the other, for as long as a test may wait.
    pub fn answers(&self) -> impl Iterator<Item = Vec<Family>> + '_ {
        let end = Instant::now() + PATIENCE;
        std::iter::from_fn(move || (Instant::now() < end).then(|| self.families()))
    }

    /// What it exports now. On a machine that is too busy to collect it says so for a
    /// while instead.
    pub fn families(&self) -> Vec<Family> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.get("/metrics");
            if answer.status == 200 {
                return parse(&answer.text(), Format::Text);
            }
            assert!(Instant::now() < end, "{}", answer.text());
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the exporter listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the exporter runs");
        let end = Instant::now() + PATIENCE;
        // Its log may be kept open by a process that nobody can end.
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("nobody else waits for it") {
                return status;
            }
            let _ = self.log.recv_timeout(LOOK);
        }
        panic!("it does not stop");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Response {
    pub fn read(answer: &[u8]) -> Self {
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let (status, headers) = head.split_once("\r\n").expect("headers");
        let status = status.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let headers = headers.lines().filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned())).collect();
        Self { status, headers, body: answer[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body, unpacked where it is compressed.
    pub fn text(&self) -> String {
        if self.header("content-encoding") == "gzip" {
            let mut text = String::new();
            GzDecoder::new(&*self.body).read_to_string(&mut text).expect("gzip");
            return text;
        }
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }
}
