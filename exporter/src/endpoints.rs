//! Endpoints of programs: each is asked by a thread of its own, on its own clock, and
//! a collection adds what was reported last. No collection and no scrape waits for one.

use std::thread;
use std::time::{Duration, Instant};

use memgap_ledger::sample::MachineSample;
use memgap_ledger::{Fact, Missing, MissingKind, Report};
use tokio::sync::watch;

use crate::sandbox;
use crate::telemetry::probes;

/// Endpoints that may be named: each has a thread.
pub const MAX_ENDPOINTS: usize = 64;

/// What an endpoint reported, and when.
type Answer = Option<(Instant, Fact<Report>)>;

/// Finds the pid of the process that an endpoint is of.
type Pick = Box<dyn Fn(&MachineSample) -> Option<u32> + Send>;

/// An endpoint that is asked again and again.
pub struct Endpoint {
    name: String,
    pick: Pick,
    last: watch::Receiver<Answer>,
}

impl Endpoint {
    /// Starts to ask. `name` stands in metrics and in the log.
    pub fn start(
        name: String,
        pick: Pick,
        ask: impl Fn() -> Fact<Report> + Send + 'static,
        interval: Duration,
    ) -> std::io::Result<Self> {
        let (tell, last) = watch::channel(None);
        let asked = name.clone();
        thread::Builder::new().name("endpoint".to_owned()).spawn(move || {
            let is_harmless = without_capabilities();
            run(&asked, || is_harmless.clone().and_then(|()| ask()), interval, &tell);
        })?;
        Ok(Self { name, pick, last })
    }

    /// Adds what was reported last to the process that it is of.
    pub fn add_to(&self, sample: &mut MachineSample) {
        let Some((at, reported)) = self.last.borrow().clone() else { return };
        let pid = (self.pick)(sample);
        let Some(process) = sample.processes.iter_mut().find(|p| Some(p.pid) == pid) else {
            probes::endpoint_unmatched(&self.name);
            return;
        };
        let age = at.elapsed();
        process.add_report(reported.map(|mut reported| {
            for (runtime, _) in &mut reported.statistics {
                runtime.age = age;
            }
            reported
        }));
    }
}

/// Asks until nobody listens any more. Questions start an interval apart.
fn run(
    name: &str,
    ask: impl Fn() -> Fact<Report>,
    interval: Duration,
    tell: &watch::Sender<Answer>,
) {
    let mut known = None;
    let mut next = Instant::now();
    while !tell.is_closed() {
        let reported = ask();
        let outcome = reported.as_ref().map_or_else(|lack| lack.kind.name(), |_| "ok");
        probes::endpoint_asked(name, outcome);
        if known.replace(outcome) != Some(outcome) {
            match &reported {
                Ok(reported) => tracing::info!(endpoint = name, "{} answers", reported.source),
                Err(lack) => tracing::warn!(endpoint = name, "{lack}"),
            }
        }
        tell.send_replace(Some((Instant::now(), reported)));
        next = (next + interval).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Who speaks with programs over the network has no right to look into others. The
/// kernel keeps capabilities by thread.
pub(crate) fn without_capabilities() -> Fact<()> {
    sandbox::give_up_capabilities().map_err(|error| {
        let why = format!(
            "endpoints are asked without capabilities only, and they can not be given up: {error}; allow capset"
        );
        Missing::new(MissingKind::Denied, why)
    })
}
