//! Endpoints that pods name themselves: a thread asks for the list of pods, and each
//! endpoint that stands there is asked for as long as it does.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use memgap_ledger::Fact;
use memgap_ledger::sample::MachineSample;
use tokio::sync::watch;

use crate::endpoints::{Endpoint, MAX_ENDPOINTS, without_capabilities};
use crate::telemetry::probes;

/// The name of the list in metrics and in the log.
const NAME: &str = "pods";

/// What a pod names: whose memory it tells, as `--endpoint` names it, and where.
pub type Named = (String, String);

/// Begins to ask an endpoint.
type Start = Box<dyn Fn(&Named) -> std::io::Result<Endpoint> + Send>;

/// The endpoints that pods name.
pub struct Pods {
    listed: watch::Receiver<Vec<Named>>,
    running: BTreeMap<Named, Endpoint>,
    start: Start,
    /// How many may run.
    room: usize,
}

impl Pods {
    /// Asks for the list every `interval`. A list that does not come leaves the last one
    /// in force. `taken` endpoints were named by other means.
    pub fn watch(
        list: impl Fn() -> Fact<Vec<Fact<Named>>> + Send + 'static,
        start: Start,
        interval: Duration,
        taken: usize,
    ) -> std::io::Result<Self> {
        let (tell, listed) = watch::channel(Vec::new());
        thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            let is_harmless = without_capabilities();
            run(|| is_harmless.clone().and_then(|()| list()), interval, &tell);
        })?;
        let room = MAX_ENDPOINTS.saturating_sub(taken);
        Ok(Self { listed, running: BTreeMap::new(), start, room })
    }

    /// Adds what was reported last to the processes that it is of.
    pub fn add_to(&mut self, sample: &mut MachineSample) {
        if self.listed.has_changed().unwrap_or(false) {
            self.follow();
        }
        for endpoint in self.running.values() {
            endpoint.add_to(sample);
        }
    }

    /// Ends what is not listed any more, and begins what is new, as far as there is room.
    fn follow(&mut self) {
        let listed = self.listed.borrow_and_update().clone();
        self.running.retain(|named, _| listed.contains(named));
        for named in listed {
            if self.running.contains_key(&named) {
                continue;
            }
            if self.running.len() >= self.room {
                tracing::warn!(endpoint = named.0, "not asked: {MAX_ENDPOINTS} are at most");
                continue;
            }
            match (self.start)(&named) {
                Ok(endpoint) => {
                    self.running.insert(named, endpoint);
                }
                Err(error) => tracing::warn!(endpoint = named.0, "not asked: {error}"),
            }
        }
    }
}

/// Asks until nobody listens any more. Who can not be asked is said once.
fn run(
    list: impl Fn() -> Fact<Vec<Fact<Named>>>,
    interval: Duration,
    tell: &watch::Sender<Vec<Named>>,
) {
    let mut said = Vec::new();
    while !tell.is_closed() {
        let next = Instant::now() + interval;
        let listed = list();
        let outcome = listed.as_ref().map_or_else(|lack| lack.kind.name(), |_| "ok");
        probes::endpoint_asked(NAME, outcome);
        let mut lacks = Vec::new();
        match listed {
            Ok(pods) => {
                let mut named = Vec::new();
                for pod in pods {
                    match pod {
                        Ok(one) => named.push(one),
                        Err(lack) => lacks.push(lack.why),
                    }
                }
                named.sort_unstable();
                named.dedup();
                tell.send_if_modified(|old| {
                    let is_new = *old != named;
                    *old = named;
                    is_new
                });
            }
            Err(lack) => lacks.push(lack.why),
        }
        for why in lacks.iter().filter(|why| !said.contains(*why)) {
            tracing::warn!("{why}");
        }
        said = lacks;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use memgap_ledger::{Missing, MissingKind};

    use super::*;

    fn names(pods: &Pods) -> Vec<&str> {
        pods.running.keys().map(|(target, _)| target.as_str()).collect()
    }

    /// Endpoints that never answer, by the lists that are sent.
    fn watched(taken: usize) -> (mpsc::Sender<Fact<Vec<Fact<Named>>>>, Pods) {
        let (send, lists) = mpsc::channel();
        let lists = Mutex::new(lists);
        let next = move || {
            let lists = lists.lock().expect("one thread asks");
            lists.recv().unwrap_or_else(|_| Ok(Vec::new()))
        };
        let silent = || Err(Missing::absent("nobody listens"));
        let start = move |named: &Named| {
            let pick = Box::new(|_: &MachineSample| None);
            Endpoint::start(named.0.clone(), pick, silent, Duration::from_mins(1))
        };
        let pods = Pods::watch(next, Box::new(start), Duration::ZERO, taken).expect("a thread");
        (send, pods)
    }

    fn list<const N: usize>(targets: [&str; N]) -> Vec<Fact<Named>> {
        let url = "http://10.0.0.7:9090/metrics";
        targets.map(|target| Ok((target.to_owned(), url.to_owned()))).into()
    }

    fn after(pods: &mut Pods, is_so: impl Fn(&[&str]) -> bool) {
        let end = Instant::now() + Duration::from_mins(1);
        while !is_so(&names(pods)) {
            assert!(Instant::now() < end, "{:?}", names(pods));
            if pods.listed.has_changed().unwrap_or(false) {
                pods.follow();
            }
            thread::yield_now();
        }
    }

    #[test]
    fn pods_come_and_go_and_a_list_that_does_not_come_changes_nothing() {
        let (send, mut pods) = watched(0);
        let refused = Err(Missing::new(MissingKind::Refused, "the node's address"));
        let mut first = list(["pod/a/x", "pod/a/y"]);
        first.push(refused);
        send.send(Ok(first)).expect("it listens");
        after(&mut pods, |names| names == ["pod/a/x", "pod/a/y"]);
        send.send(Err(Missing::absent("nobody listens"))).expect("it listens");
        send.send(Ok(list(["pod/a/y", "pod/b/z"]))).expect("it listens");
        after(&mut pods, |names| names == ["pod/a/y", "pod/b/z"]);
    }

    #[test]
    fn no_more_are_asked_than_there_is_room_for() {
        let (send, mut pods) = watched(MAX_ENDPOINTS - 1);
        send.send(Ok(list(["pod/a/x", "pod/a/y"]))).expect("it listens");
        after(&mut pods, |names| names == ["pod/a/x"]);
    }
}
