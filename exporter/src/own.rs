//! The exporter's processes together: the figures that every Prometheus client has.

use std::time::{SystemTime, UNIX_EPOCH};

use procfs::process::{Process, Stat};
use rustix::process::{Pid, Resource, getrlimit};

use crate::encode::{Encoder, Kind, Value, labels};

/// More than are ever started.
const MOST: usize = 16;

/// The supervisor and those that it has started, and those that these have started.
#[derive(Debug, Clone, Copy)]
pub struct Processes {
    supervisor: Pid,
    started: Option<f64>,
}

/// The processes at one time.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    started: Option<f64>,
    cpu: Option<f64>,
    max_fds: Option<u64>,
    open_fds: Option<u64>,
    vsz: Option<u64>,
    rss: Option<u64>,
}

impl Processes {
    /// A supervisor and those that it has started, and will start.
    pub fn of(supervisor: Pid) -> Self {
        let stat = Process::new(supervisor.as_raw_nonzero().get()).and_then(|p| p.stat());
        Self { supervisor, started: stat.ok().and_then(|stat| since_epoch(&stat)) }
    }

    /// Reads the figures. What can not be read of one is known of none.
    pub fn read(self) -> Figures {
        let processes = self.all();
        let stats: Option<Vec<Stat>> =
            processes.as_ref().and_then(|all| all.iter().map(|p| p.stat().ok()).collect());
        let fds: Option<Vec<usize>> =
            processes.as_ref().and_then(|all| all.iter().map(|p| p.fd_count().ok()).collect());
        let page = rustix::param::page_size() as u64;
        let sum = |of: fn(&Stat) -> u64| stats.as_ref().map(|all| all.iter().map(of).sum::<u64>());
        Figures {
            started: self.started,
            cpu: sum(cpu_ticks).map(|ticks| ticks as f64 / procfs::ticks_per_second() as f64),
            max_fds: getrlimit(Resource::Nofile).current,
            open_fds: fds.map(|fds| fds.iter().sum::<usize>() as u64),
            vsz: sum(|stat| stat.vsize),
            rss: sum(|stat| stat.rss).map(|pages| pages.saturating_mul(page)),
        }
    }

    /// The supervisor, its children and theirs; none where one of them can not be opened.
    fn all(self) -> Option<Vec<Process>> {
        let mut all = vec![Process::new(self.supervisor.as_raw_nonzero().get()).ok()?];
        let mut at = 0;
        while at < all.len() {
            // The kernel lists children by the thread that started them.
            for task in all[at].tasks().ok()? {
                for pid in task.ok()?.children().ok()? {
                    all.push(Process::new(pid.try_into().ok()?).ok()?);
                }
            }
            at += 1;
            if all.len() > MOST {
                return None;
            }
        }
        Some(all)
    }
}

/// Seconds since the epoch.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn since_epoch(stat: &Stat) -> Option<f64> {
    let boot = procfs::boot_time_secs().ok()?;
    Some(boot as f64 + stat.starttime as f64 / procfs::ticks_per_second() as f64)
}

/// Of a process and of its children that have ended.
fn cpu_ticks(stat: &Stat) -> u64 {
    let ended = stat.cutime.saturating_add(stat.cstime);
    stat.utime + stat.stime + u64::try_from(ended).unwrap_or(0)
}

impl Figures {
    /// Writes the families.
    pub fn write(&self, out: &mut Encoder) {
        let version = labels(&[("version", env!("CARGO_PKG_VERSION"))]);
        out.family(Kind::Info, "memgap_exporter_build_info", "Which exporter this is.").sample(
            &version,
            &[],
            Value::Int(1),
        );
        for (kind, name, help, value) in [
            (
                Kind::Counter,
                "process_cpu_seconds_total",
                "Processor time of its processes, user and system.",
                self.cpu.map(Value::Float),
            ),
            (
                Kind::Gauge,
                "process_start_time_seconds",
                "When it started, since the epoch.",
                self.started.map(Value::Float),
            ),
            (
                Kind::Gauge,
                "process_open_fds",
                "File descriptors open in its processes.",
                whole(self.open_fds),
            ),
            (
                Kind::Gauge,
                "process_max_fds",
                "File descriptors allowed to one process.",
                whole(self.max_fds),
            ),
            (
                Kind::Gauge,
                "process_virtual_memory_bytes",
                "Address space of its processes.",
                whole(self.vsz),
            ),
            (
                Kind::Gauge,
                "process_resident_memory_bytes",
                "Resident memory of its processes, of which some is shared.",
                whole(self.rss),
            ),
        ] {
            if let Some(value) = value {
                out.family(kind, name, help).sample("", &[], value);
            }
        }
    }
}

fn whole(value: Option<u64>) -> Option<Value> {
    Some(Value::Int(memgap_ledger::figure::signed(value?)))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// A shell, one below it, and `cat`, which ends with its input.
    #[test]
    fn those_whom_children_started_are_counted() {
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'echo begun; cat; :'; :"]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("there is a shell");
        let mut line = String::new();
        let said = child.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut line).expect("it says a line");
        let pid = Pid::from_child(&child);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let names = loop {
            let all = Processes::of(pid).all().unwrap_or_default();
            let name = |p: &Process| p.stat().map_or_else(|_| String::new(), |stat| stat.comm);
            let names: Vec<_> = all.iter().map(name).collect();
            if names == ["sh", "sh", "cat"] || std::time::Instant::now() > end {
                break names;
            }
            std::thread::yield_now();
        };
        drop(child.stdin.take());
        child.wait().expect("it ends with its input");
        assert_eq!(names, ["sh", "sh", "cat"]);
    }
}
