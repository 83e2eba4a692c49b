//! Whose processes keep each other waiting: of one tenant only so many workers wait at a
//! time, so that he can not take what reads everybody else's memory.

use std::collections::VecDeque;

use memgap_ledger::{Identity, Missing, MissingKind};

use super::Collector;
use super::jobs::Job;
use super::tracked::Tracked;

/// Workers that wait for processes of one tenant, of those that may wait at all.
pub(super) const MAX_OF_TENANT: usize = 2;

/// Who can make processes at will, in whatever cgroups below his own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tenant {
    /// The pod or container, the outermost where one runs in another; a user's slice; of
    /// root's other processes the cgroup itself.
    Cgroup(String),
    /// Whoever else is not root.
    User(u32),
}

impl Tenant {
    /// Of a process in that cgroup that runs as that user, as far as they are known.
    pub fn of(cgroup: Option<&str>, user: Option<u32>) -> Self {
        let cgroup = cgroup.unwrap_or_default();
        let ends = cgroup.match_indices('/').map(|(at, _)| at).chain([cgroup.len()]);
        let own = ends.map(|end| &cgroup[..end]).find(|path| is_owned(path));
        match (own, user) {
            (None, Some(user)) if user != 0 => Self::User(user),
            _ => Self::Cgroup(own.unwrap_or(cgroup).to_owned()),
        }
    }

    /// In words.
    fn says(&self) -> String {
        match self {
            Self::Cgroup(path) => format!("of cgroup {path}"),
            Self::User(user) => format!("of user {user}"),
        }
    }
}

/// Whether the last part of the path is made for a tenant. What a user makes below his slice
/// is his, whatever it looks like.
fn is_owned(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    let user = last.strip_prefix("user-").and_then(|rest| rest.strip_suffix(".slice"));
    let is_user = user.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
    is_user
        || matches!(Identity::of_path(last, None), Identity::Container(_) | Identity::Pod { .. })
}

impl Collector {
    /// Sets those jobs apart whose tenants keep so many workers waiting that none is left for
    /// them.
    pub(super) fn turn_away(&self, jobs: &mut VecDeque<Job>, away: &mut VecDeque<Job>) {
        let full = self.full();
        if full.is_empty() {
            return;
        }
        let is_away = |job: &Job| {
            let tracked = self.tracked.get(&job.id.pid);
            tracked.is_some_and(|tracked| full.contains(&&tracked.tenant()))
        };
        let (theirs, others) = std::mem::take(jobs).into_iter().partition(is_away);
        *jobs = others;
        let mut theirs: VecDeque<Job> = theirs;
        away.append(&mut theirs);
    }

    /// Tenants that keep as many workers waiting as they may.
    fn full(&self) -> Vec<&Tenant> {
        let mut full = Vec::new();
        let tenants = || self.waiting.values().map(|one| &one.tenant);
        for tenant in tenants() {
            let count = tenants().filter(|other| *other == tenant).count();
            if count >= MAX_OF_TENANT && !full.contains(&tenant) {
                full.push(tenant);
            }
        }
        full
    }

    /// Why nothing is read of a process but its counters: its tenant's others do not answer.
    pub(super) fn turned_away(&self, tracked: &Tracked) -> Option<Missing> {
        let tenant = tracked.tenant();
        let is_full = self.full().contains(&&tenant);
        let why = || {
            let whose = tenant.says();
            format!(
                "{MAX_OF_TENANT} processes {whose} do not answer: none of the others is asked until one does"
            )
        };
        is_full.then(|| Missing::new(MissingKind::Refused, why()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const POD: &str = "/kubepods/burstable/pod8f4e0b3a-1f0c-4d5e-9a67-0c1d2e3f4a5b";

    fn cgroup(path: &str) -> Tenant {
        Tenant::Cgroup(path.to_owned())
    }

    #[test]
    fn what_is_made_below_a_cgroup_is_of_its_tenant() {
        let container = format!("/system.slice/docker-{ID}.scope");
        for below in ["", "/init.scope", &format!("/docker/{ID}"), "/user-7.slice"] {
            let path = format!("{container}{below}");
            assert_eq!(Tenant::of(Some(&path), Some(0)), cgroup(&container), "{path}");
            assert_eq!(Tenant::of(Some(&path), Some(1000)), cgroup(&container), "{path}");
        }
        // All containers of a pod are its.
        assert_eq!(Tenant::of(Some(&format!("{POD}/{ID}")), Some(0)), cgroup(POD));
        let user = "/user.slice/user-1000.slice";
        let path = format!("{user}/user@1000.service/{ID}");
        assert_eq!(Tenant::of(Some(&path), Some(100_000)), cgroup(user));
    }

    #[test]
    fn others_are_told_apart_by_their_user_and_root_by_its_cgroups() {
        assert_eq!(Tenant::of(Some("/a"), Some(33)), Tenant::User(33));
        assert_eq!(Tenant::of(None, Some(33)), Tenant::User(33));
        let unit = "/system.slice/nginx.service";
        assert_eq!(Tenant::of(Some(unit), Some(0)), cgroup(unit));
        assert_eq!(Tenant::of(Some(unit), None), cgroup(unit));
        assert_eq!(Tenant::of(None, None), cgroup(""));
        assert_eq!(Tenant::of(Some("/user-.slice/user-x.slice"), Some(5)), Tenant::User(5));
    }
}
