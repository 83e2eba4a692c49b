//! Exports the memory ledgers of a machine as Prometheus metrics.

mod allocator;
mod roles {
    pub mod reader;
    pub mod server;
    pub mod supervisor;
}

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use memgap_exporter::args::{Args, Role};

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_max_level(args.log_level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let Some(role) = args.role else { return roles::supervisor::run() };
    memgap_exporter::sandbox::end_with_parent(role.process_name())
        .context("can not tie this process to the one that started it")?;
    // A child's end of the channel is its standard input.
    let channel = std::io::stdin().as_fd().try_clone_to_owned().context("no channel")?;
    match role {
        Role::Reader => roles::reader::run(&args, channel)?,
        Role::Server => roles::server::run(&args, channel)?,
    }
    Ok(ExitCode::SUCCESS)
}
