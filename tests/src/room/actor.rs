//! A process in a cgroup that does with its memory what it is told: the actor of
//! `vm-guest`, which any machine can run.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cgroup::Cgroup;

/// How long a command may take, on an emulated machine that has much else to do.
const PATIENCE: Duration = Duration::from_mins(2);

/// It ends with the value.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

impl Actor {
    /// Starts `program` in a cgroup, which is charged for all of it.
    pub fn start(program: &Path, group: &Cgroup) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("actor")
            .arg(group.directory())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        let orders = child.stdin.take().context("no stdin")?;
        let output = BufReader::new(child.stdout.take().context("no stdout")?);
        let (send, answers) = mpsc::channel();
        // It ends with the actor, whose output ends then.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, orders, answers })
    }

    /// Has it carry out each line; fails where it does not.
    pub fn tell(&mut self, script: &str) -> Result<()> {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            ensure!(self.attempt(line)?, "the actor ended at {line:?}");
        }
        Ok(())
    }

    /// Has it carry out a line; whether it lived to say so.
    pub fn attempt(&mut self, line: &str) -> Result<bool> {
        if writeln!(self.orders, "{line}").is_err() {
            return Ok(false);
        }
        match self.answers.recv_timeout(PATIENCE) {
            Ok(answer) if answer == "done" => Ok(true),
            Ok(answer) => bail!("the actor said {answer:?} to {line:?}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(false),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("no answer to {line:?}"),
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
