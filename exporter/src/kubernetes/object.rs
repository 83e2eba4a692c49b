//! What is read of the API server's objects: of a pod who it is and who owns it, of others
//! who owns them. All else is passed over as it comes.

use std::fmt;
use std::io;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::message::{MAX_PODS, is_kind, is_name};

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
}

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
    /// Of a status.
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
    let Change { kind, object: Object { mut metadata, code } } = change;
    let kind = kind.0.unwrap_or_default();
    if kind == "ERROR" {
        return Ok(if code == Some(410) {
            Event::TooOld
        } else {
            Event::Failed(code.unwrap_or(0))
        });
    }
    let version = version(std::mem::take(&mut metadata.resource_version))?;
    let pod = || Listed::of(metadata).ok_or_else(|| "an event of no pod".to_owned());
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
    fn of(metadata: Metadata) -> Option<Self> {
        let mirror = metadata.annotations.and_then(|annotations| annotations.mirror.0);
        let named = |word: Word| word.0.filter(|text| is_name(text));
        Some(Self {
            uid: named(Word(mirror)).or_else(|| named(metadata.uid))?,
            namespace: named(metadata.namespace)?,
            name: named(metadata.name)?,
            owner: metadata.owner_references.0,
            template_hash: metadata.labels.and_then(|labels| named(labels.template_hash)),
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
                    match Listed::of(one.metadata) {
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
mod tests {
    use super::*;

    fn pod(more: &str) -> String {
        format!(
            r#"{{"metadata":{{"name":"web-1","namespace":"shop","uid":"u-1",
            "resourceVersion":"7","managedFields":[{{"a":[1]}}]{more}}},"spec":{{"x":null}}}}"#
        )
    }

    #[test]
    fn a_list_is_pods_with_their_controllers() {
        let owners = r#","labels":{"pod-template-hash":"5d"},"ownerReferences":[
            {"apiVersion":"v1","kind":"Thing","name":"t","uid":"u-0"},
            {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d","uid":"u-2","controller":true}]"#;
        let mirror = r#","annotations":{"kubernetes.io/config.mirror":"abc"}"#;
        let nulls = r#","labels":null,"annotations":null,"ownerReferences":null"#;
        let text = format!(
            r#"{{"kind":"PodList","metadata":{{"resourceVersion":"9"}},"items":[{},{},{},{}]}}"#,
            pod(owners),
            pod(mirror),
            pod(nulls),
            r#"{"metadata":{"name":"a b","namespace":"shop","uid":"u"}}"#,
        );
        let list = list(text.as_bytes()).expect("a list");
        assert_eq!((list.version.as_str(), list.left_out, list.pods.len()), ("9", 1, 3));
        let [first, second, third] = &list.pods[..] else { unreachable!("three") };
        let owner = first.owner.as_ref().expect("one controls it");
        assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("ReplicaSet", "web-5d"));
        assert_eq!(first.template_hash.as_deref(), Some("5d"));
        assert_eq!((second.uid.as_str(), third.uid.as_str()), ("abc", "u-1"));
        assert_eq!((&third.owner, &third.template_hash), (&None, &None));
    }

    #[test]
    fn events_are_changes_ends_and_errors() {
        let of = |kind: &str, object: &str| {
            event(format!(r#"{{"type":"{kind}","object":{object}}}"#).as_bytes())
        };
        assert!(matches!(of("ADDED", &pod("")), Ok(Event::Pod(_, v)) if v == "7"));
        assert!(matches!(of("DELETED", &pod("")), Ok(Event::Gone(p, _)) if p.uid == "u-1"));
        let bookmark = r#"{"metadata":{"resourceVersion":"12"}}"#;
        assert_eq!(of("BOOKMARK", bookmark), Ok(Event::Bookmark("12".to_owned())));
        assert_eq!(of("ERROR", r#"{"kind":"Status","code":410}"#), Ok(Event::TooOld));
        assert_eq!(of("ERROR", r#"{"kind":"Status","code":500}"#), Ok(Event::Failed(500)));
        for bad in [r#"{"metadata":{}}"#, "{}", "[]", r#"{"metadata":{"resourceVersion":"a&b"}}"#] {
            of("BOOKMARK", bad).expect_err(bad);
        }
        of("WHAT", &pod("")).expect_err("no type");
    }

    #[test]
    fn what_is_longer_than_a_name_is_none() {
        let long = format!(
            r#","annotations":{{"kubernetes.io/config.mirror":"{}"}}"#,
            "x".repeat(1 << 16)
        );
        let found = event(format!(r#"{{"type":"ADDED","object":{}}}"#, pod(&long)).as_bytes());
        assert!(matches!(found, Ok(Event::Pod(pod, _)) if pod.uid == "u-1"));
    }
}
