//! What was typed. The man pages and completions come from here too.

mod recording;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueHint};

use crate::demo::{DemoArgs, Program};
use crate::duration;
use crate::view::terminal::Color;
pub use recording::{Record, Replay, When};

/// Says where every byte between a program's "in use" and the kernel's "used" went
///
/// Without a command, memgap explains the target. A process that is called like a command is
/// explained by `memgap explain ps`.
#[derive(Debug, Parser)]
#[command(
    name = "memgap",
    version,
    subcommand_precedence_over_arg = true,
    override_usage = "memgap [OPTIONS] <TARGET>\n       memgap [OPTIONS] <COMMAND>",
    after_help = EXIT,
    max_term_width = 80
)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    /// What to explain: a pid, a process name, self, host, cgroup:/path, unit/nginx.service,
    /// container/ID or pod/[NAMESPACE/]NAME
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    #[command(flatten)]
    pub look: Look,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT: &str = "Exit status: 0 answered; 1 not found, or failed; 2 wrong usage; \
3 answered in part, for want of rights or because a process does not answer.";

/// Options of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Where procfs is mounted, or was captured
    #[arg(long = "path.procfs", value_name = "DIR", default_value = "/proc", value_hint = ValueHint::DirPath, global = true)]
    pub procfs: PathBuf,
    /// What stands for /sys/fs/cgroup [default: as mountinfo tells]
    #[arg(long = "path.cgroupfs", value_name = "DIR", value_hint = ValueHint::DirPath, global = true)]
    pub cgroupfs: Option<PathBuf>,
    /// Where the kubelet keeps links to container logs, which name the containers
    #[arg(long = "path.container-logs", value_name = "DIR", default_value = "/var/log/containers", value_hint = ValueHint::DirPath, global = true)]
    pub container_logs: PathBuf,
    /// Print one JSON document (schema memgap/1)
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, global = true)]
    pub color: Color,
}

/// What is asked of a target beside the kernel's figures and the counters of runtimes.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Look {
    /// Say of every page what it is: exact, at the cost of a look at each
    #[arg(long)]
    pub deep: bool,
    /// Show all mappings that hold much of an account, not the largest five
    #[arg(long)]
    pub maps: bool,
    /// Show all findings, not the first three
    #[arg(long)]
    pub all: bool,
    /// Also ask this endpoint of the process: its Prometheus text, Go's /debug/vars or
    /// /debug/pprof/heap?debug=1; http://ADDRESS:PORT/path or unix:/path/of/socket
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Explain a process, a cgroup or the host: headline, waterfall, gaps, findings
    Explain {
        /// A pid, a process name, self, host, cgroup:/path, unit/nginx.service, container/ID or
        /// pod/[NAMESPACE/]NAME
        #[arg(value_name = "TARGET")]
        target: String,
        #[command(flatten)]
        look: Look,
    },
    /// List processes or cgroups, the widest gap first
    Ps(Ps),
    /// Show what a process or cgroup holds, again and again, and whether it leaks
    Watch(Watch),
    /// Say which memory limit a cgroup needs, by what it requires while it is watched
    Advise(Advise),
    /// Show programs and containers as they change: what could be had back, room, growth
    Top(Top),
    /// List every account that memory can stand on
    Accounts,
    /// Say why something was killed for want of memory, or what a finding means
    ///
    /// Of a target: killed when, by whose limit, what held the memory, what it was not, what to
    /// do, from the kernel's log and the counters of cgroups. The target may be gone. Of a
    /// finding: what it means, who causes it, and what to do.
    Why {
        /// The name of a finding, as it stands beside its severity; or a pid, a process name, host,
        /// cgroup:/path, unit/nginx.service, container/ID or pod/[NAMESPACE/]NAME
        #[arg(value_name = "FINDING|TARGET")]
        what: String,
    },
    /// List the runtimes and allocators that can be read, and those of a target
    Probes {
        /// Whose to list; `host` is every process
        #[arg(value_name = "TARGET")]
        target: Option<String>,
    },
    /// Explain programs with known memory: the kernel's figures beside the truth
    Demo(DemoArgs),
    /// Be a program of the demo
    #[command(hide = true)]
    DemoTarget {
        /// Which one
        #[arg(value_enum)]
        program: Program,
    },
    /// Compare two targets, one at two times, or two saved documents, account by account
    Diff(Diff),
    /// Save what memgap reads, so that it can be explained elsewhere
    Capture(Capture),
    /// Record the whole machine, sample by sample, into a file that explains it elsewhere
    Record(Record),
    /// Explain what was recorded: what it holds, or a target at a time
    Replay(Replay),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command
    Man {
        /// Where to write the pages; it must exist
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: Option<PathBuf>,
    },
}

impl Command {
    /// Whether it reads memory of processes that may keep their reader waiting.
    pub fn reads_targets(&self) -> bool {
        match self {
            Self::Explain { .. }
            | Self::Ps(_)
            | Self::Watch(_)
            | Self::Advise(_)
            | Self::Diff(_)
            | Self::Capture(_) => true,
            Self::Probes { target } => target.is_some(),
            // Its collector gives up who does not answer.
            Self::Top(_)
            | Self::Record(_)
            | Self::Replay(_)
            | Self::Accounts
            | Self::Why { .. }
            | Self::Demo(_)
            | Self::DemoTarget { .. }
            | Self::Completions { .. }
            | Self::Man { .. } => false,
        }
    }
}

/// Which processes or cgroups to list.
#[derive(Debug, Default, clap::Args)]
pub struct Ps {
    /// List cgroups, by required less working set, instead of programs, by what could be had
    /// back
    #[arg(long)]
    pub cgroups: bool,
    /// List each process, instead of the processes of one name in a cgroup together
    #[arg(long, conflicts_with_all = ["cgroups", "coverage"])]
    pub pids: bool,
    /// Say how much of their anonymous memory is explained, and by whose heap statistics, in sum and by
    /// program, the least explained first
    #[arg(long, conflicts_with = "cgroups")]
    pub coverage: bool,
    /// Only those whose name, or whose cgroup's path, contains the text
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Only those in this cgroup or below it
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<String>,
    /// Only the first so many
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
}

/// Who is watched, and for how long.
#[derive(Debug, clap::Args)]
pub struct Watch {
    /// A pid, a process name, cgroup:/path, unit/nginx.service, container/ID or
    /// pod/[NAMESPACE/]NAME
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// How long to watch it [default: until it ends, or Ctrl-C]
    #[arg(id = "time", long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub time: Option<Duration>,
    /// The time between two samples, at least 100ms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = interval)]
    pub interval: Duration,
}

/// Whose limit, and for how long it is watched.
#[derive(Debug, clap::Args)]
pub struct Advise {
    /// cgroup:/path, unit/nginx.service, container/ID, pod/[NAMESPACE/]NAME, or a process,
    /// whose cgroup is meant
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// How long to watch it: a time that shows it at work
    #[arg(id = "time", long = "for", value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub time: Duration,
    /// The time between two readings, at least 100ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
}

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// A target, or a document that `memgap TARGET --json` wrote (*.json)
    #[arg(value_name = "A")]
    pub first: String,
    /// Another of the same kind
    #[arg(value_name = "B", required_unless_present = "after")]
    pub second: Option<String>,
    /// Compare the first with itself so long after: 10s, 5m
    #[arg(id = "after", long = "for", value_name = "TIME", conflicts_with = "second", value_parser = duration::parse)]
    pub after: Option<Duration>,
}

/// How often it looks.
#[derive(Debug, clap::Args)]
pub struct Top {
    /// The time between two looks, at least 100ms
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub interval: Duration,
}

/// What to save, and where.
#[derive(Debug, clap::Args)]
pub struct Capture {
    /// The directory to write; it must not exist
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// Save one process, or one cgroup with its processes, instead of everything
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    /// Whether to replace the names of programs, files, cgroups and pods
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub redact: bool,
}

impl Args {
    /// Reads the command line: what to do, or what to print instead.
    pub fn read() -> Result<(Global, Command), clap::Error> {
        Self::try_parse()?.meaning()
    }

    fn meaning(self) -> Result<(Global, Command), clap::Error> {
        let before = |what: String| {
            let why = format!("unexpected {what} before the command");
            Err(Self::command().error(ErrorKind::ArgumentConflict, why))
        };
        match (self.target, self.command) {
            (Some(target), None) => Ok((self.global, Command::Explain { target, look: self.look })),
            (Some(target), Some(_)) => before(format!("word '{target}'")),
            (None, Some(_)) if self.look != Look::default() => {
                before("--deep or --endpoint".to_owned())
            }
            (None, Some(command)) => Ok((self.global, command)),
            (None, None) => Err(Self::command().error(
                ErrorKind::MissingRequiredArgument,
                "name a target (a pid, a process name, host, ...) or a command",
            )),
        }
    }
}

/// An error of the command line in one line, without clap's heading and tips.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    format!("{line}; `memgap --help` tells more")
}

/// Readings may walk their targets' memory: not more often than this.
fn interval(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(100);
    duration::parse(text).and_then(|time| {
        if time < LEAST { Err("it must be at least 100ms".to_owned()) } else { Ok(time) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        assert!(command.get_about().is_some(), "{path} has no help");
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{path} {} has no help", arg.get_id());
        }
        command.get_subcommands().for_each(|sub| walk(sub, &path));
    }

    #[test]
    fn every_command_and_flag_has_help() {
        let command = Args::command();
        command.clone().debug_assert();
        walk(&command, "");
    }

    #[test]
    fn a_word_is_a_target_unless_it_is_a_command() {
        let read = |words: &[&str]| {
            let args = Args::try_parse_from(words).expect("valid");
            (args.target, args.command.is_some(), args.global.json)
        };
        assert_eq!(read(&["memgap", "nginx", "--json"]), (Some("nginx".into()), false, true));
        assert_eq!(read(&["memgap", "ps"]), (None, true, false));
        assert_eq!(read(&["memgap", "--json", "ps"]), (None, true, true));
        assert_eq!(read(&["memgap", "--", "ps"]), (Some("ps".into()), false, false));
        assert_eq!(read(&["memgap", "explain", "ps"]), (None, true, false));
    }

    #[test]
    fn a_target_is_explained_with_or_without_the_command() {
        let read = |words: &[&str]| Args::try_parse_from(words).and_then(Args::meaning);
        for words in [&["memgap", "nginx", "--deep"][..], &["memgap", "explain", "nginx", "--deep"]]
        {
            let (_, command) = read(words).expect("valid");
            let Command::Explain { target, look } = command else { panic!("{command:?}") };
            assert_eq!((target.as_str(), look), ("nginx", Look { deep: true, ..Look::default() }));
        }
        for words in [["memgap", "--deep", "ps"], ["memgap", "nginx", "ps"]] {
            assert!(read(&words).is_err_and(|error| error.to_string().contains("before")));
        }
    }

    #[test]
    fn an_error_is_one_line_in_lower_case() {
        for words in
            [&["memgap", "ps", "--top", "x"][..], &["memgap", "completions"], &["memgap", "--no"]]
        {
            let line = one_line(&Args::try_parse_from(words).expect_err("wrong"));
            assert!(!line.contains('\n') && !line.contains("error:"), "{line}");
            assert!(line.starts_with(|c: char| c.is_lowercase()), "{line}");
        }
    }
}
