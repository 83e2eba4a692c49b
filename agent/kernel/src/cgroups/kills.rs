//! What a cgroup and those above it have counted of kills.

use memgap_ledger::oom::Counted;
use memgap_ledger::sample::{CgroupVersion, ContainerNames};
use memgap_ledger::{Fact, Missing};

use super::{Cgroups, components};
use crate::file::Buf;
use crate::source::{memory_events, oom_control};

impl Cgroups {
    /// The counters of the cgroup at a path, and of all above it but the root, which limits
    /// nothing; the nearest first.
    pub fn kills(&self, path: &str) -> Vec<Counted> {
        let mut counted = Vec::new();
        let names: Vec<&str> = components(path).collect();
        let mut buf = Buf::default();
        for depth in (1..=names.len()).rev() {
            let path = format!("/{}", names[..depth].join("/"));
            counted.push(self.kills_of(path, &mut buf));
        }
        counted
    }

    /// What Kubernetes calls a container, by its id; also one that has ended, as long as its
    /// log is kept.
    pub fn names_of(&self, id: &str) -> Option<ContainerNames> {
        let mut logs = self.logs.borrow_mut();
        logs.refresh();
        logs.of(id).cloned()
    }

    fn kills_of(&self, path: String, buf: &mut Buf) -> Counted {
        let dir = match self.locate(&path) {
            Ok((dir, _)) => dir,
            Err(lack) => {
                let (own, with_below) = (Err(lack.clone()), Err(lack.clone()));
                return Counted { path, own, with_below, limit_met: Err(lack) };
            }
        };
        if self.version() == CgroupVersion::V1 {
            let silent = || Missing::absent("cgroup v1 does not count it");
            let own = oom_control::read(&dir, buf);
            return Counted { path, own, with_below: Err(silent()), limit_met: Err(silent()) };
        }
        let kills = |events: Fact<memory_events::MemoryEvents>| {
            events?.oom_kill.ok_or_else(|| Missing::absent("this kernel counts no OOM kills"))
        };
        let local = memory_events::read_local(&dir, buf);
        let limit_met = local.as_ref().map(|local| local.oom).map_err(Clone::clone);
        let with_below = kills(memory_events::read(&dir, buf));
        Counted { path, own: kills(local), with_below, limit_met }
    }
}
