//! The command `memgap`: reads what was typed, and hands it to the command that it names.

mod args;
mod commands;
mod demo;
mod duration;
mod output;
mod own;
mod patience;
mod view;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use memgap_json as json;
use memgap_ledger::{Missing, MissingKind};
use memgap_reader::{Error, Reader, Roots};

use args::{Args, Command, Global};
use output::{Answer, FAILED, IN_PART, Output, print};
use patience::{Asked, Way};
use view::table;
use view::terminal::Style;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit code of wrong usage.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let (global, command) = match Args::read() {
        Ok(read) => read,
        Err(error) if !error.use_stderr() => {
            return written(print(&error.render().to_string()), ExitCode::SUCCESS);
        }
        Err(error) => return failed(&args::one_line(&error), USAGE),
    };
    let asked = if command.reads_targets() { patience::ask() } else { Ok(Asked::Here(Way::Whole)) };
    let way = match asked {
        Ok(Asked::Here(way)) => way,
        Ok(Asked::Answered(code)) => return code,
        Err(why) => return failed(&why, IN_PART),
    };
    let done = run(&global, &command, way);
    patience::answers();
    match done {
        Ok(answer) if way == Way::Counters => in_part(&answer),
        Ok(answer) => written(print(&answer.text), ExitCode::from(answer.code)),
        Err(error) if is_broken_pipe(error.downcast_ref()) => ExitCode::SUCCESS,
        Err(error) => failed(&sentence(&error), code(&error)),
    }
}

fn run(global: &Global, command: &Command, way: Way) -> anyhow::Result<Answer> {
    let open = |global: &Global| open(global, way);
    let style = Style::detect(global.color);
    let output = Output { style, json: global.json, time: SystemTime::now() };
    match command {
        Command::Explain { target, look } => {
            commands::explain::run(&open(global)?, target, look, &output)
        }
        Command::Ps(ps) => commands::ps::run(&open(global)?, ps, &output),
        Command::Watch(asked) => commands::watch::run(&open(global)?, asked, &output),
        Command::Advise(asked) => commands::advise::run(&open(global)?, asked, &output),
        Command::Diff(asked) => commands::diff::run(|| Ok(open(global)?), asked, &output),
        Command::Capture(capture) => commands::capture::run(&open(global)?, capture, &output),
        Command::Probes { target: None } => commands::probes::list(&output),
        Command::Probes { target: Some(target) } => {
            commands::probes::of_target(&open(global)?, target, &output)
        }
        Command::Record(asked) => commands::record::run(open(global)?, asked, &output),
        Command::Replay(asked) => commands::replay::run(asked, &output),
        Command::Top(top) => commands::top::run(open(global)?, top, &output),
        Command::Accounts => output.text(json::accounts, table::accounts).map(Answer::whole),
        Command::Why { what } => commands::why::run(what, || open(global), &output),
        Command::Demo(args) => commands::demo::run(&open(global)?, args, &output),
        Command::DemoTarget { program } => {
            demo::target(*program)?;
            Ok(Answer::whole(String::new()))
        }
        Command::Completions { shell } => {
            let script = commands::generate::completions(*shell)?;
            commands::generate::answer(&script, &output)
        }
        Command::Man { directory: None } => {
            commands::generate::answer(&commands::generate::man()?, &output)
        }
        Command::Man { directory: Some(directory) } => {
            let names = commands::generate::man_pages(directory)?;
            let list = names.join("\n") + "\n";
            output.text(|| json::Output::Files(names), |_| list).map(Answer::whole)
        }
    }
}

fn open(global: &Global, way: Way) -> Result<Reader, Error> {
    let reader = Reader::open(Roots {
        procfs: global.procfs.clone(),
        cgroupfs: global.cgroupfs.clone(),
        container_logs: global.container_logs.clone(),
    })?;
    Ok(if way == Way::Counters { reader.by_counters(patience::lack()) } else { reader })
}

/// The exit code of an error: what was asked for, what is there, what may be read.
fn code(error: &anyhow::Error) -> u8 {
    let missing = match error.downcast_ref::<Error>() {
        Some(Error::Usage { .. } | Error::Endpoint { .. } | Error::Ambiguous { .. }) => {
            return USAGE;
        }
        Some(Error::Missing(missing) | Error::Procfs(missing)) => Some(missing),
        Some(_) => None,
        None => error.downcast_ref::<Missing>(),
    };
    match missing {
        Some(missing) if missing.kind == MissingKind::Denied => IN_PART,
        _ => FAILED,
    }
}

/// The error and its causes, each once: some messages hold their cause already.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// What is known of those who did not answer.
fn in_part(answer: &Answer) -> ExitCode {
    let code = written(print(&answer.text), ExitCode::from(IN_PART));
    failed(&patience::lack().why, IN_PART);
    code
}

/// A reader that went away, as `head` does, is no error.
fn written(result: io::Result<()>, code: ExitCode) -> ExitCode {
    match result {
        Ok(()) => code,
        Err(error) if is_broken_pipe(Some(&error)) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("failed to write the answer: {error}"), FAILED),
    }
}

fn is_broken_pipe(error: Option<&io::Error>) -> bool {
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn failed(why: &str, code: u8) -> ExitCode {
    let why = Style::detect(view::terminal::Color::Never).safe(why);
    // Nothing more can be done where even this can not be written.
    let _ = writeln!(io::stderr(), "memgap: {why}");
    ExitCode::from(code)
}
