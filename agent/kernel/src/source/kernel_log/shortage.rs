//! What the kernel says of the memory of which there was too little: `mem_cgroup_print_oom_info`
//! and `show_mem`, and of the processes that had it: `dump_tasks`.

use std::collections::BTreeSet;

use memgap_ledger::oom::{OomStat, Report, Short, Task};

use crate::text;

/// Processes that are kept of a report, those with most memory.
const MAX_TASKS: usize = 16;
/// Pids that are kept while it is read.
const MAX_PIDS: usize = 32_768;
/// Bytes of a process's name that the kernel keeps.
const NAME: usize = 15;
/// A record of more is cut short by the kernel (`LOG_LINE_MAX`, less the longest prefix).
const CUT: usize = 940;

/// What the lines so far told.
#[derive(Default)]
pub struct Shortage {
    memory: Option<(u64, u64)>,
    swap: Option<(u64, u64)>,
    with_swap: Option<(u64, u64)>,
    kmem: Option<u64>,
    part: Part,
    own: Stat,
    /// v1: with all cgroups below.
    total: Stat,
    columns: Option<Columns>,
    tasks: Vec<Task>,
    pids: BTreeSet<u32>,
    task_count: usize,
    task_bytes: u64,
}

/// Which lines come.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    Statistics,
    Machine,
    Tasks,
}

/// Figures by the kernel's names, in bytes.
#[derive(Default, Clone, Copy)]
struct Stat {
    anon: Option<u64>,
    file: Option<u64>,
    shmem: Option<u64>,
    kernel: Option<u64>,
    /// What kernel memory is made of where no sum is told.
    kernel_parts: Option<u64>,
    sock: Option<u64>,
    unevictable: Option<u64>,
    unwritten: Option<u64>,
}

/// Where the figures of a process stand in its line.
struct Columns {
    total: usize,
    /// Those that add up to what it has, by number.
    sizes: Vec<usize>,
}

impl Shortage {
    /// Whether a process was among those that could have been chosen.
    pub fn has(&self, pid: u32) -> bool {
        self.pids.contains(&pid)
    }

    pub fn take(&mut self, line: &str, page: u64) {
        if let Some(rest) = line.strip_prefix("memory: ") {
            self.memory = usage(rest);
        } else if let Some(rest) = line.strip_prefix("swap: ") {
            self.swap = usage(rest);
        } else if let Some(rest) = line.strip_prefix("memory+swap: ") {
            self.with_swap = usage(rest);
        } else if let Some(rest) = line.strip_prefix("kmem: ") {
            self.kmem = usage(rest).map(|(used, _)| used);
        } else if line.starts_with("Memory cgroup stats for /") {
            self.part = Part::Statistics;
            // Up to 5.1 in the same line, of each cgroup for itself.
            let inline = line.rsplit_once(": cache:").filter(|_| !line.ends_with(':'));
            if let Some((_, figures)) = inline {
                format!("cache:{figures}").split(' ').for_each(|figure| self.inline(figure));
            }
        } else if line.starts_with("Mem-Info:") {
            self.part = Part::Machine;
        } else if line.starts_with("Tasks state ") {
            self.part = Part::Tasks;
        } else if line.starts_with("[ ") && line.ends_with(" name") && line.contains(" tgid ") {
            (self.part, self.columns) = (Part::Tasks, Columns::of(line));
        } else {
            self.figures(line, page);
        }
    }

    fn figures(&mut self, line: &str, page: u64) {
        match self.part {
            Part::Head => {}
            Part::Tasks => self.task(line, page),
            Part::Statistics => {
                let is_cut = line.len() > CUT;
                let mut figures: Vec<&str> = line.split('\n').collect();
                if is_cut && figures.len() > 1 {
                    figures.pop();
                }
                for figure in figures {
                    self.statistic(figure);
                }
            }
            Part::Machine => line.split_whitespace().for_each(|word| {
                let Some((key, pages)) = word.split_once(':') else { return };
                let bytes = pages.parse::<u64>().ok().and_then(|pages| pages.checked_mul(page));
                if let Some(bytes) = bytes {
                    self.own.add_machines(key, bytes);
                }
            }),
        }
    }

    /// `key number`
    fn statistic(&mut self, figure: &str) {
        let Some((key, number)) = figure.split_once(' ') else { return };
        let Ok(bytes) = number.parse() else { return };
        match key.strip_prefix("total_") {
            Some(key) => self.total.add(key, bytes),
            None => self.own.add(key, bytes),
        }
    }

    /// `key:numberKB`
    fn inline(&mut self, figure: &str) {
        let Some((key, number)) = figure.split_once(':') else { return };
        let number = number.strip_suffix("KB").and_then(|number| number.parse::<u64>().ok());
        if let Some(bytes) = number.and_then(|number| number.checked_mul(1024)) {
            self.own.add(key, bytes);
        }
    }

    fn task(&mut self, line: &str, page: u64) {
        let Some(columns) = &self.columns else { return };
        let Some((pid, bytes, name)) = columns.read(line, page) else { return };
        self.task_count += 1;
        self.task_bytes = self.task_bytes.saturating_add(bytes);
        if self.pids.len() < MAX_PIDS {
            self.pids.insert(pid);
        }
        let at = self.tasks.partition_point(|task| task.bytes >= bytes);
        if at < MAX_TASKS {
            let name = text::printable(name.as_bytes(), NAME);
            self.tasks.insert(at, Task { pid, name, bytes });
            self.tasks.truncate(MAX_TASKS);
        }
    }

    pub fn report(&self, short: Short, page: u64) -> Report {
        let mut stat = if self.total.anon.is_some() { self.total } else { self.own };
        if let (Short::Machine, Some(shmem)) = (short, stat.shmem) {
            stat.anon = stat.anon.map(|anon| anon.saturating_sub(shmem));
            stat.file = stat.file.map(|file| file.saturating_add(shmem));
        }
        // v1 tells the whole in a line of its own, v2 before 5.18 parts.
        let kernel = stat.kernel.or(self.kmem).or(stat.kernel_parts);
        let memory = self.memory.filter(|_| short == Short::Cgroup);
        Report {
            usage: memory.map(|(usage, _)| usage),
            // v1 shows none as the largest number of pages.
            limit: memory
                .map(|(_, limit)| limit)
                .filter(|limit| *limit < u64::MAX / 2 / page * page),
            with_swap: self.with_swap,
            swap: self.swap,
            stat: OomStat {
                anon: stat.anon,
                file: stat.file,
                shmem: stat.shmem,
                kernel,
                sock: stat.sock.filter(|_| short == Short::Cgroup),
                unevictable: stat.unevictable,
                unwritten: stat.unwritten,
            },
            tasks: self.tasks.clone(),
            task_count: self.task_count,
            task_bytes: self.task_bytes,
            ..Report::default()
        }
    }
}

impl Stat {
    fn place(&mut self, key: &str) -> Option<&mut Option<u64>> {
        Some(match key {
            "anon" | "rss" => &mut self.anon,
            "file" | "cache" => &mut self.file,
            "shmem" => &mut self.shmem,
            "kernel" => &mut self.kernel,
            "kernel_stack" | "pagetables" | "percpu" | "slab_reclaimable"
            | "slab_unreclaimable" => &mut self.kernel_parts,
            "sock" => &mut self.sock,
            "unevictable" => &mut self.unevictable,
            "file_dirty" | "file_writeback" | "dirty" | "writeback" => &mut self.unwritten,
            _ => return None,
        })
    }

    fn add(&mut self, key: &str, bytes: u64) {
        if let Some(place) = self.place(key) {
            *place = Some(place.unwrap_or(0).saturating_add(bytes));
        }
    }

    /// A figure of `show_mem`. The lists of anonymous memory hold what is shared too.
    fn add_machines(&mut self, key: &str, bytes: u64) {
        match key {
            "active_anon" | "inactive_anon" => self.add("anon", bytes),
            "active_file" | "inactive_file" => self.add("file", bytes),
            "shmem" | "unevictable" | "slab_reclaimable" | "slab_unreclaimable" | "pagetables"
            | "dirty" | "writeback" => self.add(key, bytes),
            _ => {}
        }
    }
}

impl Columns {
    /// `[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes
    /// swapents oom_score_adj name`: before 6.8 without the parts of `rss`.
    fn of(header: &str) -> Option<Self> {
        let (_, header) = header.split_once(']')?;
        let names: Vec<&str> = header.split_whitespace().collect();
        let at = |name: &str| names.iter().position(|column| *column == name);
        let sizes = match (at("rss_anon"), at("rss_shmem"), at("rss")) {
            (Some(anon), Some(shmem), _) => vec![anon, shmem],
            (_, _, Some(rss)) => vec![rss],
            _ => return None,
        };
        Some(Self { total: names.len().checked_sub(1)?, sizes })
    }

    fn read<'l>(&self, line: &'l str, page: u64) -> Option<(u32, u64, &'l str)> {
        let (pid, mut rest) = line.strip_prefix('[')?.split_once(']')?;
        let pid = pid.trim().parse().ok()?;
        let mut bytes: u64 = 0;
        for column in 0..self.total {
            let trimmed = rest.trim_start_matches(' ');
            let (word, behind) = trimmed.split_once(' ')?;
            let number: i64 = word.parse().ok()?;
            if self.sizes.contains(&column) {
                let size = u64::try_from(number).ok()?.checked_mul(page)?;
                bytes = bytes.checked_add(size)?;
            }
            rest = behind;
        }
        Some((pid, bytes, rest))
    }
}

/// `usage NkB, limit NkB, failcnt N`
fn usage(text: &str) -> Option<(u64, u64)> {
    let (usage, rest) = text.strip_prefix("usage ")?.split_once(", limit ")?;
    let (limit, _) = rest.split_once(',')?;
    Some((kilobytes(usage)?, kilobytes(limit)?))
}

/// `NkB`
pub fn kilobytes(word: &str) -> Option<u64> {
    word.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024)
}
