//! The process that was started: it starts the reader and the server, restarts the one that
//! dies, and ends both. It reads nothing but the configuration, and tells both of it.

mod access;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use memgap_exporter::activation;
use memgap_exporter::args::Role;
use memgap_exporter::channel;
use memgap_exporter::config::{Changes, Configuration, Sources};
use memgap_exporter::log::Log;
use memgap_exporter::orders::{self, Sender};
use memgap_exporter::telemetry::reload::Reload;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use access::Access;

/// Time before a restart; it doubles with each, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);

const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A child that lived for so long is restarted as soon as the first time.
const SETTLED: Duration = Duration::from_mins(5);

/// Time for the server to finish its answers; it cuts them off itself before that.
const GRACE: Duration = Duration::from_secs(6);

/// Time for a killed process to be gone. One that waits in the kernel may stay.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time between two looks whether the reader is dead of which the kernel does not tell: as
/// long as one of its threads waits for a file system that does not answer, nobody can wait
/// for it.
const LOOK: Duration = Duration::from_secs(2);

/// Dead readers that are left behind at a time. With so many none is started.
const MAX_LEFT: usize = 4;

/// What a Rust program that panics ends with: not by its own decision.
const PANICKED: i32 = 101;

/// Keeps both running until a signal asks it to stop, or one of them gives up.
pub fn run(sources: Sources, running: Configuration, log: Log) -> anyhow::Result<ExitCode> {
    if running.args.systemd_socket {
        activation::check()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can not start the event loop")?;
    let settings = Settings { sources, running, reload: Reload::succeeded(), log };
    runtime.block_on(supervise(settings))
}

async fn supervise(mut settings: Settings) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("can not wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can not wait for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("can not wait for SIGHUP")?;
    let mut ended = signal(SignalKind::child()).context("can not wait for SIGCHLD")?;
    let (to_server, from_reader) = channel::pair().context("can not make a channel")?;
    let mut access = Access::start(settings.running.args.web_config.as_deref(), &to_server)?;
    let mut server = Supervised::start(Role::Server, from_reader, &settings)?;
    let mut reader = Supervised::start(Role::Reader, to_server, &settings)?;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let code = loop {
        let restart = [&server, &reader].into_iter().filter_map(|child| child.restart).min();
        tokio::select! {
            _ = terminate.recv() => break ExitCode::SUCCESS,
            _ = interrupt.recv() => break ExitCode::SUCCESS,
            _ = hangup.recv() => {
                settings.reload();
                for child in [&server, &reader] {
                    child.tell(&settings);
                }
            }
            _ = ended.recv() => {
                if let Some(code) = server.check()?.or(reader.check()?) {
                    break code;
                }
            }
            () = sleep_until(restart.unwrap_or_else(Instant::now)), if restart.is_some() => {
                if server.restart_if_due(&settings)? {
                    access.send();
                }
                reader.restart_if_due(&settings)?;
            }
            () = access.is_due() => access.send(),
            // The server opens no file that could keep it.
            _ = looks.tick() => reader.leave_if_dead(),
        }
    };
    reader.signal(Signal::KILL);
    server.signal(Signal::TERM);
    if timeout(GRACE, server.gone(&mut ended)).await.is_err() {
        server.signal(Signal::KILL);
    }
    let _ = timeout(PATIENCE, async {
        server.gone(&mut ended).await;
        reader.gone(&mut ended).await;
    })
    .await;
    Ok(code)
}

/// What the children are told.
struct Settings {
    sources: Sources,
    running: Configuration,
    reload: Reload,
    log: Log,
}

impl Settings {
    /// Reads the configuration anew. One that is wrong changes nothing.
    fn reload(&mut self) {
        let new = self.sources.load().and_then(|new| self.running.changed(new));
        match new {
            Ok((running, Changes { made, left })) => {
                (self.running, self.reload) = (running, Reload::succeeded());
                self.log.set_level(self.running.args.log_level);
                tracing::info!(changed = made.join(", "), "read the configuration again");
                if !left.is_empty() {
                    tracing::warn!(settings = left.join(", "), "others at the next start only");
                }
                for doubt in &self.running.doubts {
                    tracing::warn!("{doubt}");
                }
            }
            Err(faults) => {
                self.reload = self.reload.failed();
                tracing::error!("the configuration stays as it was: {faults}");
            }
        }
    }

    /// What a child is started with.
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments = self.running.arguments();
        arguments.push(format!("--reload={}", self.reload).into());
        arguments
    }
}

/// A child that is kept running.
struct Supervised {
    role: Role,
    orders: Sender,
    /// Its end of the channel, for the next of its kind too.
    channel: OwnedFd,
    child: Child,
    started: Instant,
    pause: Duration,
    /// When it is started again, while it is not running.
    restart: Option<Instant>,
    /// Those before it that are dead and not gone.
    left: Vec<Child>,
    /// Whether it was dead at the last look.
    looked_dead: bool,
}

impl Supervised {
    fn start(role: Role, channel: OwnedFd, settings: &Settings) -> anyhow::Result<Self> {
        let (child, orders) = start(role, &channel, settings)?;
        let started = Instant::now();
        Ok(Self {
            role,
            orders,
            channel,
            child,
            started,
            pause: PAUSE,
            restart: None,
            left: Vec::new(),
            looked_dead: false,
        })
    }

    /// Tells it of settings that have changed. One that is not running is started with them.
    fn tell(&self, settings: &Settings) {
        if self.restart.is_none()
            && let Err(error) = self.orders.send(&settings.arguments())
        {
            let name = self.role.name();
            tracing::error!(%error, "can not tell the {name} of the configuration");
        }
    }

    /// Notes whether it has died. One that gave up, for an argument that is wrong, would
    /// give up again: its exit status is returned.
    fn check(&mut self) -> anyhow::Result<Option<ExitCode>> {
        if self.restart.is_some() {
            return Ok(None);
        }
        let name = self.role.name();
        let Some(status) = self.child.try_wait().with_context(|| format!("the {name} is lost"))?
        else {
            return Ok(None);
        };
        if let Some(code) = decided(status) {
            return Ok(Some(ExitCode::from(code)));
        }
        self.plan_restart(&status.to_string());
        Ok(None)
    }

    /// Notes whether it is dead though it can not be waited for.
    fn leave_if_dead(&mut self) {
        self.left.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let is_there = self.restart.is_none() && matches!(self.child.try_wait(), Ok(None));
        let is_dead = is_there && is_dead(&self.child);
        // One that is about to be gone looks so for a moment.
        if is_dead && self.looked_dead {
            self.plan_restart("a thread of it still waits for a file system");
        }
        self.looked_dead = is_dead;
    }

    fn plan_restart(&mut self, why: &str) {
        if self.started.elapsed() >= SETTLED {
            self.pause = PAUSE;
        }
        let name = self.role.name();
        tracing::error!("the {name} died ({why}): it is restarted in {:?}", self.pause);
        self.restart = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Whether it was.
    fn restart_if_due(&mut self, settings: &Settings) -> anyhow::Result<bool> {
        if self.restart.is_none_or(|at| at > Instant::now()) {
            return Ok(false);
        }
        if self.left.len() >= MAX_LEFT {
            tracing::error!(
                "{MAX_LEFT} processes wait for file systems that do not answer, and can not be \
                 ended: no {} is started before one is gone",
                self.role.name(),
            );
            self.restart = Some(Instant::now() + LONGEST_PAUSE);
            return Ok(false);
        }
        let (child, orders) = start(self.role, &self.channel, settings)?;
        self.orders = orders;
        let mut last = std::mem::replace(&mut self.child, child);
        if matches!(last.try_wait(), Ok(None)) {
            self.left.push(last);
        }
        (self.started, self.restart) = (Instant::now(), None);
        Ok(true)
    }

    /// Sends a signal where it is running.
    fn signal(&mut self, signal: Signal) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Nobody else waits for it, so the pid is still its own.
            if let Err(error) = kill_process(Pid::from_child(&self.child), signal) {
                tracing::warn!(%error, "can not stop the {}", self.role.name());
            }
        }
    }

    /// Waits until it is not running.
    async fn gone(&mut self, ended: &mut Signals) {
        while matches!(self.child.try_wait(), Ok(None)) {
            ended.recv().await;
        }
    }
}

/// Whether a child has ended but for threads that can not (the state in proc_pid_stat(5)).
fn is_dead(child: &Child) -> bool {
    let stat = std::fs::read(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
    matches!(state, Some(b'Z' | b'X'))
}

/// The exit status that a child chose; none where it was killed or panicked.
fn decided(status: ExitStatus) -> Option<u8> {
    let code = status.code().filter(|code| *code != PANICKED)?;
    u8::try_from(code).ok()
}

/// Starts this program again in a role, with the settings as arguments, the channel as its
/// standard input, and as its standard output what it is told later.
fn start(role: Role, channel: &OwnedFd, settings: &Settings) -> anyhow::Result<(Child, Sender)> {
    let channel = channel.try_clone().context("can not share the channel")?;
    let (orders, receiver) = orders::pair().context("can not make sockets")?;
    let child = Command::new("/proc/self/exe")
        .arg0("memgap-exporter")
        .args(settings.arguments().iter().skip(1))
        .args(["--role", role.name()])
        // Sockets that are passed on are for the process that takes them.
        .env_remove(activation::PID)
        .stdin(Stdio::from(channel))
        .stdout(Stdio::from(receiver))
        // A terminal that is closed asks the first process alone.
        .process_group(0)
        .spawn()
        .with_context(|| format!("can not start the {} (/proc/self/exe)", role.name()))?;
    Ok((child, orders))
}
