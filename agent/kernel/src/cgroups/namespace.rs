//! What a cgroup namespace does to the paths of `/proc/PID/cgroup`: they start at
//! the reader's own cgroup, and lead up by `..` to those outside of it
//! (cgroup_namespaces(7)). A container that reads the host's procfs sees that.

use std::path::Path;

use super::{MAX_CGROUPS, MAX_DEPTH, PROCS, PROCS_LIMIT, hierarchy::Hierarchy, memory_path};
use crate::file::{Buf, Dir};
use crate::source::cgroup;
use crate::text;

/// How to read the paths of the cgroups that processes are in.
#[derive(Debug)]
pub enum View {
    /// As paths of the hierarchy that is mounted.
    Same,
    /// As paths that start at a cgroup of it.
    From(String),
    /// We are in a namespace and do not know where it starts.
    Unknown,
}

impl View {
    /// Looks at the first process of the machine: its path leads up only when we
    /// are in a namespace that it is not in. That one starts above the cgroup
    /// that lists our own pid, by our own path.
    pub fn of(proc: &Dir, hierarchy: &Hierarchy, buf: &mut Buf) -> Self {
        let Some(first) = own_path(proc, "1/cgroup", hierarchy, buf) else { return Self::Same };
        if !climbs(&first) {
            return Self::Same;
        }
        // A captured tree knows nothing of us, though it may list our number.
        if !hierarchy.dir.is_cgroupfs() {
            return Self::Unknown;
        }
        // Not the machine's procfs: there, our pid is not known to us.
        let own = Dir::open(Path::new("/proc"))
            .ok()
            .and_then(|proc| own_path(&proc, "self/cgroup", hierarchy, buf));
        let listed = Search { left: MAX_CGROUPS, buf }.holder(&hierarchy.dir, "", 0);
        let start = own.zip(listed).and_then(|(own, listed)| {
            let start = listed.strip_suffix(own.trim_end_matches('/'))?;
            Some(start.to_owned())
        });
        start.map_or(Self::Unknown, Self::From)
    }

    /// The path below the mount point of the cgroup that a process is in.
    pub fn resolve(&self, hierarchy: &Hierarchy, path: &str) -> Option<String> {
        match self {
            Self::Same => hierarchy.below(path),
            Self::From(start) => resolve(start, path),
            Self::Unknown => None,
        }
    }
}

fn own_path(proc: &Dir, name: &str, hierarchy: &Hierarchy, buf: &mut Buf) -> Option<String> {
    let memberships = cgroup::parse(proc.read(name, cgroup::LIMIT, buf).ok()?).ok()?;
    let lines = memberships.iter().map(|(names, path)| (names.as_str(), path.as_str()));
    memory_path(hierarchy.version, lines).map(str::to_owned)
}

fn climbs(path: &str) -> bool {
    path == "/.." || path.starts_with("/../")
}

/// Follows a path from a cgroup; `None` where it leads above the root.
fn resolve(start: &str, path: &str) -> Option<String> {
    let mut names: Vec<&str> = start.split('/').filter(|name| !name.is_empty()).collect();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        match name {
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    Some(format!("/{}", names.join("/")))
}

/// The search for the cgroup that lists our pid, over a bounded number.
struct Search<'b> {
    left: usize,
    buf: &'b mut Buf,
}

impl Search<'_> {
    /// At most `MAX_DEPTH` calls deep.
    fn holder(&mut self, dir: &Dir, path: &str, depth: usize) -> Option<String> {
        if depth > MAX_DEPTH || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let own = u64::from(std::process::id());
        let listed = dir.read(PROCS, PROCS_LIMIT, self.buf);
        if listed.is_ok_and(|t| text::lines(t).any(|line| text::decimal(line) == Some(own))) {
            return Some(path.to_owned());
        }
        let (below, _) = dir.directories(self.left).ok()?;
        below.iter().find_map(|name| {
            // A name that is not text could not be in a process's path either.
            let path = format!("{path}/{}", name.to_str()?);
            self.holder(&dir.dir(name).ok()?, &path, depth + 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_followed_from_where_the_namespace_starts() {
        let start = "/kubepods/pod1/ours";
        for (path, resolved) in [
            ("/", Some("/kubepods/pod1/ours")),
            ("/inner", Some("/kubepods/pod1/ours/inner")),
            ("/../other", Some("/kubepods/pod1/other")),
            ("/../../../init.scope", Some("/init.scope")),
            ("/../../..", Some("/")),
            ("/../../../..", None),
        ] {
            assert_eq!(resolve(start, path).as_deref(), resolved, "{path}");
        }
    }
}
