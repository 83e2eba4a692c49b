//! Which processes have one memory between them: the kernel shows it for each, as if it were
//! that one's alone.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use memgap_kernel::file::Buf;
use memgap_kernel::one_memory::compare;
use memgap_kernel::pid_namespace;
use memgap_kernel::source::stat::{self, Image};
use memgap_kernel::{Dir, Process};
use memgap_ledger::sample::OneMemory;

/// Processes that are compared, all in all.
const MOST: usize = 1 << 16;

/// The processes of a machine that look as if they had one memory, by pid, with those that do.
#[derive(Debug, Default)]
pub struct Peers(BTreeMap<u32, Vec<Peer>>);

/// One that has a memory, and how it looked then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Peer {
    start: u64,
    pid: u32,
    image: Image,
}

impl Peers {
    /// Compares the processes of a procfs. Where pids are not those of the own namespace, or
    /// rights are missing, none has one memory with another as far as is known.
    pub fn read(
        procfs: &Dir,
        pids: &[u32],
        open: impl Fn(u32) -> Option<Process>,
        buf: &mut Buf,
    ) -> Self {
        if !pid_namespace::is_own(procfs.path(), buf) {
            return Self::default();
        }
        let mut alike: BTreeMap<Image, Vec<Peer>> = BTreeMap::new();
        for pid in pids.iter().take(MOST) {
            if let Some(peer) = open(*pid).and_then(|process| Peer::of(&process, buf)) {
                alike.entry(peer.image).or_default().push(peer);
            }
        }
        let mut peers = BTreeMap::new();
        for mut alike in alike.into_values().filter(|alike| alike.len() > 1) {
            alike.sort_unstable_by_key(|peer| (peer.start, peer.pid));
            for one in memories(&alike, compare_peers).into_iter().filter(|one| one.len() > 1) {
                peers.extend(one.iter().map(|peer| (peer.pid, one.clone())));
            }
        }
        Self(peers)
    }

    /// Who has one memory with a process that is about to be read; `None` where nobody has.
    /// One that runs another program by now has its own.
    pub fn of(
        &self,
        process: &Process,
        open: impl Fn(u32) -> Option<Process>,
        buf: &mut Buf,
    ) -> Option<OneMemory> {
        let known = self.0.get(&process.pid())?;
        let own = Peer::of(process, buf)?;
        let mut is_there = |peer: &&Peer| {
            let now = open(peer.pid).and_then(|process| Peer::of(&process, buf));
            now.as_ref() == Some(*peer)
        };
        let there: Vec<u32> = known.iter().filter(&mut is_there).map(|peer| peer.pid).collect();
        let others: Vec<u32> = there.iter().copied().filter(|pid| *pid != own.pid).collect();
        // The first one is the one that the memory was made for, and is charged for it.
        let counted_at = *there.first()?;
        (known.contains(&own) && !others.is_empty()).then_some(OneMemory { counted_at, others })
    }
}

impl Peer {
    fn of(process: &Process, buf: &mut Buf) -> Option<Self> {
        let stat = stat::read(process, buf).ok()?;
        Some(Self { start: stat.start, pid: process.pid(), image: stat.image? })
    }
}

fn compare_peers(a: Peer, b: Peer) -> Option<Ordering> {
    compare(a.pid, b.pid).ok()
}

/// Divides peers by their memory, each part in the given order. What can not be compared
/// with all that its place depends on is left out.
fn memories(peers: &[Peer], compare: impl Fn(Peer, Peer) -> Option<Ordering>) -> Vec<Vec<Peer>> {
    let mut memories: Vec<Vec<Peer>> = Vec::new();
    'peers: for &peer in peers {
        let (mut low, mut high) = (0, memories.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match compare(memories[middle][0], peer) {
                Some(Ordering::Less) => low = middle + 1,
                Some(Ordering::Greater) => high = middle,
                Some(Ordering::Equal) => {
                    memories[middle].push(peer);
                    continue 'peers;
                }
                None => continue 'peers,
            }
        }
        memories.insert(low, vec![peer]);
    }
    memories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_memory_has_those_that_share_it_in_their_order() {
        let peer = |pid| Peer { start: 0, pid, image: [1, 2, 3] };
        let peers: Vec<Peer> = (1..=9).map(peer).collect();
        // Three memories; nobody may look at pid 5.
        let by_memory =
            |a: Peer, b: Peer| (a.pid != 5 && b.pid != 5).then(|| (a.pid % 3).cmp(&(b.pid % 3)));
        let found = memories(&peers, by_memory);
        let pids: Vec<Vec<u32>> =
            found.iter().map(|one| one.iter().map(|peer| peer.pid).collect()).collect();
        assert_eq!(pids, [vec![3, 6, 9], vec![1, 4, 7], vec![2, 8]]);
    }
}
