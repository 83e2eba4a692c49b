//! What waits in the sockets of processes, by the tables of their network namespaces.

use std::collections::{BTreeMap, BTreeSet};

use memgap_kernel::source::sockets::{self, Protocol};
use memgap_kernel::{Buf, Process};
use memgap_ledger::sockets::SocketQueues;
use memgap_ledger::{Fact, Missing, MissingKind};

/// Network namespaces whose tables are read at once: each is a walk over all its sockets.
const MAX_NAMESPACES: usize = 64;
/// Sockets of all processes together that are known apart.
const MAX_SOCKETS: usize = 1 << 18;

/// Reads what waits in the sockets of the processes; one that several hold counts once.
/// A process is held open no longer than it is looked at, but for one of each namespace.
pub fn read(processes: impl Iterator<Item = Process>, buf: &mut Buf) -> Fact<SocketQueues> {
    let mut held = BTreeSet::new();
    let mut namespaces: BTreeMap<Vec<u8>, Process> = BTreeMap::new();
    let mut queues = SocketQueues { is_whole: true, ..SocketQueues::default() };
    let mut lack = None;
    for process in processes {
        match files(&process) {
            // A process that has none need not have its namespace read.
            Ok((inodes, _, is_whole)) if inodes.is_empty() => queues.is_whole &= is_whole,
            Ok((inodes, namespace, is_whole)) => {
                let room = MAX_SOCKETS.saturating_sub(held.len());
                queues.is_whole &= is_whole && inodes.len() <= room;
                held.extend(inodes.into_iter().take(room));
                namespaces.entry(namespace).or_insert(process);
            }
            Err(gone) if gone.kind == MissingKind::Gone => {}
            Err(other) => lack = Some(other),
        }
        if namespaces.len() > MAX_NAMESPACES {
            let why = format!("its processes are in more than {MAX_NAMESPACES} network namespaces");
            return Err(Missing::new(MissingKind::Refused, why));
        }
    }
    if let Some(lack) = lack {
        if held.is_empty() {
            return Err(lack);
        }
        queues.is_whole = false;
    }
    queues.count = held.len() as u64;
    for process in namespaces.values() {
        add(process, &mut held, &mut queues, buf)?;
    }
    Ok(queues)
}

/// The sockets of a process, its namespace, and whether all its files were looked at.
fn files(process: &Process) -> Fact<(Vec<u64>, Vec<u8>, bool)> {
    let (inodes, is_whole) = sockets::held(process)?;
    Ok((inodes, sockets::namespace(process)?, is_whole))
}

/// Adds the queues of those that are held, of one namespace.
fn add(
    process: &Process,
    held: &mut BTreeSet<u64>,
    queues: &mut SocketQueues,
    buf: &mut Buf,
) -> Fact<()> {
    sockets::queues(process, buf, |protocol, queue| {
        // Taken out: a socket may stand in a table twice while that is read.
        if held.remove(&queue.inode) {
            let (sent, received) = match protocol {
                Protocol::Tcp => (&mut queues.tcp_sent, &mut queues.tcp_received),
                Protocol::Udp => (&mut queues.udp_sent, &mut queues.udp_received),
            };
            *sent = sent.saturating_add(queue.sent);
            *received = received.saturating_add(queue.received);
        }
    })
}
