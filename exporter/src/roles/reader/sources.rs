//! What programs and pods tell of themselves, as the settings name them.

use std::time::Duration;

use anyhow::Context;
use memgap_exporter::args::Args;
use memgap_exporter::endpoints::{Endpoint, MAX_ENDPOINTS};
use memgap_exporter::kubernetes::message::{Annotated, Pod};
use memgap_exporter::kubernetes::settings::BY_WATCH;
use memgap_exporter::kubernetes::told::Told;
use memgap_exporter::pods::{Named, Pods};
use memgap_ledger::sample::MachineSample;
use memgap_ledger::{Fact, Missing};
use memgap_reader::{PodEndpoint, Target};

/// What is asked besides the kernel.
pub struct Sources {
    named: Vec<Endpoint>,
    pods: Option<Pods>,
}

impl Sources {
    /// Starts to ask what the settings name, and what pods do where those say so.
    pub fn start(args: &Args, told: Option<&Told>) -> anyhow::Result<Self> {
        let named = &args.endpoints;
        anyhow::ensure!(
            named.len() <= MAX_ENDPOINTS,
            "--endpoint: at most {MAX_ENDPOINTS} are asked"
        );
        let start = |(target, url): &(String, String)| {
            let (of, url) =
                endpoint(target, url).with_context(|| format!("--endpoint {target}={url}"))?;
            ask(target.clone(), of, url, args.interval)
                .context("can not start the thread of an endpoint")
        };
        Ok(Self {
            named: named.iter().map(start).collect::<anyhow::Result<_>>()?,
            pods: args.pods.as_ref().map(|url| pods(url, args, told)).transpose()?,
        })
    }

    /// Whether nobody is asked.
    pub fn are_none(&self) -> bool {
        self.named.is_empty() && self.pods.is_none()
    }

    /// Adds what was told last to the processes of a sample.
    pub fn add_to(&mut self, sample: &mut MachineSample) {
        for endpoint in &self.named {
            endpoint.add_to(sample);
        }
        if let Some(pods) = &mut self.pods {
            pods.add_to(sample);
        }
    }
}

/// What is wrong with the value of a setting that names what is asked.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    let checked = match name {
        "endpoint" => {
            let (target, url) = value.split_once('=').unwrap_or((value, ""));
            endpoint(target, url).map(|_| ())
        }
        "endpoint.pods" if value == BY_WATCH => Ok(()),
        "endpoint.pods" => list(value).map(|_| ()),
        _ => Ok(()),
    };
    checked.map_err(|error| format!("{error:#}"))
}

fn endpoint(target: &str, url: &str) -> anyhow::Result<(Target, memgap_reader::Endpoint)> {
    let of: Target = target.parse()?;
    let is_process = !matches!(of, Target::Own | Target::Host);
    anyhow::ensure!(is_process, "name the process that it is of");
    Ok((of, url.parse()?))
}

fn list(url: &str) -> anyhow::Result<memgap_reader::Endpoint> {
    let list: memgap_reader::Endpoint = url.parse()?;
    anyhow::ensure!(
        list.is_local(),
        "name a proxy on this machine, that holds the token and speaks TLS"
    );
    Ok(list)
}

/// Asks an endpoint of a process again and again.
fn ask(
    name: String,
    of: Target,
    url: memgap_reader::Endpoint,
    interval: Duration,
) -> std::io::Result<Endpoint> {
    let ask = move || {
        let answer = memgap_reader::read_endpoint(&url, &memgap_reader::Limits::default());
        answer.map(|answer| answer.reported(&url))
    };
    Endpoint::start(
        name,
        Box::new(move |sample: &_| memgap_reader::pick(&of, sample)),
        ask,
        interval,
    )
}

/// How often pods are asked for.
const PODS: Duration = Duration::from_mins(1);

/// How often what the watch has told of them is looked at.
const TOLD: Duration = Duration::from_secs(5);

/// What the pods of a node name, each with what is wrong with that.
type Listed = Fact<Vec<Fact<PodEndpoint>>>;

/// Asks what the pods of a list name.
fn pods(url: &str, args: &Args, told: Option<&Told>) -> anyhow::Result<Pods> {
    let named = |pod: PodEndpoint| {
        let target = Target::Pod { namespace: Some(pod.namespace), name: pod.name };
        (target.to_string(), pod.endpoint.to_string())
    };
    let (list, every): (Box<dyn Fn() -> Listed + Send>, _) = if url == BY_WATCH {
        let told = told.context("--endpoint.pods watch: give --kubernetes.watch")?.clone();
        let why = "--endpoint.pods watch: the watch tells of endpoints from the next start on";
        anyhow::ensure!(told.has_endpoints(), why);
        (Box::new(move || by_watch(&told)), TOLD)
    } else {
        let list = list(url).with_context(|| format!("--endpoint.pods {url}"))?;
        let limits = memgap_reader::Limits::default();
        (Box::new(move || memgap_reader::read_pods(&list, &limits)), PODS)
    };
    let listed = move || Ok(list()?.into_iter().map(|pod| pod.map(named)).collect());
    let interval = args.interval;
    let start = move |(target, url): &Named| {
        let of = target.parse().map_err(std::io::Error::other)?;
        // One name for all: pods come and go, and each name would stay in metrics.
        ask("pod".to_owned(), of, url.parse().map_err(std::io::Error::other)?, interval)
    };
    Pods::watch(listed, Box::new(start), every, args.endpoints.len())
        .context("can not start the thread that asks for pods")
}

/// What pods name, as the API server has told it.
fn by_watch(told: &Told) -> Listed {
    let pods = told.pods().ok_or_else(|| Missing::absent("the API server has told of no pods"))?;
    let endpoint = |pod: &Pod| {
        let Annotated { word, address, is_on_host } = pod.endpoint.as_ref()?;
        Some(PodEndpoint::of(&pod.namespace, &pod.name, word, *address, *is_on_host))
    };
    Ok(pods.values().filter_map(|pod| endpoint(pod)).collect())
}
