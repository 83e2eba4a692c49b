//! The process that watches pods: it has the network as far as the API server, its token and
//! nothing else. The reader starts it and is told by it.

mod client;
mod owners;
mod watch;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use clap::ValueEnum;
use memgap_exporter::args::{Args, Role};
use memgap_exporter::kubernetes::settings::BY_WATCH;
use memgap_exporter::kubernetes::settings::Place;
use memgap_exporter::kubernetes::told::Told;
use memgap_exporter::sandbox;

use client::Client;
use watch::Watcher;

/// Has pods watched, where that is asked for.
pub fn start(args: &Args) -> anyhow::Result<Option<Told>> {
    let Some(place) = args.kubernetes.place()? else { return Ok(None) };
    let format = args.log_format.to_possible_value();
    let mut more = vec![
        format!("--log.level={}", args.log_level),
        format!("--log.format={}", format.map(|v| v.get_name().to_owned()).unwrap_or_default()),
    ];
    let has_endpoints = args.pods.as_deref() == Some(BY_WATCH);
    more.extend(has_endpoints.then(|| format!("--endpoint.pods={BY_WATCH}")));
    let start = move || spawn(&place, &more);
    Told::listen(start, has_endpoints)
        .context("can not start the thread that listens for pods")
        .map(Some)
}

fn spawn(place: &Place, more: &[String]) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut credentials = std::ffi::OsString::from("--kubernetes.credentials=");
    credentials.push(&place.credentials);
    let child = Command::new("/proc/self/exe")
        .arg0("memgap-exporter")
        .arg("--kubernetes.watch")
        .arg(format!("--kubernetes.node={}", place.node))
        .arg(format!("--kubernetes.server={}", place.server))
        .arg(credentials)
        .args(more)
        .args(["--role", Role::Watcher.name()])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()?;
    Ok((child, ours))
}

/// Watches until the reader is gone.
pub fn run(args: &Args, reader: OwnedFd) -> anyhow::Result<()> {
    let place = args.kubernetes.place()?.context("there is nothing to watch")?;
    sandbox::confine_watcher(place.server.port(), &place.credentials)?;
    // Without a reader there is nothing to do, which is no failure.
    let has_endpoints = args.pods.as_deref() == Some(BY_WATCH);
    let _ = Watcher::new(Client::new(place), UnixStream::from(reader), has_endpoints).run();
    Ok(())
}
