//! The command, asked about processes that do not answer.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memgap_tests::rights::{Need, left_out};
use memgap_tests::target::{Target, built};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long an answer may take: it waits for 5 s.
const PATIENCE: Duration = Duration::from_mins(1);

/// One that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Result<Running> {
    // A test that runs in the background may have inherited that Ctrl-C is ignored.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(built("memgap")?);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(Running(command.spawn()?))
}

/// Waits until it has ended.
fn end(running: &mut Running) -> Result<std::process::ExitStatus> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = running.0.try_wait()? {
            return Ok(status);
        }
        ensure!(Instant::now() < end, "it waits for ever");
        std::thread::yield_now();
    }
}

/// What it wrote. The process that reads keeps its ends open where nobody can end it, so
/// nobody waits for the end of what it wrote.
fn said(running: &mut Running) -> Result<(String, String)> {
    use std::io::Read;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let (out, err) = (running.0.stdout.take(), running.0.stderr.take());
    let (mut out, mut err) = (out.context("no output")?, err.context("no errors")?);
    fcntl_setfl(&out, fcntl_getfl(&out)? | OFlags::NONBLOCK)?;
    fcntl_setfl(&err, fcntl_getfl(&err)? | OFlags::NONBLOCK)?;
    let (mut answer, mut errors) = (Vec::new(), Vec::new());
    // What is there is read before it would wait.
    let _ = out.read_to_end(&mut answer);
    let _ = err.read_to_end(&mut errors);
    Ok((String::from_utf8(answer)?, String::from_utf8(errors)?))
}

#[test]
fn who_does_not_answer_is_shown_by_counters() -> Result<()> {
    if left_out(Need::Mounts) {
        return Ok(());
    }
    let mut hung = Target::start("hung")?;
    let holder = hung.holds("map")?.to_string();
    hung.step()?;
    let mut asked = start(&[&holder, "--json"])?;
    let status = end(&mut asked)?;
    let (answer, errors) = said(&mut asked)?;
    ensure!(status.code() == Some(3), "{status}: {errors}");
    ensure!(errors.contains("did not answer for 5 s"), "{errors}");
    let document: Value = serde_json::from_str(&answer).context(errors)?;
    ensure!(document["headline"]["rss"].as_u64() > Some(32 << 20), "{document:#}");
    let absent = document["absent"].to_string();
    ensure!(absent.contains("did not answer for 5 s"), "{absent}");

    // Who asked gets his shell back at once.
    let mut asked = start(&[&holder])?;
    let began = Instant::now();
    let pid = Pid::from_child(&asked.0);
    let children = format!("/proc/{0}/task/{0}/children", pid.as_raw_nonzero());
    while std::fs::read_to_string(&children)?.is_empty() {
        ensure!(began.elapsed() < PATIENCE, "nobody reads");
        std::thread::yield_now();
    }
    kill_process(pid, Signal::INT)?;
    let status = end(&mut asked)?;
    ensure!(status.signal() == Some(2) && began.elapsed() < Duration::from_secs(5), "{status}");
    Ok(())
}
