//! Settings of runtimes that belong to a memory limit.

use crate::process::ProcessLedger;
use crate::runtime::Runtime;
use crate::size::iec;

/// A part of the limit that a runtime has to hold to be worth a setting: a fourth.
const PART: i64 = 4;

/// What of the limit a runtime is told: the rest is for what it does not count.
const PERCENT_TOLD: i64 = 90;

/// What to set for one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The process.
    pub pid: u32,
    /// Its name.
    pub process: String,
    /// The setting, as it is written; empty where one is there that contradicts the limit.
    pub set: String,
    /// Why.
    pub why: String,
}

/// What belongs to that limit, by the runtimes of a cgroup's processes. `required` is what
/// all of them require.
pub fn settings(processes: &[ProcessLedger], limit: i64, required: i64) -> Vec<Setting> {
    let of = |process: &ProcessLedger| -> Vec<Setting> {
        let setting = |runtime| setting(process, runtime, limit, required);
        process.runtimes.iter().filter_map(setting).collect()
    };
    processes.iter().flat_map(of).collect()
}

fn setting(
    process: &ProcessLedger,
    runtime: &Runtime,
    limit: i64,
    required: i64,
) -> Option<Setting> {
    let heap = resident(runtime)?;
    if heap < limit / PART {
        return None;
    }
    let beside = required.saturating_sub(heap).max(0);
    let room = limit.saturating_sub(beside);
    let most =
        runtime.gc.as_ref().and_then(|gc| gc.limit).and_then(|most| i64::try_from(most).ok());
    let told = room / 100 * PERCENT_TOLD;
    let (set, why) = match (runtime.name.as_str(), most) {
        // Below what lives its collector would run all the time.
        ("go", _) if told < with_air(live(runtime)?) => return None,
        ("go", None) => {
            let why =
                "it collects garbage more often before it meets the limit, instead of being killed";
            (format!("GOMEMLIMIT={}MiB", told >> 20), why.to_owned())
        }
        ("go", Some(most)) if most > room => {
            let why = format!("it is {} now, more than the limit leaves its heap", iec(most));
            (format!("GOMEMLIMIT={}MiB", told >> 20), why)
        }
        ("hotspot", Some(most)) if most > room => {
            let why = format!(
                "its heap may grow to {}, and beside it {} are required: a limit of {} holds both",
                iec(most),
                iec(beside),
                iec(most.saturating_add(beside))
            );
            (format!("-Xmx{}m", room >> 20), why)
        }
        _ => return None,
    };
    Some(Setting { pid: process.pid, process: process.name.clone(), set, why })
}

/// What a collector leaves, as far as it is known.
fn live(runtime: &Runtime) -> Option<i64> {
    let live = runtime.gc.as_ref().and_then(|gc| gc.live).or(runtime.in_use)?;
    i64::try_from(live).ok()
}

/// What it needs to have some time between two collections: a tenth more.
const fn with_air(live: i64) -> i64 {
    live.saturating_add(live / 10)
}

/// What of a runtime's heap is in memory as far as it tells.
fn resident(runtime: &Runtime) -> Option<i64> {
    let kept = runtime.free.unwrap_or(0).saturating_sub(runtime.released.unwrap_or(0));
    i64::try_from(runtime.in_use?.saturating_add(kept)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Missing;
    use crate::process;
    use crate::runtime::Gc;
    use crate::sample::ProcessSample;

    const MIB: u64 = 1 << 20;

    fn of(name: &str, most: Option<u64>, limit: i64, required: i64) -> Vec<String> {
        with_live(60, name, most, limit, required)
    }

    fn with_live(
        live: u64,
        name: &str,
        most: Option<u64>,
        limit: i64,
        required: i64,
    ) -> Vec<String> {
        let limited = most.map(|mib| mib * MIB);
        let gc = Some(Gc { limit: limited, live: Some(live * MIB), ..Gc::default() });
        let runtime = Runtime {
            in_use: Some(60 * MIB),
            free: Some(100 * MIB),
            released: Some(80 * MIB),
            gc,
            ..Runtime::named(name)
        };
        let unread = ProcessSample::missing(7, &Missing::absent("not asked for"));
        let mut made = process::ledger(&unread);
        made.runtimes = vec![runtime];
        let made = settings(&[made], limit << 20, required << 20);
        made.into_iter().map(|setting| setting.set).collect()
    }

    #[test]
    fn a_go_program_is_told_what_is_left_for_its_heap() {
        // 80 MiB of 100 are its heap: 90 % of 110 less 20, whole MiB.
        assert_eq!(of("go", None, 110, 100), ["GOMEMLIMIT=80MiB"]);
        assert_eq!(of("go", Some(200), 110, 100), ["GOMEMLIMIT=80MiB"]);
        assert!(of("go", Some(85), 110, 100).is_empty());
        // What lives would be collected again and again.
        assert_eq!(with_live(70, "go", None, 110, 100).len(), 1);
        assert!(with_live(75, "go", None, 110, 100).is_empty());
    }

    #[test]
    fn a_java_program_is_told_only_where_its_heap_may_grow_beyond() {
        assert_eq!(of("hotspot", Some(128), 110, 100), ["-Xmx90m"]);
        assert!(of("hotspot", Some(80), 110, 100).is_empty());
        assert!(of("hotspot", None, 110, 100).is_empty());
    }

    #[test]
    fn others_and_small_ones_are_told_nothing() {
        assert!(of("glibc", None, 110, 100).is_empty());
        assert!(of("go", None, 1000, 900).is_empty());
    }
}
