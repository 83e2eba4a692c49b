//! What of a cgroup's memory is left when the kernel has taken back all that it can.

use anyhow::Result;

use crate::cgroup::{Cgroup, Version};

/// How often reclaim is asked for at most, and how often it may find nothing before the
/// rest counts as unreclaimable: it splits huge pages in one round and frees their tails
/// in a later one.
const ROUNDS: usize = 32;
const IDLE_ROUNDS: usize = 4;

/// Has the kernel take back what it can, and returns the usage that is left. `None` where
/// it can not be asked to.
pub(super) fn squeeze(group: &Cgroup) -> Result<Option<i64>> {
    let usage = || -> Result<i64> { Ok(i64::try_from(group.usage()?)?) };
    let file = group.either("memory.force_empty", "memory.reclaim");
    if !group.directory().join(file).exists() {
        return Ok(None);
    }
    if group.version() == Version::V2 {
        // Required is what stays without swapping.
        group.swap_limit(0)?;
    }
    let (mut left, mut idle) = (usage()?, 0);
    for _ in 0..ROUNDS {
        let asked = group.set(file, &left);
        // EAGAIN: it found less than it was asked for.
        if group.version() == Version::V1 {
            asked?;
        }
        let now = usage()?;
        idle = if now < left { 0 } else { idle + 1 };
        left = left.min(now);
        if idle == IDLE_ROUNDS {
            break;
        }
    }
    Ok(Some(left))
}
