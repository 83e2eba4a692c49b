//! The reader's side: what the process that watches has told, and since when.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::message::{MAX_LINE, MAX_PODS, Message, Outcome, Pod, Request};
use crate::telemetry::kubernetes;

/// Time before the process is started again.
const PAUSE: Duration = Duration::from_secs(5);

/// What was told, for who collects.
#[derive(Debug, Clone, Default)]
pub struct Told {
    state: Arc<Mutex<State>>,
    has_endpoints: bool,
}

/// What is known of pods, by the ids of their cgroups.
pub type Workloads = BTreeMap<String, Arc<Pod>>;

#[derive(Debug, Default)]
struct State {
    pods: Arc<Workloads>,
    /// When the API server last said something; none where it never has.
    heard: Option<Instant>,
}

impl Told {
    /// Listens to a process that `start` starts, which may tell what pods name, and starts it again when it ends.
    pub fn listen(
        start: impl Fn() -> io::Result<(Child, UnixStream)> + Send + 'static,
        has_endpoints: bool,
    ) -> io::Result<Self> {
        let told = Self { has_endpoints, ..Self::default() };
        let ours = told.clone();
        // The process ends with the thread that started it, which is this one.
        thread::Builder::new().name("kubernetes".to_owned()).spawn(move || {
            loop {
                match start() {
                    Ok((mut child, lines)) => {
                        ours.take_all(&mut BufReader::new(lines));
                        let _ = child.kill();
                        let _ = child.wait();
                        tracing::error!("the process that watches pods ended: it is restarted");
                    }
                    Err(error) => tracing::error!(%error, "can not start to watch pods"),
                }
                thread::sleep(PAUSE);
            }
        })?;
        Ok(told)
    }

    /// What is known now; records how old that is.
    pub fn now(&self) -> Arc<Workloads> {
        let state = self.state();
        kubernetes::known(state.pods.len(), state.heard.map(|heard| heard.elapsed()));
        Arc::clone(&state.pods)
    }

    /// Whether it is told what pods name.
    pub fn has_endpoints(&self) -> bool {
        self.has_endpoints
    }

    /// The pods that are known; none where nothing was told yet.
    pub fn pods(&self) -> Option<Arc<Workloads>> {
        let state = self.state();
        state.heard.map(|_| Arc::clone(&state.pods))
    }

    /// Takes lines until there are no more, or one is none.
    pub fn take_all(&self, lines: &mut impl BufRead) {
        let mut line = Vec::new();
        loop {
            line.clear();
            line.shrink_to(MAX_LINE / 64);
            let read = lines.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line);
            if !matches!(read, Ok(length) if length > 0) {
                return;
            }
            match serde_json::from_slice(&line) {
                Ok(message) => self.take(message),
                Err(error) => return tracing::error!(%error, "can not understand who watches pods"),
            }
        }
    }

    fn take(&self, message: Message) {
        let mut state = self.state();
        if !matches!(message, Message::Asked { .. }) {
            state.heard = Some(Instant::now());
        }
        match message {
            Message::All { pods, left_out } => {
                let sound = pods.into_iter().filter(Pod::is_sound).take(MAX_PODS);
                state.pods = Arc::new(sound.map(|pod| (pod.uid.clone(), pod.into())).collect());
                kubernetes::left_out(left_out);
            }
            Message::Pod(pod) => {
                let has_room = state.pods.len() < MAX_PODS || state.pods.contains_key(&pod.uid);
                if pod.is_sound() && has_room {
                    Arc::make_mut(&mut state.pods).insert(pod.uid.clone(), pod.into());
                }
            }
            Message::Gone(uid) => {
                Arc::make_mut(&mut state.pods).remove(&uid);
            }
            Message::Same => {}
            Message::Asked { request, outcome } => {
                if (request, outcome) == (Request::Watch, Outcome::Ok) {
                    state.heard = Some(Instant::now());
                }
                kubernetes::asked(request, outcome);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by who panics.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{KnownBy, Workload};
    use super::*;

    fn pod(n: usize) -> Pod {
        Pod {
            uid: format!("u-{n}"),
            namespace: "shop".to_owned(),
            name: format!("web-{n}"),
            workload: Some(Workload {
                kind: "Deployment".to_owned(),
                name: "web".to_owned(),
                known_by: KnownBy::Owner,
            }),
            endpoint: None,
        }
    }

    fn told(messages: &[Message]) -> Arc<Workloads> {
        let told = Told::default();
        let lines: Vec<_> =
            messages.iter().map(|m| serde_json::to_string(m).expect("JSON") + "\n").collect();
        told.take_all(&mut lines.concat().as_bytes());
        told.now()
    }

    #[test]
    fn pods_come_change_and_go() {
        let all = Message::All { pods: vec![pod(1), pod(2)], left_out: 0 };
        let changed = Pod { workload: None, ..pod(2) };
        let messages =
            [all, Message::Gone("u-1".into()), Message::Pod(changed), Message::Pod(pod(3))];
        let pods = told(&messages);
        let shown: Vec<_> =
            pods.iter().map(|(uid, p)| (uid.as_str(), p.workload.is_some())).collect();
        assert_eq!(shown, [("u-2", false), ("u-3", true)]);
        // All is all: who is not in it is gone.
        let last = Message::All { pods: vec![pod(4)], left_out: 0 };
        assert_eq!(told(&[&messages[..], &[last]].concat()).len(), 1);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for_and_nothing_that_is_unsound() {
        let many: Vec<_> = (0..MAX_PODS + 10).map(|n| Message::Pod(pod(n))).collect();
        assert_eq!(told(&many).len(), MAX_PODS);
        let bad = Pod { name: "a\nb".to_owned(), ..pod(1) };
        let all = Message::All { pods: vec![bad.clone()], left_out: 0 };
        assert!(told(&[Message::Pod(bad), all]).is_empty());
        // What comes after something that is no message is not taken.
        let told = Told::default();
        let line = serde_json::to_string(&Message::Pod(pod(1))).expect("JSON");
        told.take_all(&mut format!("{{}}\n{line}\n").as_bytes());
        assert!(told.now().is_empty());
    }
}
