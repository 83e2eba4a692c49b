//! The process that serves: it has the network and nothing else.

#[cfg(feature = "otlp")]
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
#[cfg(feature = "otlp")]
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use memgap_exporter::access::Access;
use memgap_exporter::access::passwords::Passwords;
use memgap_exporter::api::store::Store;
use memgap_exporter::args::Args;
use memgap_exporter::channel::{Message, Receiver};
use memgap_exporter::log::Log;
use memgap_exporter::orders::EventReceiver;
#[cfg(feature = "otlp")]
use memgap_exporter::otlp::{names, push::Pusher};
use memgap_exporter::routes::{self, Answers, Published};
use memgap_exporter::server::Gate;
use memgap_exporter::server::listeners::Listener;
use memgap_exporter::snapshot::Snapshot;
use memgap_exporter::telemetry::Telemetry;
use memgap_exporter::{activation, api, sandbox, server};
#[cfg(feature = "otlp")]
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[cfg(feature = "otlp")]
use crate::roles::resolver;

/// Serves what comes from `reader`, as `args` say and then what comes from the supervisor,
/// until a signal asks it to stop.
pub fn run(args: &Args, reader: OwnedFd, supervisor: OwnedFd, log: &Log) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can not start the event loop")?;
    runtime.block_on(serve(args, reader, supervisor, log))
}

async fn serve(args: &Args, reader: OwnedFd, supervisor: OwnedFd, log: &Log) -> anyhow::Result<()> {
    let telemetry = Telemetry::of_server()?;
    let receiver = Receiver::new(reader).context("can not receive from the reader")?;
    let mut orders =
        EventReceiver::new(supervisor).context("can not receive from the supervisor")?;
    let mut terminate = signal(SignalKind::terminate()).context("can not wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can not wait for SIGINT")?;
    let listeners = listen(args).await?;
    // Threads are started before it, for a confined one starts none.
    let passwords = args.web_config.is_some().then(passwords).transpose()?;
    #[cfg(feature = "otlp")]
    let pusher = pushing(args)?;
    sandbox::confine_server(args.otlp.port())?;

    let (publish, published) = watch::channel(None);
    let (set_interval, interval) = watch::channel(args.interval);
    let (publish_documents, documents) = watch::channel(None);
    #[cfg(feature = "otlp")]
    if let Some(pusher) = pusher {
        tokio::spawn(pusher.run(published.clone()));
    }
    let publish = Publish { collections: publish, documents: publish_documents };
    let documents = args.api.then_some(documents);
    let answers = Answers { published, documents, started: Instant::now(), interval };
    let routers = routes::routers(answers, &args.telemetry_path);
    // Without a file everybody may ask; else it comes by the channel.
    let everybody = args.web_config.is_none().then(|| Arc::new(Access::default()));
    let (admit, access) = watch::channel(everybody);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = receive(receiver, telemetry, publish, admit) => {}
            () = obey(&mut orders, log, &set_interval) => {}
        }
        tracing::info!("stopping");
    };
    let gate = Gate { access, passwords };
    server::serve(listeners, routers, args.connections(), gate, stop).await;
    Ok(())
}

async fn listen(args: &Args) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    if args.systemd_socket {
        for passed in activation::take()? {
            listeners.push(Listener::of(passed).context("can not listen on a passed socket")?);
        }
    } else {
        for address in &args.listen {
            listeners.push(Listener::bind(address).await?);
        }
    }
    for listener in &listeners {
        let address = listener.address().context("can not tell the address listened on")?;
        tracing::info!(%address, "listening");
    }
    Ok(listeners)
}

/// What pushes collections, where it is asked for, and what it needs of the machine.
#[cfg(feature = "otlp")]
fn pushing(args: &Args) -> anyhow::Result<Option<Pusher>> {
    let fixed = args.otlp.endpoint.as_ref().and_then(|endpoint| {
        endpoint.address().map(|address| SocketAddr::new(address, endpoint.port))
    });
    let (publish, addresses) = watch::channel(Vec::from_iter(fixed));
    if let Some(told) = resolver::start(args)? {
        told.set_nonblocking(true).context("a socket")?;
        tokio::spawn(names::take(UnixStream::from_std(told).context("a socket")?, publish));
    }
    let system = rustix::system::uname();
    // Where procfs is mounted elsewhere, this is a container on that machine.
    let is_ours = args.procfs == Path::new("/proc");
    let name = system.nodename().to_str().ok().filter(|name| !name.is_empty());
    Pusher::of(&args.otlp, name, is_ours, addresses)
}

fn passwords() -> anyhow::Result<Passwords> {
    let confine = || sandbox::confine_thread().context("can not confine the thread of passwords");
    Passwords::start(confine).context("can not start the thread that compares passwords")
}

/// What came last, for those who ask.
struct Publish {
    collections: watch::Sender<Published>,
    documents: watch::Sender<api::routes::Published>,
}

/// Publishes what is sent, until nobody can come any more who sends.
async fn receive(
    mut channel: Receiver,
    telemetry: Telemetry,
    publish: Publish,
    admit: watch::Sender<Option<Arc<Access>>>,
) {
    loop {
        match channel.receive().await {
            Ok(Some(Message::Access(contents))) => match Access::of(&contents) {
                Ok(access) => {
                    let (tls, users) = access.summary();
                    tracing::info!(tls, users, "web configuration is in force");
                    admit.send_replace(Some(Arc::new(access)));
                }
                // Whoever sent it has tried it.
                Err(error) => tracing::error!("web configuration: {error:#}"),
            },
            Ok(Some(Message::Collection(families))) => {
                let snapshot = Snapshot::of(families, &telemetry.render());
                if publish.collections.send_replace(Some(Arc::new(snapshot))).is_none() {
                    tracing::info!("ready");
                }
            }
            Ok(Some(Message::Documents(documents))) => match Store::of(documents) {
                Ok(store) => drop(publish.documents.send_replace(Some(Arc::new(store)))),
                Err(error) => tracing::error!(%error, "can not take documents"),
            },
            Ok(None) => return,
            Err(error) => tracing::error!(%error, "can not take a collection"),
        }
    }
}

/// Takes on settings that come from the supervisor, until none can come any more.
async fn obey(orders: &mut EventReceiver, log: &Log, interval: &watch::Sender<Duration>) {
    loop {
        let arguments = match orders.receive().await {
            Ok(arguments) => arguments,
            Err(error) => return tracing::error!(%error, "the supervisor is lost"),
        };
        match Args::try_parse_from(arguments) {
            Ok(args) => {
                log.set_level(args.log_level);
                interval.send_replace(args.interval);
            }
            Err(error) => tracing::error!(%error, "can not understand the supervisor"),
        }
    }
}
