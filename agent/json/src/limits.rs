//! Of a cgroup: which limit it meets first, and what happened at its limits.

use memgap_ledger::events::Waited;
use memgap_ledger::finding::Subject;
use memgap_ledger::{Events, Fact, Missing, Room};
use serde::Serialize;

use crate::absent::{AbsentJson, because};

/// The limit that is met first.
#[derive(Debug, Serialize)]
pub struct RoomJson {
    /// The cgroup whose limit it is.
    path: String,
    limit: u64,
    required: Option<i64>,
    /// What can be swapped out more, at most.
    swap: Option<i64>,
    /// What is charged to no cgroup that lives below it.
    orphaned: Option<Held>,
    /// The largest of the other cgroups below it.
    sibling: Option<Held>,
    /// Whether all limits above are known.
    whole: bool,
}

#[derive(Debug, Serialize)]
pub struct Held {
    what: String,
    bytes: i64,
}

/// Counters since the cgroup began, and what they are about.
#[derive(Debug, Serialize)]
pub struct EventsJson {
    oom_kills: Option<u64>,
    limit_hits: Option<u64>,
    throttled: Option<u64>,
    /// `memory.high`; `null` also where there is no such bound.
    high: Option<u64>,
    swap_failures: Option<u64>,
    stall: Option<StallJson>,
    dying_cgroups: Option<u64>,
    absent: Vec<AbsentJson>,
}

#[derive(Debug, Serialize)]
struct StallJson {
    some: WaitedJson,
    full: WaitedJson,
}

#[derive(Debug, Serialize)]
struct WaitedJson {
    seconds: f64,
    last_ten_seconds_ratio: f64,
}

pub fn room(subject: Subject<'_>) -> Option<RoomJson> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    cgroup.room.as_ref().ok().map(|room: &Room| RoomJson {
        path: room.limit.path.clone(),
        limit: room.limit.bytes,
        required: room.limit.required.point(),
        swap: room.limit.swap.bounds().map(|(_, high)| high),
        orphaned: room.limit.orphaned.map(|(bytes, what)| Held { what: what.to_owned(), bytes }),
        sibling: room
            .limit
            .sibling
            .as_ref()
            .map(|(path, bytes)| Held { what: path.clone(), bytes: *bytes }),
        whole: room.is_whole,
    })
}

pub fn events(subject: Subject<'_>) -> Option<EventsJson> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let Events { oom_kills, limit_hits, throttled, high, swap_failures, stall, dying, .. } =
        &cgroup.events;
    let lacks = [
        ("oom_kills", oom_kills.as_ref().err()),
        ("limit_hits", limit_hits.as_ref().err()),
        ("throttled", throttled.as_ref().err()),
        ("high", high.as_ref().err()),
        ("swap_failures", swap_failures.as_ref().err()),
        ("stall", stall.as_ref().err()),
        ("dying_cgroups", dying.as_ref().err()),
    ];
    let known = |fact: &Fact<u64>| fact.as_ref().ok().copied();
    let of = |waited: Waited| WaitedJson {
        seconds: waited.total.as_secs_f64(),
        last_ten_seconds_ratio: f64::from(waited.last_ten) / 10_000.0,
    };
    Some(EventsJson {
        oom_kills: known(oom_kills),
        limit_hits: known(limit_hits),
        throttled: known(throttled),
        high: high.as_ref().ok().copied().flatten(),
        swap_failures: known(swap_failures),
        stall: stall
            .as_ref()
            .ok()
            .map(|stall| StallJson { some: of(stall.some), full: of(stall.full) }),
        dying_cgroups: known(dying),
        absent: lacks
            .into_iter()
            .filter_map(|(what, lack): (_, Option<&Missing>)| Some(because(what, lack?)))
            .collect(),
    })
}
