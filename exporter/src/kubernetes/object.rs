//! What is read of the API server's objects: of a pod who it is and who owns it, of others
//! who owns them. All else is passed over as it comes.

use std::fmt;
use std::io;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::message::{Annotated, MAX_PODS, is_kind, is_name, is_word};

/// Owners of an object that are looked at: one of them is its controller.
const MAX_OWNERS: usize = 64;

/// A pod, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The id that its cgroup has: of a static pod not the object's own.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who controls it.
    pub owner: Option<Owner>,
    /// The label by which a Deployment tells the pods of its ReplicaSets apart.
    pub template_hash: Option<String>,
    /// The endpoint that it names, once it has an address.
    pub endpoint: Option<Annotated>,
}

/// Who controls an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `apps/v1` and the like.
    pub api: String,
    /// `ReplicaSet` and the like.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its unique id.
    pub uid: String,
}

/// The pods of a node at one time.
#[derive(Debug, PartialEq, Eq)]
pub struct List {
    /// Those.
    pub pods: Vec<Listed>,
    /// How many there are besides: too many, or with names that are none.
    pub left_out: usize,
    /// From where on changes are watched.
    pub version: String,
}

/// What is said of a change.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A pod that is new or has changed, and the version after that.
    Pod(Listed, String),
    /// A pod that is gone.
    Gone(Listed, String),
    /// Nothing has changed until that version.
    Bookmark(String),
    /// What was to be continued is too long ago.
    TooOld,
    /// Nothing that can be continued after.
    Failed(u16),
}

/// Text that is no longer than any name; none of another.
#[derive(Debug, Default)]
struct Word(Option<String>);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: Word,
    #[serde(default)]
    namespace: Word,
    #[serde(default)]
    uid: Word,
    #[serde(default)]
    resource_version: Word,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    annotations: Option<Annotations>,
    #[serde(default)]
    owner_references: Owners,
}

#[derive(Debug, Deserialize)]
struct Labels {
    #[serde(rename = "pod-template-hash", default)]
    template_hash: Word,
}

#[derive(Debug, Deserialize)]
struct Annotations {
    /// Of the API server's image of a static pod: the id that the kubelet knows it by.
    #[serde(rename = "kubernetes.io/config.mirror", default)]
    mirror: Word,
    #[serde(rename = "memgap.io/endpoint", default)]
    endpoint: Option<Word>,
}

#[derive(Debug, Deserialize)]
struct Spec {
    #[serde(rename = "hostNetwork", default)]
    is_on_host: Option<bool>,
}

/// The address in the status of a pod.
#[derive(Debug, Default)]
struct Status(Option<IpAddr>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(default)]
    api_version: Word,
    #[serde(default)]
    kind: Word,
    #[serde(default)]
    name: Word,
    #[serde(default)]
    uid: Word,
    #[serde(default)]
    controller: Option<bool>,
}

/// The controller among the owners of an object.
#[derive(Debug, Default)]
struct Owners(Option<Owner>);

#[derive(Debug, Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Option<Spec>,
    #[serde(default)]
    status: Status,
    /// Of an error.
    #[serde(default)]
    code: Option<u16>,
}

#[derive(Deserialize)]
struct PodList {
    metadata: Metadata,
    items: Items,
}

struct Items {
    pods: Vec<Listed>,
    left_out: usize,
}

#[derive(Deserialize)]
struct Change {
    #[serde(rename = "type")]
    kind: Word,
    object: Object,
}

/// Reads a list as a stream.
pub fn list(text: impl io::Read) -> Result<List, String> {
    let list: PodList =
        serde_json::from_reader(text).map_err(|e| format!("no list of pods: {e}"))?;
    let version = version(list.metadata.resource_version)?;
    Ok(List { pods: list.items.pods, left_out: list.items.left_out, version })
}

/// Reads a line of a watch.
pub fn event(line: &[u8]) -> Result<Event, String> {
    let change: Change = serde_json::from_slice(line).map_err(|e| format!("no event: {e}"))?;
    let Change { kind, mut object } = change;
    let code = object.code;
    let kind = kind.0.unwrap_or_default();
    if kind == "ERROR" {
        return Ok(if code == Some(410) {
            Event::TooOld
        } else {
            Event::Failed(code.unwrap_or(0))
        });
    }
    let version = version(std::mem::take(&mut object.metadata.resource_version))?;
    let pod = || Listed::of(object).ok_or_else(|| "an event of no pod".to_owned());
    match kind.as_str() {
        "ADDED" | "MODIFIED" => Ok(Event::Pod(pod()?, version)),
        "DELETED" => Ok(Event::Gone(pod()?, version)),
        "BOOKMARK" => Ok(Event::Bookmark(version)),
        _ => Err("an event of unknown type".to_owned()),
    }
}

/// Reads an object: its unique id, and who controls it.
pub fn controller(text: impl io::Read) -> Result<(String, Option<Owner>), String> {
    let object: Object = serde_json::from_reader(text).map_err(|e| format!("no object: {e}"))?;
    let uid = object.metadata.uid.0.ok_or("an object without id")?;
    Ok((uid, object.metadata.owner_references.0))
}

/// A version, which is asked for by the path of a request.
fn version(word: Word) -> Result<String, String> {
    let plain = |text: &String| text.bytes().all(|b| b.is_ascii_alphanumeric());
    word.0.filter(|text| !text.is_empty() && plain(text)).ok_or_else(|| "it has no version".into())
}

impl Listed {
    fn of(object: Object) -> Option<Self> {
        let Object { metadata, spec, status, .. } = object;
        let (mirror, word) =
            metadata.annotations.map_or((None, None), |a| (a.mirror.0, a.endpoint));
        let is_on_host = spec.and_then(|spec| spec.is_on_host).unwrap_or(false);
        let endpoint = word.zip(status.0).map(|(word, address)| {
            let word = word.0.filter(|word| is_word(word)).unwrap_or_default();
            Annotated { word, address, is_on_host }
        });
        let named = |word: Word| word.0.filter(|text| is_name(text));
        Some(Self {
            uid: named(Word(mirror)).or_else(|| named(metadata.uid))?,
            namespace: named(metadata.namespace)?,
            name: named(metadata.name)?,
            owner: metadata.owner_references.0,
            template_hash: metadata.labels.and_then(|labels| named(labels.template_hash)),
            endpoint,
        })
    }
}

impl Reference {
    fn owner(self) -> Option<Owner> {
        let named = |word: Word| word.0.filter(|text| is_name(text));
        let api = self.api_version.0.unwrap_or_default();
        let kind = self.kind.0.filter(|kind| is_kind(kind))?;
        Some(Owner { api, kind, name: named(self.name)?, uid: named(self.uid)? })
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfWord;
        impl Visitor<'_> for OfWord {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                Ok(Word((text.len() <= 512).then(|| text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Word, E> {
                Ok(Word(None))
            }
        }
        deserializer.deserialize_any(OfWord)
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfStatus;
        impl<'de> Visitor<'de> for OfStatus {
            type Value = Status;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status")
            }
            /// That of a request is a word.
            fn visit_str<E>(self, _: &str) -> Result<Status, E> {
                Ok(Status(None))
            }
            fn visit_unit<E>(self) -> Result<Status, E> {
                Ok(Status(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Status, A::Error> {
                let mut address = None;
                while let Some(key) = map.next_key::<Word>()? {
                    if key.0.as_deref() == Some("podIP") {
                        address = map.next_value::<Word>()?.0.and_then(|text| text.parse().ok());
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Status(address))
            }
        }
        deserializer.deserialize_any(OfStatus)
    }
}

impl<'de> Deserialize<'de> for Owners {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfOwners;
        impl<'de> Visitor<'de> for OfOwners {
            type Value = Owners;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("references to owners")
            }
            fn visit_unit<E>(self) -> Result<Owners, E> {
                Ok(Owners(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Owners, A::Error> {
                let mut found = None;
                for _ in 0..MAX_OWNERS {
                    let Some(one) = seq.next_element::<Reference>()? else { break };
                    if one.controller == Some(true) {
                        found = one.owner();
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Owners(found))
            }
        }
        deserializer.deserialize_any(OfOwners)
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfItems;
        impl<'de> Visitor<'de> for OfItems {
            type Value = Items;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects")
            }
            fn visit_unit<E>(self) -> Result<Items, E> {
                Ok(Items { pods: Vec::new(), left_out: 0 })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items, A::Error> {
                let mut items = Items { pods: Vec::new(), left_out: 0 };
                while items.pods.len() < MAX_PODS {
                    let Some(one) = seq.next_element::<Object>()? else { return Ok(items) };
                    match Listed::of(one) {
                        Some(pod) => items.pods.push(pod),
                        None => items.left_out += 1,
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    items.left_out += 1;
                }
                Ok(items)
            }
        }
        deserializer.deserialize_any(OfItems)
    }
}

#[cfg(test)]
mod tests;
