//! The process that serves: it has the network and nothing else.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use memgap_exporter::args::Args;
use memgap_exporter::channel::Receiver;
use memgap_exporter::log::Log;
use memgap_exporter::orders::EventReceiver;
use memgap_exporter::routes::{self, Answers, Published};
use memgap_exporter::snapshot::Snapshot;
use memgap_exporter::telemetry::Telemetry;
use memgap_exporter::{sandbox, server};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

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
    let mut listeners = Vec::new();
    for address in &args.listen {
        let listener = server::bind(address).await?;
        let local = listener.local_addr().context("can not tell the address listened on")?;
        tracing::info!(address = %local, "listening");
        listeners.push(listener);
    }
    sandbox::confine_server()?;

    let (publish, published) = watch::channel(None);
    let (set_interval, interval) = watch::channel(args.interval);
    let answers = Answers { published, started: Instant::now(), interval };
    let routers = routes::routers(answers, &args.telemetry_path);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = receive(receiver, telemetry, publish) => {}
            () = obey(&mut orders, log, &set_interval) => {}
        }
        tracing::info!("stopping");
    };
    server::serve(listeners, routers, args.connections(), stop).await;
    Ok(())
}

/// Publishes what the reader sends, until no reader can come any more.
async fn receive(mut reader: Receiver, telemetry: Telemetry, publish: watch::Sender<Published>) {
    loop {
        match reader.receive().await {
            Ok(Some(families)) => {
                let snapshot = Snapshot::of(families, &telemetry.render());
                if publish.send_replace(Some(Arc::new(snapshot))).is_none() {
                    tracing::info!("ready");
                }
            }
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
