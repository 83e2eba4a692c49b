//! The counters in the file that HotSpot publishes for `jstat`
//! (`/tmp/hsperfdata_USER/PID`, src/hotspot/os/posix/perfMemory_posix.cpp): for those
//! who may not read its memory, and for collectors whose heap is not read there.

use memgap_kernel::memory::Space;
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::runtime::{Gc, Runtime};
use memgap_ledger::{Account, Fact, Missing, MissingKind};

use super::perfdata::{self, Counters};
use crate::HeapStatistics;

/// Reads what the file tells, where the memory is not read for a reason. Where there
/// is none either, the answer is that reason.
pub(super) fn read(space: &Space<'_>, why: &Missing) -> Fact<HeapStatistics> {
    let limit = usize::try_from(perfdata::MAX_SIZE).unwrap_or(usize::MAX);
    let lack = match space.published(&is_counters, limit).and_then(|bytes| Counters::decode(&bytes))
    {
        Ok(counters) if why.kind != MissingKind::Gone => return Ok(statistics(&counters, why)),
        Ok(_) => return Err(why.clone()),
        Err(lack) => lack,
    };
    Err(Missing::new(why.kind, format!("{why}; by the file of its counters: {lack}")))
}

/// `/tmp/hsperfdata_USER/PID`, whatever `java.io.tmpdir` says.
fn is_counters(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"/tmp/hsperfdata_") else { return false };
    let mut parts = rest.split(|byte| *byte == b'/').skip(1);
    let pid = parts.next().unwrap_or_default();
    !pid.is_empty() && pid.iter().all(u8::is_ascii_digit) && parts.next().is_none()
}

fn statistics(counters: &Counters, why: &Missing) -> HeapStatistics {
    let free = counters.committed.checked_sub(counters.used);
    let gc = Gc {
        name: counters
            .collector
            .as_deref()
            .and_then(|words| words.split(' ').next())
            .map(str::to_owned),
        cycles: Some(counters.collections),
        paused: counters.paused,
        ..Gc::default()
    };
    let runtime = Runtime {
        in_use: Some(counters.used),
        free,
        evidence: vec![
            "the file that it publishes: stale up to a collection".to_owned(),
            format!("its memory was not read: {why}"),
        ],
        gc: Some(gc),
        ..Runtime::named("hotspot")
    };
    let mut parts = vec![(Account::Metaspace, counters.metaspace.unwrap_or_default())];
    // ZGC's heap is shared memory, of which nothing tells where it lies.
    if runtime.gc.as_ref().and_then(|gc| gc.name.as_deref()).is_some_and(|name| name != "ZGC") {
        parts.push((Account::HeapInUse, counters.used));
        parts.push((Account::AllocatorFree, free.unwrap_or_default()));
    }
    let claim = Claim::new(Priority::Runtime, "hotspot", Extent::Anywhere, &parts);
    HeapStatistics { runtime, claims: vec![claim] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pid_below_the_directory_of_counters_is_meant() {
        assert!(is_counters(b"/tmp/hsperfdata_root/17"));
        for name in [
            &b"/tmp/hsperfdata_root"[..],
            b"/tmp/hsperfdata_root/",
            b"/tmp/hsperfdata_root/17/18",
            b"/tmp/hsperfdata_root/17 (deleted)",
            b"/tmp/hsperfdata_root/../../etc/shadow",
            b"/var/tmp/hsperfdata_root/17",
        ] {
            assert!(!is_counters(name), "{}", name.escape_ascii());
        }
    }
}
