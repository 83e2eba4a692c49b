//! What is known of kills of a target, which may be gone.

use std::time::Duration;

use memgap_kernel::file::Dir;
use memgap_kernel::source::kernel_log;
use memgap_ledger::oom::{KernelLog, OomKill, Short};
use memgap_ledger::post_mortem::PostMortem;
use memgap_ledger::{Fact, Identity, Missing};

use crate::error::Error;
use crate::find::{COMM_LEN, find};
use crate::reader::{Reader, is_within};
use crate::target::{Found, Target};

/// Looks into the kernel's log and the counters of cgroups. Who is asked about may be gone.
pub fn post_mortem(reader: &Reader, target: &Target) -> Result<PostMortem, Error> {
    let now = match find(reader, target) {
        Err(error @ Error::Ambiguous { .. }) => return Err(error),
        now => now.ok(),
    };
    let home = match &now {
        Some(Found::Cgroup { path }) => Some(path.clone()),
        _ => None,
    };
    let log = log(reader);
    let (mut kills, mut unplaced) = (Vec::new(), 0);
    for kill in log.as_ref().map_or(&[][..], |log| &log.kills).iter().rev() {
        if concerns(reader, target, home.as_deref(), kill) {
            kills.push(kill.clone());
        } else if kill.cgroup().is_none() && kill.short == Short::Cgroup && is_place(target) {
            unplaced += 1;
        }
    }
    let counted = match (&home, reader.hierarchy()) {
        (Some(path), Ok(cgroups)) => cgroups.kills(path),
        _ => Vec::new(),
    };
    let log = log.map(|log| KernelLog { kills: Vec::new(), ..log });
    let (target, is_there) = (target.to_string(), now.is_some());
    Ok(PostMortem { target, is_there, kills, unplaced, counted, log })
}

/// The log of the kernel that is asked about: a captured machine's is not here.
fn log(reader: &Reader) -> Fact<KernelLog> {
    if !Dir::open(reader.procfs())?.is_procfs() {
        let why = "a captured machine's kernel log is not in the capture";
        return Err(Missing::absent(why));
    }
    kernel_log::read()
}

/// The cgroups of processes that were killed for a limit in so much time until now, one for
/// each kill, as far as the kernel's log may be read and tells.
pub fn killed_since(reader: &Reader, since: Duration) -> Vec<String> {
    let Ok(log) = log(reader) else { return Vec::new() };
    let is_since = |kill: &&OomKill| log.now.saturating_sub(kill.at) <= since;
    let kills = log.kills.iter().filter(is_since);
    kills.filter_map(|kill| kill.cgroup().map(str::to_owned)).collect()
}

/// Whether it is asked about a place, and not about a process.
fn is_place(target: &Target) -> bool {
    !matches!(target, Target::Pid(_) | Target::Name(_) | Target::Own | Target::Host)
}

fn concerns(reader: &Reader, target: &Target, home: Option<&str>, kill: &OomKill) -> bool {
    let is_below =
        |is_it: &dyn Fn(&str) -> bool| kill.cgroup().is_some_and(|path| any_above(path, is_it));
    match target {
        Target::Host => true,
        Target::Pid(pid) => kill.pid == *pid,
        Target::Own => kill.pid == std::process::id(),
        // Of a longer name the kernel keeps the beginning.
        Target::Name(name) => kill.name == name.get(..COMM_LEN).unwrap_or(name),
        Target::Cgroup(path) => kill.cgroup().is_some_and(|of| is_within(of, path)),
        _ if kill.cgroup().is_some_and(|of| home.is_some_and(|home| is_within(of, home))) => true,
        Target::Unit(name) => is_below(&|path| is_unit(path, name)),
        Target::Container(id) => is_below(&|path| is_container(path, id)),
        Target::Pod { namespace, name } => {
            is_below(&|path| is_of_pod(reader, path, namespace.as_deref(), name))
        }
    }
}

/// Whether a path or one above it is it.
fn any_above(path: &str, is_it: &dyn Fn(&str) -> bool) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
    ends.into_iter().any(|end| is_it(&path[..end]))
}

fn is_unit(path: &str, wanted: &str) -> bool {
    matches!(Identity::of_path(path, None), Identity::Unit { name }
        if name == wanted || name.strip_suffix(".service") == Some(wanted))
}

fn is_container(path: &str, prefix: &str) -> bool {
    matches!(Identity::of_path(path, None), Identity::Container(c) if c.id.starts_with(prefix))
}

/// By its uid, or by the names of its containers, which the node keeps as long as their logs.
fn is_of_pod(reader: &Reader, path: &str, namespace: Option<&str>, wanted: &str) -> bool {
    match Identity::of_path(path, None) {
        Identity::Pod { uid } => namespace.is_none() && uid == wanted,
        Identity::Container(container) => {
            let names = reader.hierarchy().ok().and_then(|cgroups| cgroups.names_of(&container.id));
            names.is_some_and(|names| {
                names.pod == wanted && namespace.is_none_or(|n| names.namespace == n)
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_known_by_the_path_that_it_had() {
        const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let path = format!("/kubepods/pod8f4e0b3a-1f0c-4d5e-9a67-0c1d2e3f4a5b/{ID}/inner");
        assert!(any_above(&path, &|path| is_container(path, "0123")));
        assert!(!any_above(&path, &|path| is_container(path, "123")));
        assert!(any_above("/a.slice/nginx.service", &|path| is_unit(path, "nginx")));
        assert!(any_above("/a/nginx.service/x", &|path| is_unit(path, "nginx.service")));
        assert!(!any_above("/a/xnginx.service", &|path| is_unit(path, "nginx")));
        assert!(!any_above("/", &|path| is_unit(path, "")));
    }
}
