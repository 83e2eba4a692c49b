//! A limit further up is met first: the cgroup's own limit promises room that is not there.

use super::{Finding, Severity, Subject, confidence, matters};
use crate::Figure;
use crate::figure::signed;
use crate::size::iec;

pub const ID: &str = "ancestor-limit";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let room = cgroup.room.as_ref().ok().filter(|room| room.limit.path != cgroup.path)?;
    let own = signed(cgroup.headline.limit.filter(|_| !cgroup.limit_is_pods)?);
    let (point, (_, high)) = (room.bytes.point()?, room.bytes.bounds()?);
    // Against the least that its own limit promises.
    let promised = own.saturating_sub(cgroup.headline.required.bounds()?.1);
    let missing = promised.saturating_sub(high);
    if !matters(missing, own) {
        return None;
    }
    let mut evidence = vec![format!(
        "limit {}, required {}; {} has to hold {}",
        iec(own),
        iec(cgroup.headline.required.point()?),
        room.limit.words(&cgroup.path),
        iec(room.limit.required.point()?),
    )];
    evidence.extend(room.limit.orphaned.map(|(bytes, what)| {
        format!("{} charged to no cgroup that lives, mostly {what}", iec(bytes))
    }));
    let sibling = room.limit.sibling.as_ref();
    evidence.extend(sibling.map(|(path, bytes)| format!("{path} requires {}", iec(*bytes))));
    Some(Finding {
        id: ID,
        bytes: Figure::Exact(missing),
        severity: if high < own / 10 { Severity::Critical } else { Severity::Warning },
        confidence: confidence(room.bytes),
        brief: format!("{} is met before its own, with room for {}", room.limit.words(&cgroup.path), iec(point)),
        summary: format!(
            "{} is met first: room is {}, {} less than its own limit leaves",
            room.limit.words(&cgroup.path),
            iec(point),
            iec(missing)
        ),
        evidence,
        is_not: "the doing of this cgroup alone: all below that limit share it",
        remedy: "alert on room, not on the share of its own limit; memory of tmpfs that ended containers left is freed by removing its files".into(),
    })
}
