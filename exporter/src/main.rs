//! Exports the memory ledgers of a machine as Prometheus metrics.

mod allocator;
mod roles {
    pub mod reader;
    #[cfg(feature = "otlp")]
    pub mod resolver;
    pub mod self_check;
    pub mod server;
    pub mod supervisor;
    pub mod watcher;
}

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use memgap_exporter::args::{Args, Role};
use memgap_exporter::config::{self, Faults, Sources};
use memgap_exporter::log::{Log, LogFormat};
use memgap_exporter::{access, sandbox};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let args = Args::try_parse_from(&arguments).unwrap_or_else(|error| refuse(&error));
    match args.role {
        Some(role) => with_log(&args.clone(), |log| play(role, args, &log)),
        None => configured(&arguments, &args),
    }
}

/// Ends with what is wrong with the command line, or with what it asks for.
fn refuse(error: &clap::Error) -> ! {
    let is_check = std::env::args_os().any(|argument| argument == "--check-config");
    if is_check && error.use_stderr() {
        eprintln!("{}", config::usage(error));
        std::process::exit(1);
    }
    error.exit()
}

/// The process that was started: it puts the configuration together.
fn configured(arguments: &[OsString], args: &Args) -> ExitCode {
    let sources = Sources::new(arguments, std::env::vars_os(), roles::reader::check)
        .unwrap_or_else(|error| refuse(&error));
    let configuration = match sources.load() {
        Ok(configuration) => configuration,
        Err(faults) => return wrong(&faults, if args.check_config { "" } else { "Error: " }),
    };
    if args.check_config || args.print_config {
        for doubt in &configuration.doubts {
            eprintln!("{doubt}");
        }
        if args.check_config
            && let Err(error) = check_files(&configuration.args)
        {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
        if args.print_config {
            return print(&configuration.print(), ExitCode::SUCCESS);
        }
        return ExitCode::SUCCESS;
    }
    if args.self_check {
        let report = roles::self_check::report(&configuration.args);
        let code = if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        return print(&report, code);
    }
    with_log(&configuration.args.clone(), |log| {
        for doubt in &configuration.doubts {
            tracing::warn!("{doubt}");
        }
        roles::supervisor::run(sources, configuration, log)
    })
}

/// What is wrong with files that the configuration names.
fn check_files(args: &Args) -> anyhow::Result<()> {
    args.web_config.as_deref().map(access::watch::check).transpose()?;
    args.kubernetes.place()?;
    args.otlp.check()
}

/// Prints what was asked for, and ends so. Who reads it may have had enough.
fn print(text: &impl Display, code: ExitCode) -> ExitCode {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("can not write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}

fn wrong(faults: &Faults, before: &str) -> ExitCode {
    for line in faults.lines() {
        eprintln!("{before}{line}");
    }
    ExitCode::FAILURE
}

/// Does what is to be done, and logs what it fails of.
fn with_log(args: &Args, run: impl FnOnce(Log) -> anyhow::Result<ExitCode>) -> ExitCode {
    let ended = Log::start(args.log_format, args.log_level).and_then(run);
    ended.unwrap_or_else(|error| {
        match args.log_format {
            LogFormat::Text => eprintln!("Error: {error:?}"),
            LogFormat::Json => tracing::error!("{error:#}"),
        }
        ExitCode::FAILURE
    })
}

/// Is what a child of the process that was started has to be.
fn play(role: Role, args: Args, log: &Log) -> anyhow::Result<ExitCode> {
    sandbox::end_with_parent(role.process_name())
        .context("can not tie this process to the one that started it")?;
    // What it gets from there, or sends there, and what it is told by who started it.
    let channel = io::stdin().as_fd().try_clone_to_owned().context("no channel")?;
    let supervisor = io::stdout().as_fd().try_clone_to_owned().context("no supervisor")?;
    match role {
        Role::Reader => roles::reader::run(args, channel, supervisor, log)?,
        Role::Server => roles::server::run(&args, channel, supervisor, log)?,
        Role::Watcher => roles::watcher::run(&args, channel)?,
        #[cfg(feature = "otlp")]
        Role::Resolver => roles::resolver::run(&args, channel)?,
    }
    Ok(ExitCode::SUCCESS)
}
