//! Of a process or a cgroup: what waits in its sockets.

use crate::Fact;
use crate::sample::CgroupVersion;
use crate::size::iec;
use crate::sockets::SocketQueues;

/// Less is not worth a sentence.
const MATTERS: u64 = 1 << 20;

/// What no figure of a process holds.
pub(super) fn of_process(queues: Option<&Fact<SocketQueues>>) -> Option<String> {
    let words = words(queues?)?;
    Some(format!(
        "the queues of its sockets hold {words}: kernel memory, and part of no figure of a process"
    ))
}

/// What is in the account `sock`, or on v1 in none.
pub(super) fn of_cgroup(
    queues: Option<&Fact<SocketQueues>>,
    version: CgroupVersion,
) -> Option<String> {
    let words = words(queues?)?;
    Some(match version {
        CgroupVersion::V1 => {
            format!(
                "the queues of its processes' sockets hold {words}: kernel memory outside of its usage, as cgroup v1 does not charge it"
            )
        }
        CgroupVersion::V2 => {
            format!("the queues of its processes' sockets hold {words}: `sock` counts them")
        }
    })
}

fn words(queues: &Fact<SocketQueues>) -> Option<String> {
    let queues = queues.as_ref().ok().filter(|queues| queues.sum() >= MATTERS)?;
    let size = |bytes: u64| iec(i64::try_from(bytes).unwrap_or(i64::MAX));
    let parts = [
        (queues.tcp_received, "TCP received and not read"),
        (queues.tcp_sent, "TCP sent and not acknowledged"),
        (queues.udp_received, "UDP received and not read"),
        (queues.udp_sent, "UDP that waits for the device"),
    ];
    let mut named: Vec<_> = parts.into_iter().filter(|(bytes, _)| *bytes > 0).collect();
    named.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let named: Vec<String> =
        named.into_iter().map(|(bytes, what)| format!("{} {what}", size(bytes))).collect();
    let least = if queues.is_whole { "" } else { "at least " };
    Some(format!("{least}{} ({})", size(queues.sum()), named.join(", ")))
}
