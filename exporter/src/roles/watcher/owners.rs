//! What a pod is of, by who controls it: the Deployment of a ReplicaSet, the CronJob of a
//! Job, else the controller itself.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::time::{Duration, Instant};

use super::client::{Client, Failure, at_once};
use memgap_exporter::kubernetes::message::{KnownBy, MAX_PODS, Outcome, Workload};
use memgap_exporter::kubernetes::object::{Listed, Owner, controller};

/// Time for one to be told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of one: a ReplicaSet holds the template of its pods.
const MAX_BYTES: u64 = 4 << 20;

/// Time until a right that was missing is tried again.
const AGAIN: Duration = Duration::from_mins(10);

const ACCEPT: &str =
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json;q=0.5";

/// Controllers of which it is known who controls them.
#[derive(Default)]
pub struct Owners {
    /// By unique id; none is controlled by nobody.
    known: BTreeMap<String, Option<Owner>>,
    /// Until when a kind is not asked for: the right is missing.
    forbidden: BTreeMap<&'static str, Instant>,
}

/// What is known of a pod.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// What it is of.
    Workload(Workload),
    /// It could not be asked now.
    Later,
}

impl Owners {
    /// What a pod is of. `told` gets what came of each request.
    pub fn of(
        &mut self,
        pod: &Listed,
        client: &mut Client,
        told: &mut dyn FnMut(&Result<(), Failure>),
    ) -> Found {
        let by = |kind: &str, name: &str, known_by| {
            Found::Workload(Workload { kind: kind.to_owned(), name: name.to_owned(), known_by })
        };
        let Some(owner) = &pod.owner else { return by("Pod", &pod.name, KnownBy::Owner) };
        let itself = || by(&owner.kind, &owner.name, KnownBy::Owner);
        let Some(plural) = plural(owner) else { return itself() };
        if let Some(above) = self.known.get(&owner.uid) {
            return above.as_ref().map_or_else(itself, |a| by(&a.kind, &a.name, KnownBy::Owner));
        }
        let is_forbidden = self.forbidden.get(plural).is_some_and(|until| *until > Instant::now());
        if !is_forbidden {
            let asked = ask(client, &pod.namespace, plural, owner);
            told(&asked.as_ref().map(|_| ()).map_err(Clone::clone));
            match asked {
                Ok(above) => {
                    let found = above
                        .as_ref()
                        .map_or_else(itself, |a| by(&a.kind, &a.name, KnownBy::Owner));
                    if self.known.len() < MAX_PODS {
                        self.known.insert(owner.uid.clone(), above);
                    }
                    return found;
                }
                Err(failure) if failure.outcome == Outcome::Forbidden => {
                    self.forbidden.insert(plural, Instant::now() + AGAIN);
                }
                Err(failure) if failure.outcome == Outcome::NotFound => {}
                Err(_) => return Found::Later,
            }
        }
        match deployment(pod, owner) {
            Some(name) => by("Deployment", name, KnownBy::Name),
            None => itself(),
        }
    }

    /// Forgets those that no pod is of.
    pub fn keep<'p>(&mut self, pods: impl Iterator<Item = &'p Listed>) {
        let used: std::collections::BTreeSet<_> =
            pods.filter_map(|pod| Some(pod.owner.as_ref()?.uid.as_str())).collect();
        self.known.retain(|uid, _| used.contains(uid.as_str()));
    }
}

/// The plural of a kind that others control, as its path has it.
fn plural(owner: &Owner) -> Option<&'static str> {
    match (owner.api.as_str(), owner.kind.as_str()) {
        ("apps/v1", "ReplicaSet") => Some("replicasets"),
        ("batch/v1", "Job") => Some("jobs"),
        _ => None,
    }
}

/// The Deployment of a ReplicaSet by its name: a Deployment names them after itself and the
/// hash that it gives their pods as a label.
fn deployment<'o>(pod: &Listed, owner: &'o Owner) -> Option<&'o str> {
    let is_replica_set = plural(owner) == Some("replicasets");
    let hash = pod.template_hash.as_ref().filter(|hash| is_replica_set && !hash.is_empty())?;
    let name = owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
    (!name.is_empty()).then_some(name)
}

fn ask(
    client: &mut Client,
    namespace: &str,
    plural: &str,
    owner: &Owner,
) -> Result<Option<Owner>, Failure> {
    let path = format!("/apis/{}/namespaces/{namespace}/{plural}/{}", owner.api, owner.name);
    let answer = client.get(&path, ACCEPT, &at_once(PATIENCE, MAX_BYTES))?;
    let (uid, above) = controller(BufReader::new(answer)).map_err(Failure::malformed)?;
    // Another of the same name has come since.
    if uid != owner.uid {
        let why = "it is another of that name".to_owned();
        return Err(Failure { outcome: Outcome::NotFound, why });
    }
    Ok(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(kind: &str, name: &str, hash: Option<&str>) -> Listed {
        let owner = Owner {
            api: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: "u-2".to_owned(),
        };
        Listed {
            uid: "u-1".to_owned(),
            namespace: "shop".to_owned(),
            name: "web-5d-x".to_owned(),
            owner: Some(owner),
            template_hash: hash.map(str::to_owned),
            endpoint: None,
        }
    }

    #[test]
    fn a_deployment_is_known_by_the_name_of_its_replica_set_and_nothing_else_is() {
        let of = |kind, name, hash| {
            let pod = pod(kind, name, hash);
            deployment(&pod, pod.owner.as_ref().expect("one")).map(str::to_owned)
        };
        assert_eq!(of("ReplicaSet", "web-5d", Some("5d")).as_deref(), Some("web"));
        assert_eq!(of("ReplicaSet", "web-a-5d", Some("5d")).as_deref(), Some("web-a"));
        for (kind, name, hash) in [
            ("ReplicaSet", "web-5d", None),
            ("ReplicaSet", "web-5d", Some("5e")),
            ("ReplicaSet", "web5d", Some("5d")),
            ("ReplicaSet", "-5d", Some("5d")),
            ("ReplicaSet", "5d", Some("5d")),
            ("StatefulSet", "web-5d", Some("5d")),
        ] {
            assert_eq!(of(kind, name, hash), None, "{kind} {name}");
        }
    }
}
