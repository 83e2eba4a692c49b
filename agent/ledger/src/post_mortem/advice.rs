//! What to do after a kill, by what held the memory and by whose limit it was.

use crate::figure::signed;
use crate::oom::{OomKill, Report, Short};
use crate::size::iec;

pub const ANON: &str = "anonymous memory";
pub const SHMEM: &str = "tmpfs and other shared memory";
pub const CACHE: &str = "page cache";
pub const KERNEL: &str = "kernel memory";
pub const SOCK: &str = "socket buffers";
pub const OTHER: &str = "what the kernel does not name";

impl OomKill {
    /// What can be done, each a sentence.
    pub fn advice(&self) -> Vec<String> {
        let Some(report) = &self.report else {
            return vec![
                "the kernel left its report out: look at the kill before it, or watch the room of the \
                 container, which says what fills it"
                    .to_owned(),
            ];
        };
        let mut advice = Vec::new();
        let most = self.held().first().map(|(kind, _)| *kind);
        match most {
            Some(ANON) => advice.push(self.of_anonymous(report)),
            Some(SHMEM) => advice.push(format!(
                "no kill gives back files of a tmpfs (/dev/shm, an emptyDir of medium Memory) and memfds: remove \
                 them, or bound the mount (size=, sizeLimit){}",
                look(report)
            )),
            Some(CACHE) => advice.push(of_cache(report)),
            Some(KERNEL | SOCK) => advice.push(format!(
                "the kernel held it for programs: page tables, sockets, dentries{}",
                look(report)
            )),
            _ => {}
        }
        match (self.short, &report.limit_of) {
            (Short::Cgroup, Some(path)) if report.is_ancestors() => {
                let list = command(path).map_or(String::new(), |path| {
                    format!("; `memgap ps --cgroups --cgroup {path}` lists them")
                });
                advice.push(format!(
                    "raise the limit of {path}, or lower those of what is below it until they fit{list}"
                ));
            }
            (Short::Machine, _) => advice.push(
                "limit what grew, so that nobody else is killed for it; `memgap host` says who has the memory"
                    .to_owned(),
            ),
            _ => {}
        }
        advice
    }

    fn of_anonymous(&self, report: &Report) -> String {
        let all = report.stat.anon.unwrap_or(0);
        if self.anon >= all / 2 {
            let look = command(&self.name).map_or(String::new(), |name| {
                format!("; `memgap {name}` says what it keeps while it runs")
            });
            return format!(
                "{} had most of it, {}: bound its heap, or raise the limit{look}",
                self.name,
                iec(signed(self.anon))
            );
        }
        match report.tasks.first() {
            Some(task) if task.pid != self.pid && task.bytes >= all / 2 => format!(
                "{} (pid {}) had most of it, {}, and was not the one that was chosen: bound it, or raise the limit",
                task.name,
                task.pid,
                iec(signed(task.bytes))
            ),
            _ if report.task_count > 1 => format!(
                "{} processes shared it: run fewer of them, bound each, or raise the limit",
                report.task_count
            ),
            _ => "bound what grew, or raise the limit".to_owned(),
        }
    }
}

fn of_cache(report: &Report) -> String {
    let stat = &report.stat;
    let cache = stat.file.unwrap_or(0).saturating_sub(stat.shmem.unwrap_or(0));
    let is_half = |bytes: Option<u64>| bytes.is_some_and(|bytes| bytes >= cache / 2);
    if is_half(stat.unevictable) {
        "page cache that is locked (mlock) or of a ramfs can not be dropped: unlock it, or raise the limit".to_owned()
    } else if is_half(stat.unwritten) {
        "page cache waited to be written to slow storage: write less at once, or raise the limit"
            .to_owned()
    } else {
        "page cache was left, which the kernel did not drop in time; why is not told: raise the limit".to_owned()
    }
}

/// How to see it while it grows.
fn look(report: &Report) -> String {
    let path = report.limit_of.as_deref().and_then(command);
    path.map_or(String::new(), |path| format!("; `memgap cgroup:{path}` says who holds it"))
}

/// A word that a shell takes as it is: others chose it, and it may be copied into one.
fn command(word: &str) -> Option<&str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
    (!word.is_empty() && !word.starts_with('-') && word.bytes().all(is_plain)).then_some(word)
}
