//! The pods of a node, as the API server of Kubernetes lists them (`PodList` of core/v1),
//! and the endpoints that they name.

use std::io::{self, BufReader};
use std::net::IpAddr;

use memgap_kernel::text;
use memgap_ledger::{Fact, Missing, MissingKind};
use serde::Deserialize;

use super::http::{self, Endpoint, Limits, malformed};

/// The annotation: `PORT` or `PORT/path`, asked at the pod's own address.
pub const ANNOTATION: &str = "memgap.io/endpoint";

/// Characters of a pod's name that are shown.
const SHOWN: usize = 253;

/// An endpoint that a pod names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodEndpoint {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// Its own address, with port and path as it says.
    pub endpoint: Endpoint,
}

#[derive(Deserialize)]
struct PodList {
    #[serde(default)]
    items: Option<Vec<Pod>>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    spec: Option<Spec>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Metadata {
    namespace: String,
    name: String,
    #[serde(default)]
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "memgap.io/endpoint")]
    endpoint: Option<String>,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "hostNetwork", default)]
    host_network: bool,
}

#[derive(Deserialize)]
struct Status {
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
}

/// Asks for the list, and gives what its pods name; an error for what one of them may
/// not name.
pub fn read(list: &Endpoint, limits: &Limits) -> Fact<Vec<Fact<PodEndpoint>>> {
    http::get(list, limits, |response| parse(BufReader::new(response.body)))
}

/// Reads the list as a stream: of each pod nothing is kept but what counts.
pub fn parse(text: impl io::Read) -> io::Result<Vec<Fact<PodEndpoint>>> {
    let list: PodList = serde_json::from_reader(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Io => error.into(),
        _ => malformed(format!("it is no list of pods: {error}")),
    })?;
    let items = list.items.ok_or_else(|| malformed("it is no list of pods: it has no items"))?;
    Ok(items.into_iter().filter_map(named).collect())
}

/// What a pod names, once it has an address.
fn named(pod: Pod) -> Option<Fact<PodEndpoint>> {
    let word = pod.metadata.annotations?.endpoint?;
    let address = pod.status?.pod_ip?.parse().ok()?;
    let [namespace, name] = [&pod.metadata.namespace, &pod.metadata.name]
        .map(|name| text::printable(name.as_bytes(), SHOWN));
    let is_on_host = pod.spec.is_some_and(|spec| spec.host_network);
    Some(PodEndpoint::of(&namespace, &name, &word, address, is_on_host))
}

impl PodEndpoint {
    /// What a pod names by its annotation, at its address, which may be the node's.
    pub fn of(
        namespace: &str,
        name: &str,
        word: &str,
        address: IpAddr,
        is_on_host: bool,
    ) -> Fact<Self> {
        match of_pod(word, address, is_on_host) {
            Ok(endpoint) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), endpoint })
            }
            Err(why) => {
                let why =
                    format!("pod {namespace}/{name} names an endpoint by {ANNOTATION}: {why}");
                Err(Missing::new(MissingKind::Refused, why))
            }
        }
    }
}

fn of_pod(word: &str, address: IpAddr, is_on_host: bool) -> Result<Endpoint, String> {
    if is_on_host || address.to_canonical().is_loopback() {
        return Err("its address is not its own but the node's".to_owned());
    }
    let (port, path) = word.split_once('/').unwrap_or((word, "metrics"));
    let port: u16 = port.parse().map_err(|_| "give PORT or PORT/path".to_owned())?;
    let place = std::net::SocketAddr::new(address, port);
    format!("http://{place}/{path}").parse().map_err(|error: crate::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, word: &str, rest: &str) -> String {
        format!(
            r#"{{"metadata":{{"namespace":"shop","name":"{name}","managedFields":[{{}}],
            "annotations":{{"a":"b","{ANNOTATION}":"{word}"}}}},{rest}}}"#
        )
    }

    fn list(pods: &[String]) -> Vec<Result<String, String>> {
        let text = format!(r#"{{"kind":"PodList","items":[{}]}}"#, pods.join(","));
        let found = parse(text.as_bytes()).expect("a list");
        let shown = |one: Fact<PodEndpoint>| match one {
            Ok(one) => Ok(format!("{}/{} {}", one.namespace, one.name, one.endpoint)),
            Err(lack) => Err(lack.why.to_string()),
        };
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn pods_name_ports_and_paths_at_their_own_address() {
        let at = r#""status":{"podIP":"10.0.0.7"}"#;
        let six = r#""spec":{},"status":{"podIP":"fd00::7"}"#;
        let pods = [pod("a", "9090", at), pod("b", "6060/debug/vars", six)];
        let shown =
            ["shop/a http://10.0.0.7:9090/metrics", "shop/b http://[fd00::7]:6060/debug/vars"];
        assert_eq!(list(&pods), shown.map(|s| Ok(s.to_owned())));
    }

    #[test]
    fn pods_without_address_or_annotation_name_nothing() {
        let silent =
            r#"{"metadata":{"namespace":"shop","name":"c"},"status":{"podIP":"10.0.0.8"}}"#;
        let nulls =
            r#"{"metadata":{"namespace":"shop","name":"d","annotations":null},"spec":null}"#;
        let pods = [
            pod("a", "9090", r#""status":{}"#),
            pod("b", "9090", r#""status":{"podIP":""}"#),
            silent.to_owned(),
            nulls.to_owned(),
        ];
        assert_eq!(list(&pods), []);
    }

    #[test]
    fn what_is_not_the_pods_own_is_refused() {
        for (word, rest, why) in [
            ("9090", r#""spec":{"hostNetwork":true},"status":{"podIP":"10.0.0.1"}"#, "the node's"),
            ("9090", r#""status":{"podIP":"127.0.0.1"}"#, "the node's"),
            ("9090", r#""status":{"podIP":"::ffff:127.0.0.1"}"#, "the node's"),
            ("80", r#""status":{"podIP":"169.254.169.254"}"#, "link-local"),
            ("0", r#""status":{"podIP":"10.0.0.7"}"#, "address and port"),
            ("65536", r#""status":{"podIP":"10.0.0.7"}"#, "give PORT"),
            ("10.0.0.8:80", r#""status":{"podIP":"10.0.0.7"}"#, "give PORT"),
            ("80/ x", r#""status":{"podIP":"10.0.0.7"}"#, "visible ASCII"),
        ] {
            let found = list(&[pod("a", word, rest)]);
            let [Err(said)] = &found[..] else { panic!("{word}: {found:?}") };
            assert!(said.contains(why) && said.contains("shop/a"), "{word}: {said}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["", "{}", "[]", r#"{"items":[{}]}"#, r#"{"items":[]"#] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
