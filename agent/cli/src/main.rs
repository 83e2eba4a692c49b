//! The command `memgap`. This file alone names the reader: it reads samples,
//! makes ledgers of them and hands those to commands and views.

mod args;
mod commands;
mod demo;
mod own;
mod view;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::anyhow;
use memgap_ledger::finding::Subject;
use memgap_ledger::sample::CgroupSample;
use memgap_ledger::{
    CgroupLedger, Coverage, Missing, MissingKind, ProcessLedger, cgroup, coverage, host, process,
};
use memgap_reader::{
    Depth, Endpoint, Error, Found, Limits, PROBES, Reader, Roots, Target, find, read_endpoint,
};
use serde::Serialize;

use args::{Args, Capture, Command, Global, Ps};
use demo::{DemoArgs, End, Explain};
use view::json::Counts;
use view::terminal::Style;
use view::{json, page, reason, table};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit codes beside 0.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const IN_PART: u8 = 3;

fn main() -> ExitCode {
    let (global, command) = match Args::read() {
        Ok(read) => read,
        Err(error) if !error.use_stderr() => {
            return written(print(&error.render().to_string()), ExitCode::SUCCESS);
        }
        Err(error) => return failed(&args::one_line(&error), USAGE),
    };
    match run(&global, &command) {
        Ok(answer) => written(print(&answer.text), ExitCode::from(answer.code)),
        Err(error) if is_broken_pipe(error.downcast_ref()) => ExitCode::SUCCESS,
        Err(error) => failed(&sentence(&error), code(&error)),
    }
}

/// What is printed, and the exit code.
struct Answer {
    text: String,
    code: u8,
}

impl Answer {
    fn whole(text: String) -> Self {
        Self { text, code: 0 }
    }

    /// An answer that is one in part where rights were wanting.
    fn of(text: String, in_part: bool) -> Self {
        Self { text, code: if in_part { IN_PART } else { 0 } }
    }
}

/// How an answer is given.
struct Output {
    style: Style,
    json: bool,
    time: SystemTime,
}

impl Output {
    /// The document or the page, whichever was asked for.
    fn text<T: Serialize>(
        &self,
        document: impl FnOnce() -> T,
        page: impl FnOnce(&Style) -> String,
    ) -> anyhow::Result<String> {
        if !self.json {
            return Ok(page(&self.style));
        }
        Ok(json::Document::new(self.time, document()).text()?)
    }
}

fn run(global: &Global, command: &Command) -> anyhow::Result<Answer> {
    let style = Style::detect(global.color);
    let output = Output { style, json: global.json, time: SystemTime::now() };
    match command {
        Command::Explain { target, look } => {
            let depth = if look.deep { Depth::Pages } else { Depth::Books };
            let endpoint = look.endpoint.as_deref().map(str::parse).transpose()?;
            explain(&open(global)?, target, depth, endpoint.as_ref(), &output)
        }
        Command::Ps(ps) if ps.coverage => cover_processes(&open(global)?, ps, &output),
        Command::Ps(ps) if ps.cgroups => list_cgroups(&open(global)?, ps, &output),
        Command::Ps(ps) => list_processes(&open(global)?, ps, &output),
        Command::Capture(capture) => save(&open(global)?, capture, &output),
        Command::Probes { target: None } => list_probes(&[], None, &output),
        Command::Probes { target: Some(target) } => find_runtimes(&open(global)?, target, &output),
        Command::Accounts => output.text(json::accounts, table::accounts).map(Answer::whole),
        Command::Demo(args) => play(&open(global)?, args, &output),
        Command::DemoTarget { program } => {
            demo::target(*program)?;
            Ok(Answer::whole(String::new()))
        }
        Command::Completions { shell } => {
            let script = commands::generate::completions(*shell)?;
            output
                .text(|| json::Output::Text(script.clone()), |_| script.clone())
                .map(Answer::whole)
        }
        Command::Man { directory: None } => {
            let page = commands::generate::man()?;
            output.text(|| json::Output::Text(page.clone()), |_| page.clone()).map(Answer::whole)
        }
        Command::Man { directory: Some(directory) } => {
            let names = commands::generate::man_pages(directory)?;
            let list = names.join("\n") + "\n";
            output.text(|| json::Output::Files(names), |_| list).map(Answer::whole)
        }
    }
}

fn open(global: &Global) -> Result<Reader, Error> {
    Reader::open(Roots {
        procfs: global.procfs.clone(),
        cgroupfs: global.cgroupfs.clone(),
        container_logs: global.container_logs.clone(),
    })
}

fn explain(
    reader: &Reader,
    target: &str,
    depth: Depth,
    endpoint: Option<&Endpoint>,
    output: &Output,
) -> anyhow::Result<Answer> {
    let target: Target = target.parse()?;
    let show = |subject: Subject<'_>, others: &[u32]| {
        let document = || json::explanation(subject, others);
        let text = output.text(document, |style| {
            let deeper =
                if depth == Depth::Books { page::deeper(subject, style) } else { String::new() };
            page::page(subject, others, style) + &deeper
        })?;
        Ok(Answer::of(text, reason::is_denied(subject)))
    };
    match find(reader, &target)? {
        Found::Process { pid, others } => {
            let mut sample = reader.process(pid, depth)?;
            if target == Target::Own {
                let told = own::told();
                sample.hear(Ok(told.map_err(|e| anyhow!("jemalloc tells no statistics: {e}"))?));
            }
            if let Some(endpoint) = endpoint {
                let answer = read_endpoint(endpoint, &Limits::default());
                sample.hear(answer.map(|answer| answer.told(endpoint)));
            }
            show(Subject::Process(&process::ledger(&sample)), &others)
        }
        // Whose word an endpoint's is can be told of a process only.
        _ if let Some(endpoint) = endpoint => Err(Error::Endpoint {
            word: endpoint.to_string(),
            remedy: "name the process that it is of, not a cgroup or the host",
        }
        .into()),
        Found::Cgroup { path } => show(Subject::Cgroup(&read_cgroup(reader, &path, depth)?), &[]),
        Found::Host => {
            let sample = reader.host();
            // Nothing at all is known of a host without it.
            sample.meminfo.as_ref().map_err(Missing::clone)?;
            show(Subject::Host(&host::ledger(&sample)), &[])
        }
    }
}

/// What the probes read in the processes of a target.
fn find_runtimes(reader: &Reader, target: &str, output: &Output) -> anyhow::Result<Answer> {
    let samples = match find(reader, &target.parse()?)? {
        Found::Process { pid, .. } => vec![reader.process(pid, Depth::Books)?],
        Found::Cgroup { path } => reader.members(&path, Depth::Books)?,
        Found::Host => reader.machine(Depth::Books)?.processes,
    };
    let mut found: Vec<ProcessLedger> = samples.iter().map(process::ledger).collect();
    let coverage = Coverage::of(&found);
    found.retain(|p| !p.runtimes.is_empty() || p.absent.iter().any(|a| a.what == "runtime"));
    list_probes(&found, Some(&coverage), output)
}

fn list_probes(
    found: &[ProcessLedger],
    coverage: Option<&Coverage>,
    output: &Output,
) -> anyhow::Result<Answer> {
    let probes: Vec<(&str, &str)> = PROBES.iter().map(|p| (p.name(), p.about())).collect();
    let in_part = found.iter().any(ProcessLedger::is_denied);
    let document = || json::probes(&probes, found, coverage);
    let text = output.text(document, |style| table::probes(&probes, found, coverage, style))?;
    Ok(Answer::of(text, in_part))
}

/// A cgroup with the ledgers of its processes.
fn read_cgroup(reader: &Reader, path: &str, depth: Depth) -> Result<CgroupLedger, Missing> {
    let sample = reader.cgroup(path)?;
    let members = reader.members(path, depth);
    let ledgers: Result<Vec<ProcessLedger>, &Missing> =
        members.as_ref().map(|samples| samples.iter().map(process::ledger).collect());
    let refs: Result<Vec<&ProcessLedger>, &Missing> =
        ledgers.as_ref().map(|ledgers| ledgers.iter().collect()).map_err(|missing| *missing);
    Ok(cgroup::ledger(&sample, refs.as_deref().map_err(|missing| *missing)))
}

fn list_processes(reader: &Reader, ps: &Ps, output: &Output) -> anyhow::Result<Answer> {
    let samples = reader.machine(Depth::Runtimes)?.processes;
    let ledgers = samples.iter().map(process::ledger).collect();
    let listed = commands::ps::processes(ledgers, ps);
    let in_part = listed.iter().any(|p| p.headline.rss.point().is_none() && p.is_denied());
    let document = || json::processes(&listed);
    let text = output.text(document, |style| table::processes(&listed, style))?;
    Ok(Answer::of(text, in_part))
}

/// How much of the anonymous memory of processes is explained.
fn cover_processes(reader: &Reader, ps: &Ps, output: &Output) -> anyhow::Result<Answer> {
    let samples = reader.machine(Depth::Books)?.processes;
    let all = Ps { top: None, name: ps.name.clone(), cgroup: ps.cgroup.clone(), ..Ps::default() };
    let listed = commands::ps::processes(samples.iter().map(process::ledger).collect(), &all);
    let in_part = listed.iter().any(ProcessLedger::is_denied);
    let whole = Coverage::of(&listed);
    let mut programs = coverage::by_program(&listed);
    programs.truncate(ps.top.unwrap_or(usize::MAX));
    let document = || json::coverage(&whole, &programs);
    let text = output.text(document, |style| view::coverage::table(&whole, &programs, style))?;
    Ok(Answer::of(text, in_part))
}

/// Memory on the file lists beyond the page cache that is worth a walk.
const SHOWS: i64 = 4 << 20;

fn list_cgroups(reader: &Reader, ps: &Ps, output: &Output) -> anyhow::Result<Answer> {
    let unread = Missing::new(MissingKind::Refused, "a list of cgroups reads no process");
    let samples = reader.cgroups()?;
    let ledger = |sample: &CgroupSample| {
        let made = cgroup::ledger(sample, Err(&unread));
        // Only a walk tells what is hidden from what is lazy: worth it where
        // either would show.
        let shows = made.lru_lazy.point().is_some_and(|bytes| bytes >= SHOWS);
        if shows { read_cgroup(reader, &sample.path, Depth::Walk).unwrap_or(made) } else { made }
    };
    let ledgers = samples.iter().map(ledger).collect();
    let listed = commands::ps::cgroups(ledgers, ps);
    let in_part = listed.iter().any(|c| reason::is_denied(Subject::Cgroup(c)));
    let document = || json::cgroups(&listed);
    let text = output.text(document, |style| table::cgroups(&listed, style))?;
    Ok(Answer::of(text, in_part))
}

fn own_cgroup(reader: &Reader) -> Result<demo::Own, Missing> {
    let hierarchy = reader.hierarchy()?;
    let mount = hierarchy.mount_point().to_owned();
    let path = reader.process(std::process::id(), Depth::Counters)?.cgroup?;
    Ok(demo::Own { version: hierarchy.version(), mount, path })
}

/// Plays the demo; each scenario is printed as soon as it is told.
fn play(reader: &Reader, args: &DemoArgs, output: &Output) -> anyhow::Result<Answer> {
    if let Some(list) = args.list() {
        return output
            .text(|| json::Output::Text(list.clone()), |_| list.clone())
            .map(Answer::whole);
    }
    let explain = Explain {
        process: &|pid| reader.process(pid, Depth::Walk).map(|sample| process::ledger(&sample)),
        cgroup: &|path| read_cgroup(reader, path, Depth::Walk),
        own: own_cgroup(reader),
    };
    let mut document = demo::Demo::default();
    let end = demo::run(args, &explain, &mut |told| {
        if output.json {
            document.demo.push(told.json());
            return Ok(());
        }
        print(&format!("{}\n", told.text(&output.style)))
    })?;
    let code = match end {
        End::Agreed => 0,
        End::Disagreed => FAILED,
        End::Signal(signal) => return Ok(Answer { text: String::new(), code: 128 + signal }),
    };
    Ok(Answer { text: output.text(|| document, |_| String::new())?, code })
}

fn save(reader: &Reader, capture: &Capture, output: &Output) -> anyhow::Result<Answer> {
    let target: Target = capture.target.as_deref().unwrap_or("host").parse()?;
    let done = memgap_reader::capture(reader, &target, &capture.directory, capture.redact)?;
    let counts = Counts {
        processes: done.processes,
        cgroups: done.cgroups,
        files: done.files,
        bytes: done.bytes,
        redacted: capture.redact,
    };
    let directory = capture.directory.to_string_lossy();
    let text = output.text(
        || json::capture(&directory, counts, &done.lacks),
        |style| table::capture(&directory, counts, &done.lacks, style),
    )?;
    Ok(Answer::of(text, done.lacks.iter().any(|lack| lack.kind == MissingKind::Denied)))
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

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
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
    // Nobody is left to be told where even this can not be written.
    let _ = writeln!(io::stderr(), "memgap: {why}");
    ExitCode::from(code)
}
