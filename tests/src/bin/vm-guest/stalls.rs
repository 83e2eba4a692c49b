//! Stalls: how long a program waits to map and unmap memory because somebody looks
//! into it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use memgap_tests::stalls::{Look, Stalls};

use crate::findings::Findings;
use crate::group::Group;
use crate::kernel;

const ROUNDS: u32 = 5;
const SLICE: Duration = Duration::from_millis(10);
/// MiB in one mapping, for a walk over it to show.
const BALLAST: &str = "128";
/// Calls that are to have waited for a walk before it is compared, and how often more
/// rounds are added for that.
const SEEN: u64 = 10;
const TRIES: usize = 16;
/// How many times as many of the calls wait for a walk as for a look, at the least.
const MORE: f64 = 2.0;

/// Has a program looked into without rest, and requires that hardly any of its calls
/// waits for that. An emulated machine is slow, and stopped now and then where a lock
/// is held: its milliseconds tell little. How many calls wait at all tells for how much
/// of the time the lock is held; a walk over the ballast, that it would show.
pub fn check(
    program: &str,
    environment: &[(&str, &str)],
    library: &str,
    findings: &mut Findings,
) -> Result<()> {
    // Locks are none of the lists' affair.
    if kernel::has_generations() {
        findings.left_out = true;
        return Ok(());
    }
    let stalls = Stalls::new(Path::new("/tmp/stalls"))?;
    let libraries = format!("{library} /opt/stalls.so");
    let path = stalls.path().display().to_string();
    let own = [("LD_PRELOAD", &*libraries), (Stalls::VARIABLE, &path), ("BALLAST", BALLAST)];
    let mut group = Group::running("stalled", &[program], &[environment, &own].concat())?;
    group.add_report()?;
    let looks = [Look::None, Look::Runtimes, Look::Rollup];
    let mut tallies = stalls.during(group.pid(), looks, ROUNDS, SLICE)?;
    for _ in 0..TRIES {
        if tallies[2].blocked < SEEN {
            // What was noted before is in them.
            tallies = stalls.during(group.pid(), looks, ROUNDS, SLICE)?;
        }
    }
    for (look, tally) in looks.iter().zip(&tallies) {
        findings.figures.push(format!(
            "{look:?}: {} of {} calls wait {:.0} us, at most {:.1} ms",
            tally.blocked,
            tally.calls,
            tally.mean_blocked(),
            tally.longest_blocked.as_secs_f64() * 1e3
        ));
    }
    ensure!(tallies[2].blocked >= SEEN, "hardly a call waits for a walk: this would not tell");
    let [_, look, walk] = tallies.map(|tally| tally.blocked as f64 / tally.calls as f64);
    ensure!(look * MORE <= walk, "{look:.5} of the calls wait for a look, {walk:.5} for a walk");
    Ok(())
}
