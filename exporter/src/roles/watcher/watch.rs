//! Lists the pods of a node, watches what changes of them, and lists anew where that can not
//! be continued. What was told stays in force for as long as nothing else is known.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use memgap_reader::Limits;

use super::client::{Client, Failure, at_once, of};
use super::owners::{Found, Owners};
use memgap_exporter::kubernetes::message::{MAX_PODS, Message, Outcome, Pod, Request};
use memgap_exporter::kubernetes::object::{self, Event, Listed};

/// Time for a list.
const LISTED_IN: Duration = Duration::from_mins(1);

/// Bytes of a list, of which little is kept.
const MAX_LIST: u64 = 32 << 20;

/// How long the server is asked to watch. Others that began together end apart.
const WATCHED: Duration = Duration::from_mins(4);

/// Time without a word after which a watch is begun anew: a server tells that nothing has
/// changed about once a minute.
const QUIET: Duration = Duration::from_secs(150);

/// Bytes of a line: an object has at most 1.5 MiB, of which JSON may make more.
const MAX_EVENT: u64 = 4 << 20;

/// Bytes of a watch, which then is begun anew.
const MAX_WATCH: u64 = 1 << 30;

/// What a line may keep of memory for the next.
const KEPT: usize = 64 << 10;

/// Time before the next try; it doubles with each that fails.
const PAUSE: Duration = Duration::from_millis(500);

const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Metadata is all that is needed, where the server can give it alone.
const ACCEPT_LIST: &str =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io, application/json;q=0.5";

const ACCEPT_EVENTS: &str =
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json;q=0.5";

/// Addresses are no metadata.
const ACCEPT_ALL: &str = "application/json";

/// Pods that have ended have no memory.
const ALIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Who watches.
pub struct Watcher<W> {
    client: Client,
    tell: W,
    owners: Owners,
    pods: BTreeMap<String, Listed>,
    /// Pods whose owner could not be asked for.
    later: BTreeSet<String>,
    /// From where on changes are watched; none where all is to be listed.
    version: Option<String>,
    /// Whether what the server has at hand may be too old.
    is_fresh: bool,
    /// What is asked for of a list and of events: metadata, or all.
    accept: [&'static str; 2],
}

/// Why it ends.
#[derive(Debug)]
enum End {
    /// The server failed.
    Failed(Request, Failure),
    /// Nobody listens.
    Unheard(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Unheard(error)
    }
}

impl<W: Write> Watcher<W> {
    /// One that knows nothing yet. With endpoints all of a pod is asked for, of which they are
    /// kept.
    pub fn new(client: Client, tell: W, has_endpoints: bool) -> Self {
        Self {
            client,
            tell,
            owners: Owners::default(),
            pods: BTreeMap::new(),
            later: BTreeSet::new(),
            version: None,
            is_fresh: false,
            accept: if has_endpoints { [ACCEPT_ALL; 2] } else { [ACCEPT_LIST, ACCEPT_EVENTS] },
        }
    }

    /// Watches until nobody listens.
    pub fn run(mut self) -> io::Result<()> {
        let mut pause = PAUSE;
        let mut said = None;
        loop {
            let begun = Instant::now();
            match self.round() {
                Ok(()) => said = None,
                Err(End::Unheard(error)) => return Err(error),
                Err(End::Failed(request, failure)) => {
                    let outcome = failure.outcome;
                    if said.replace(outcome) != Some(outcome) {
                        let request = request.name();
                        tracing::warn!(request, "the API server does not help: {}", failure.why);
                    }
                    self.say(&Message::Asked { request, outcome })?;
                }
            }
            // A server that ends each watch at once is not asked without a pause.
            if begun.elapsed() >= LONGEST_PAUSE {
                pause = PAUSE;
            }
            thread::sleep(around(pause));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Lists where it has to, then watches until that ends.
    fn round(&mut self) -> Result<(), End> {
        let version = match self.version.clone() {
            Some(version) => version,
            None => self.list()?,
        };
        self.ask_again()?;
        self.version = Some(version);
        let ended = self.watch();
        if let Err(End::Failed(_, failure)) = &ended {
            use Outcome::{Gone, Malformed, Refused};
            // What can not be continued, or not be understood, is listed anew.
            if [Gone, Malformed, Refused].contains(&failure.outcome) {
                self.version = None;
            }
            self.is_fresh = failure.outcome == Gone;
        }
        ended
    }

    fn list(&mut self) -> Result<String, End> {
        let fail = |failure| End::Failed(Request::List, failure);
        // The server's own copy will do, unless it was too old.
        let version = if self.is_fresh { "" } else { "&resourceVersion=0" };
        let path = format!("{}{version}", self.path());
        let answer = self.client.get(&path, self.accept[0], &at_once(LISTED_IN, MAX_LIST));
        let list = answer
            .and_then(|answer| object::list(BufReader::new(answer)).map_err(Failure::malformed));
        let list = list.map_err(fail)?;
        self.is_fresh = false;
        self.later.clear();
        self.pods = list.pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
        self.owners.keep(self.pods.values());
        self.answered(Request::List)?;
        let listed: Vec<_> = self.pods.values().cloned().collect();
        let mut pods = Vec::with_capacity(listed.len());
        for pod in listed {
            pods.push(self.known(&pod)?);
        }
        self.say(&Message::All { pods, left_out: list.left_out })?;
        Ok(list.version)
    }

    fn watch(&mut self) -> Result<(), End> {
        let fail = |failure| End::Failed(Request::Watch, failure);
        let time = around(WATCHED);
        let version = self.version.clone().unwrap_or_default();
        let path = format!(
            "{}&watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={version}",
            self.path(),
            time.as_secs()
        );
        let limits =
            Limits { idle: QUIET, bytes: MAX_WATCH, ..at_once(time + Duration::from_secs(15), 0) };
        let answer = self.client.get(&path, self.accept[1], &limits).map_err(fail)?;
        self.answered(Request::Watch)?;
        let mut answer = BufReader::new(answer);
        let mut line = Vec::new();
        loop {
            line.clear();
            line.shrink_to(KEPT);
            let read = (&mut answer).take(MAX_EVENT).read_until(b'\n', &mut line);
            let length = read.map_err(|error| fail(Failure::unreachable(of(&error))))?;
            if length == 0 {
                return Ok(());
            }
            if !line.ends_with(b"\n") {
                let is_long = length as u64 == MAX_EVENT;
                let why = if is_long { "an event without end" } else { "it ends within an event" };
                let fault = if is_long { Failure::malformed } else { Failure::unreachable };
                return Err(fail(fault(why)));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let event = object::event(&line).map_err(|why| fail(Failure::malformed(why)))?;
            self.take(event)?;
        }
    }

    fn take(&mut self, event: Event) -> Result<(), End> {
        let fail =
            |outcome, why: String| Err(End::Failed(Request::Watch, Failure { outcome, why }));
        let version = match event {
            Event::Pod(pod, version) => {
                let is_new = !self.pods.contains_key(&pod.uid);
                if is_new && self.pods.len() >= MAX_PODS {
                    return fail(Outcome::Refused, format!("more than {MAX_PODS} pods"));
                }
                if self.pods.get(&pod.uid) == Some(&pod) {
                    self.say(&Message::Same)?;
                } else {
                    let known = self.known(&pod)?;
                    self.pods.insert(pod.uid.clone(), pod);
                    self.say(&Message::Pod(known))?;
                }
                version
            }
            Event::Gone(pod, version) => {
                self.pods.remove(&pod.uid);
                self.later.remove(&pod.uid);
                if self.pods.len().is_multiple_of(64) {
                    self.owners.keep(self.pods.values());
                }
                self.say(&Message::Gone(pod.uid))?;
                version
            }
            Event::Bookmark(version) => {
                self.say(&Message::Same)?;
                version
            }
            Event::TooOld => return fail(Outcome::Gone, "what changed is too long ago".to_owned()),
            Event::Failed(code) => return fail(Outcome::Refused, format!("it failed with {code}")),
        };
        self.version = Some(version);
        Ok(())
    }

    /// Asks for the owners that could not be asked for.
    fn ask_again(&mut self) -> Result<(), End> {
        for uid in std::mem::take(&mut self.later) {
            if let Some(pod) = self.pods.get(&uid).cloned() {
                let known = self.known(&pod)?;
                self.say(&Message::Pod(known))?;
            }
        }
        Ok(())
    }

    /// What is known of a pod.
    fn known(&mut self, pod: &Listed) -> io::Result<Pod> {
        let mut outcomes = Vec::new();
        let mut told = |asked: &Result<(), Failure>| {
            outcomes.push(asked.as_ref().map_or_else(|failure| failure.outcome, |()| Outcome::Ok));
        };
        let found = self.owners.of(pod, &mut self.client, &mut told);
        for outcome in outcomes {
            self.say(&Message::Asked { request: Request::Owner, outcome })?;
        }
        let workload = match found {
            Found::Workload(workload) => Some(workload),
            Found::Later => {
                self.later.insert(pod.uid.clone());
                None
            }
        };
        let [uid, namespace, name] = [&pod.uid, &pod.namespace, &pod.name].map(Clone::clone);
        let endpoint = pod.endpoint.clone();
        Ok(Pod { uid, namespace, name, workload, endpoint })
    }

    fn path(&self) -> String {
        let node = self.client.node();
        let selector = format!("spec.nodeName={node},{ALIVE}");
        let selector = selector.replace('=', "%3D").replace(',', "%2C").replace('!', "%21");
        format!("/api/v1/pods?fieldSelector={selector}")
    }

    fn answered(&mut self, request: Request) -> io::Result<()> {
        self.say(&Message::Asked { request, outcome: Outcome::Ok })
    }

    fn say(&mut self, message: &Message) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.tell.write_all(&line)
    }
}

/// A time of about that length.
fn around(time: Duration) -> Duration {
    let thousandths = RandomState::new().hash_one(0) % 1000;
    time.mul_f64(0.75 + thousandths as f64 / 2000.0)
}
