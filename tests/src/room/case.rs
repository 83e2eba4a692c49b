//! The situations in which room is held against the kernel's own kill. Amounts are MiB;
//! `{disk}` is a file on a disk, `{tmpfs}` one on a tmpfs.

/// A cgroup below a pod's, and what happens in it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The pod's limit, if it has one.
    pub pod: Option<u64>,
    /// The cgroup's own.
    pub limit: u64,
    /// What may be swapped out of it.
    pub swap: u64,
    /// What its process does.
    pub script: &'static str,
    /// What happens in another cgroup of the pod, after that.
    pub neighbour: Option<Neighbour>,
}

/// Another cgroup of the pod.
#[derive(Debug, Clone, Copy)]
pub struct Neighbour {
    /// What its process does.
    pub script: &'static str,
    /// Whether it is removed then.
    pub ends: bool,
}

const ALONE: Case = Case { name: "", pod: None, limit: 160, swap: 0, script: "", neighbour: None };

/// All of them. None needs more than 250 MiB.
pub const CASES: [Case; 14] = [
    Case { name: "anonymous", script: "anon heap 64", ..ALONE },
    Case { name: "page-cache", script: "anon heap 32\n fill {disk} 64\n flush {disk}", ..ALONE },
    Case { name: "lazy", script: "anon heap 96\n free heap 0 80", ..ALONE },
    Case {
        name: "hidden",
        script: "anon heap 96\n free heap 0 80\n write heap 0 64",
        ..ALONE
    },
    Case {
        name: "mlock",
        script: "anon heap 16\n fill {disk} 80\n flush {disk}\n map cache {disk} 80\n lock cache 0 48",
        ..ALONE
    },
    Case {
        name: "mlock-heap",
        script: "anon heap 64\n lock heap 0 48\n fill {disk} 64\n flush {disk}",
        ..ALONE
    },
    Case {
        name: "foreign-mlock",
        script: "anon heap 16\n fill {disk} 80\n flush {disk}",
        neighbour: Some(Neighbour { script: "map cache {disk} 64\n lock cache 0 64", ends: false }),
        ..ALONE
    },
    Case { name: "tmpfs", script: "fill {tmpfs} 64\n shared area 16", ..ALONE },
    Case {
        name: "dying-sibling",
        pod: Some(200),
        script: "anon heap 16",
        neighbour: Some(Neighbour { script: "fill {tmpfs} 120", ends: true }),
        ..ALONE
    },
    Case {
        name: "pod-limit",
        pod: Some(200),
        script: "anon heap 16\n fill {disk} 32\n flush {disk}",
        neighbour: Some(Neighbour { script: "anon heap 96", ends: false }),
        ..ALONE
    },
    Case { name: "swap", swap: 48, script: "anon heap 64", ..ALONE },
    Case { name: "slab", script: "anon heap 32\n entries {tmpfs}-entries 20000", ..ALONE },
    Case { name: "kernel", script: "anon heap 32\n pipes 128\n threads 64", ..ALONE },
    Case {
        name: "mixed",
        pod: Some(220),
        script: "anon heap 64\n free heap 0 48\n write heap 0 24\n lock heap 48 56
                 fill {disk} 48\n flush {disk}\n map cache {disk} 48\n lock cache 0 16\n fill {tmpfs} 8",
        neighbour: Some(Neighbour { script: "shared area 48", ends: false }),
        ..ALONE
    },
];
