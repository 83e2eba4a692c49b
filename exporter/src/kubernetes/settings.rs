//! The flags.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Whether the API server is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(id = "kubernetes")]
pub struct Settings {
    /// Watch this node's pods at the API server of Kubernetes, and export the workload that
    /// each is of: memgap_pod_workload_info. It takes the right to list and watch pods;
    /// with that to get ReplicaSets and Jobs, Deployments and CronJobs are known for sure.
    #[arg(id = "kubernetes_watch", long = "kubernetes.watch", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value_t = false)]
    pub watch: bool,

    /// Name of this node, as the API server has it. In a pod it comes from the field
    /// spec.nodeName.
    #[arg(id = "kubernetes_node", long = "kubernetes.node", value_name = "NAME", value_parser = node)]
    pub node: Option<String>,

    /// Address of the API server: ADDRESS:PORT, no name. Without it the variables
    /// KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT say, which each pod has.
    #[arg(id = "kubernetes_server", long = "kubernetes.server", value_name = "ADDRESS")]
    pub server: Option<SocketAddr>,

    /// Folder with token and ca.crt. Both are read again for each request.
    #[arg(
        id = "kubernetes_credentials",
        long = "kubernetes.credentials",
        value_name = "DIR",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount"
    )]
    pub credentials: PathBuf,
}

/// In place of a list of pods: they are told by the watch.
pub const BY_WATCH: &str = "watch";

/// Characters of a node's name: it is a DNS subdomain.
const LONGEST: usize = 253;

/// What is asked, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: String,
    /// The API server.
    pub server: SocketAddr,
    /// Where token and authority are.
    pub credentials: PathBuf,
}

impl Settings {
    /// What is asked; none where nothing is.
    pub fn place(&self) -> anyhow::Result<Option<Place>> {
        if !self.watch {
            return Ok(None);
        }
        let node = self.node.clone();
        let node =
            node.ok_or_else(|| anyhow::anyhow!("--kubernetes.watch: give --kubernetes.node"))?;
        let server = self.server.map_or_else(of_pod, Ok)?;
        Ok(Some(Place { node, server, credentials: self.credentials.clone() }))
    }
}

/// The address that each pod is told.
fn of_pod() -> anyhow::Result<SocketAddr> {
    let value = |name| std::env::var(name).unwrap_or_default();
    let [host, port] = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"].map(value);
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok().zip(port.parse().ok());
    let why = "--kubernetes.watch: give --kubernetes.server: KUBERNETES_SERVICE_HOST and \
               KUBERNETES_SERVICE_PORT hold no address";
    address.map(SocketAddr::from).ok_or_else(|| anyhow::anyhow!(why))
}

fn node(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    let is_name = !text.is_empty() && text.len() <= LONGEST && text.bytes().all(plain);
    is_name.then(|| text.to_owned()).ok_or_else(|| "it is no name of a node".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_a_dns_name() {
        assert_eq!(node("worker-1.example.org").as_deref(), Ok("worker-1.example.org"));
        for bad in ["", "A", "a,status.phase=Failed", "a b", "a&b", &"a".repeat(254)] {
            assert!(node(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_asked_by_itself_and_a_node_has_to_be_named() {
        let settings = |watch, node: Option<&str>| Settings {
            watch,
            node: node.map(str::to_owned),
            server: Some(([127, 0, 0, 1], 6443).into()),
            credentials: PathBuf::new(),
        };
        assert_eq!(settings(false, None).place().expect("nothing is wrong"), None);
        assert!(settings(true, None).place().is_err());
        assert!(settings(true, Some("n")).place().expect("all is there").is_some());
    }
}
