//! The process that looks up the name of what the server pushes to, where it is a name: that
//! takes files and other connections than the server may have. It reads nothing from it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::Context;
use memgap_exporter::args::{Args, Role};
use memgap_exporter::otlp::names;
use memgap_exporter::sandbox;

/// Starts one, and returns where it tells of addresses; none where there is no name.
pub fn start(args: &Args) -> anyhow::Result<Option<UnixStream>> {
    let named = args.otlp.endpoint.as_ref().filter(|endpoint| endpoint.address().is_none());
    let Some(endpoint) = named else { return Ok(None) };
    let (ours, theirs) = UnixStream::pair().context("can not make sockets")?;
    let format = clap::ValueEnum::to_possible_value(&args.log_format);
    let format = format.map(|value| value.get_name().to_owned()).unwrap_or_default();
    Command::new("/proc/self/exe")
        .arg0("memgap-exporter")
        .arg(format!("--otlp.endpoint={endpoint}"))
        .arg(format!("--log.level={}", args.log_level))
        .arg(format!("--log.format={format}"))
        .args(["--role", Role::Resolver.name()])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()
        .context("can not start the process that looks up names (/proc/self/exe)")?;
    Ok(Some(ours))
}

/// Looks the name up until the server is gone.
pub fn run(args: &Args, server: OwnedFd) -> anyhow::Result<()> {
    sandbox::give_up_privileges().context("can not give up capabilities")?;
    let endpoint = args.otlp.endpoint.as_ref().context("there is no name to look up")?;
    // Without a reader there is nothing to do, which is no failure.
    let _ = names::look_up(endpoint, &UnixStream::from(server));
    Ok(())
}
