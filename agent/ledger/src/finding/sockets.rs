//! Data that waits in sockets: kernel memory of who does not read, or whose other side does not.

use super::{Confidence, Finding, Severity, Subject};
use crate::figure::{Figure, signed};
use crate::sample::CgroupVersion;
use crate::size::iec;
use crate::sockets::SocketQueues;
use crate::{Account, CgroupLedger, Fact, ProcessLedger};

pub const ID: &str = "sockets";

/// Less is what a busy service has.
const LEAST: i64 = 16 << 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    match subject {
        Subject::Process(process) => of_process(process),
        Subject::Cgroup(cgroup) => of_cgroup(cgroup),
        Subject::Host(_) => None,
    }
}

fn is_much(bytes: i64, whole: i64) -> bool {
    bytes >= LEAST && bytes >= whole / 8
}

fn of_process(process: &ProcessLedger) -> Option<Finding> {
    let queues = known(process.sockets.as_ref())?;
    let (bytes, rss) = (signed(queues.sum()), process.headline.rss.point()?);
    is_much(bytes, rss).then(|| Finding {
        id: ID,
        // What waits; the buffers that hold it cost more.
        bytes: Figure::Exact(bytes),
        severity: Severity::Info,
        confidence: sure(queues),
        brief: format!("at least {} more wait in its sockets", iec(bytes)),
        summary: format!(
            "at least {} wait in the queues of its sockets, beside an RSS of {}",
            iec(bytes),
            iec(rss)
        ),
        evidence: evidence(queues),
        is_not: "part of its RSS, PSS or USS: the kernel holds it",
        remedy: remedy(Some(queues)).into(),
    })
}

/// By the account on v2, which every reading has; on v1 sockets are charged to nobody.
fn of_cgroup(cgroup: &CgroupLedger) -> Option<Finding> {
    let queues = known(cgroup.sockets.as_ref());
    let usage = cgroup.headline.usage.point()?;
    let (bytes, where_from) = match cgroup.version {
        CgroupVersion::V2 => (cgroup.ledger.figure(Account::Sock), "of usage are"),
        CgroupVersion::V1 => {
            (Figure::Exact(signed(queues?.sum())), "or more, outside of its usage, are")
        }
    };
    let point = bytes.point()?;
    is_much(point, usage).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: queues.map_or(Confidence::Certain, sure),
        brief: format!("{} {where_from} buffers of its sockets", iec(point)),
        summary: format!(
            "{} {where_from} buffers of its processes' sockets, beside a usage of {}",
            iec(point),
            iec(usage)
        ),
        evidence: match queues {
            Some(queues) => evidence(queues),
            None => vec![format!("sock {}", iec(point))],
        },
        is_not: "memory of a program: no RSS shows it, and no cache: it goes when it is read, or the connection closed",
        remedy: remedy(queues).into(),
    })
}

/// What was left out can only add to it.
fn sure(queues: &SocketQueues) -> Confidence {
    if queues.is_whole { Confidence::Certain } else { Confidence::Likely }
}

fn known(queues: Option<&Fact<SocketQueues>>) -> Option<&SocketQueues> {
    queues?.as_ref().ok()
}

/// Queues, and what they are queues of.
fn parts(queues: &SocketQueues) -> [(u64, &'static str); 4] {
    [
        (queues.tcp_received, "TCP received and not read"),
        (queues.tcp_sent, "TCP sent and not acknowledged"),
        (queues.udp_received, "UDP received and not read"),
        (queues.udp_sent, "UDP that waits for the device"),
    ]
}

fn evidence(queues: &SocketQueues) -> Vec<String> {
    let mut parts: Vec<_> = parts(queues).into_iter().filter(|(b, _)| *b >= 1 << 20).collect();
    parts.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    parts.into_iter().map(|(b, what)| format!("{} {what}", iec(signed(b)))).collect()
}

fn remedy(queues: Option<&SocketQueues>) -> &'static str {
    let received = |q: &SocketQueues| q.tcp_received.saturating_add(q.udp_received);
    match queues {
        Some(q) if received(q) >= q.sum() / 2 => {
            "have the program read, or close, what it does not read (ss -tuamp tells which); SO_RCVBUF, and net.ipv4.tcp_rmem for TCP, bound what one socket takes"
        }
        Some(_) => {
            "the other side does not read: close connections to who does not, or have the program wait for them before it writes more (ss -tuamp tells which); SO_SNDBUF, and net.ipv4.tcp_wmem for TCP, bound what one socket takes"
        }
        None => {
            "memgap of the cgroup by name tells in which direction they wait, ss -tuamp in which sockets; SO_RCVBUF and SO_SNDBUF, and net.ipv4.tcp_rmem and tcp_wmem for TCP, bound what one socket takes"
        }
    }
}
