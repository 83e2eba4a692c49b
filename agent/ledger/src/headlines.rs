//! The headline figures of each scope: one list for people and for programs.

use crate::finding::Subject;
use crate::program::WHOLE;
use crate::{Figure, Identity};

/// One figure that operators know, or ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headline {
    /// The stable name, as in JSON.
    pub name: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// Its bytes.
    pub figure: Figure,
    /// What it means, in a few words.
    pub meaning: &'static str,
}

impl Headline {
    /// Whether it is a figure that is only worth a line where there is something.
    pub fn is_idle(&self) -> bool {
        match self.name {
            "peak" => self.figure == Figure::Absent,
            "swap" => matches!(self.figure, Figure::Absent | Figure::Exact(0)),
            _ => false,
        }
    }

    /// Whether the figure is one that people hold against a limit.
    pub fn meets_limit(&self) -> bool {
        ["usage", "working_set", "required"].contains(&self.name)
    }
}

/// The share of its memory for which what is in use speaks, where that is not nearly all.
pub fn partly_read(subject: Subject<'_>) -> Option<f64> {
    let coverage = match subject {
        Subject::Process(p) => p.coverage(),
        Subject::Cgroup(c) => c.headline.in_use_coverage,
        Subject::Host(_) => None,
    };
    coverage.filter(|coverage| *coverage < WHOLE)
}

/// The headline figures, in the order in which they are shown.
pub fn figures(subject: Subject<'_>) -> Vec<Headline> {
    let line = |name, figure, meaning| Headline { name, label: label(name), figure, meaning };
    match subject {
        Subject::Process(p) => vec![
            line("vsz", p.headline.vsz, "address space, memory behind it or not"),
            line("rss", p.headline.rss, "resident, shared pages counted in full"),
            line("pss", p.headline.pss, "resident, shared pages divided among processes"),
            line("uss", p.headline.uss, "private: resident in no other process"),
            line("in_use", p.headline.in_use, "by the statistics of its own allocators"),
        ],
        Subject::Cgroup(c) => vec![
            line("usage", c.headline.usage, "all that the kernel charges"),
            line("working_set", c.headline.working_set, "usage less inactive_file"),
            line("working_set_hidden", c.headline.working_set_hidden, "live, not in working set"),
            line("required", c.headline.required, "what a limit has to hold"),
            line(
                "limit",
                c.headline.limit.map_or(Figure::Absent, Figure::exact),
                "the kernel kills beyond it",
            ),
            line(
                "room",
                c.room.as_ref().map_or(Figure::Absent, |room| room.bytes),
                "what can be allocated before an OOM kill",
            ),
            line("peak", c.headline.peak, "the largest usage so far"),
            line("swap", c.headline.swap, "swapped out, in none of the figures above"),
            line("in_use", c.headline.in_use, "by the statistics of their own allocators"),
        ],
        Subject::Host(h) => vec![
            line("total", h.headline.total, "all memory that the kernel manages"),
            line("usage", h.headline.usage, "MemTotal less MemFree"),
            line("available", h.headline.available, "the kernel's estimate of what can be had"),
            line("swap_used", h.headline.swap_used, "in the swap area"),
        ],
    }
}

/// Cuts through a cgroup's axis, and the detail behind them: in JSON only.
pub fn details(subject: Subject<'_>) -> Vec<(&'static str, Figure)> {
    match subject {
        Subject::Process(_) => Vec::new(),
        Subject::Cgroup(c) => {
            vec![
                ("lru_lazy", c.lru_lazy),
                ("locked_cache", c.locked_cache),
                ("inactive_file", c.inactive_file),
            ]
        }
        Subject::Host(h) => vec![("lru_lazy", h.lru_lazy)],
    }
}

/// What people call a cgroup: the path of a container ends in 64 digits that tell nothing.
pub fn cgroup_name(path: &str, identity: &Identity) -> String {
    match identity {
        Identity::Container(c) => match &c.names {
            Some(n) => format!("{}/{}/{}", n.namespace, n.pod, n.container),
            None => format!("container/{}", c.id.get(..12).unwrap_or(&c.id)),
        },
        Identity::Pod { uid } => format!("pod/{uid}"),
        Identity::Unit { .. } | Identity::Other => path.to_owned(),
    }
}

/// What people call a figure that gaps and headlines name.
pub fn label(name: &str) -> &str {
    match name {
        "vsz" => "VSZ",
        "rss" => "RSS",
        "pss" => "PSS",
        "uss" => "USS",
        "in_use" => "in use",
        "working_set" => "working set",
        "working_set_hidden" => "hidden",
        "total" => "MemTotal",
        "available" => "MemAvailable",
        "swap_used" => "swap used",
        other => other,
    }
}
