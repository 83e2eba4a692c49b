//! File systems that do not answer: who waits for one is one reader, and not one for each
//! process that maps a file of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use memgap_kernel::source::maps::Device;
use memgap_ledger::{Fact, Missing, MissingKind};

/// How long a file system is waited for before nobody else asks it: as long as a target is.
const PATIENCE: Duration = Duration::from_millis(200);

/// The file systems that are being asked for a file, and since when.
#[derive(Debug, Default)]
pub(super) struct FileSystems(Mutex<BTreeMap<Device, Instant>>);

impl FileSystems {
    /// Asks a file system, as long as what it returns lives: open and read files of it
    /// meanwhile, and wait for nothing else.
    pub fn ask(&self, (major, minor): Device) -> Fact<Asked<'_>> {
        let (device, now) = ((major, minor), Instant::now());
        let mut asked = self.lock();
        let Some(since) = asked.get(&device) else {
            asked.insert(device, now);
            return Ok(Asked { all: self, device, since: now });
        };
        if now.saturating_duration_since(*since) < PATIENCE {
            return Ok(Asked { all: self, device, since: now });
        }
        let why = format!(
            "the file system of device {major}:{minor} does not answer: its files are not \
             looked at until it does"
        );
        Err(Missing::new(MissingKind::Refused, why))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Device, Instant>> {
        // What a panic left is whole: each entry is put there in one go.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file system that is being asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    all: &'a FileSystems,
    device: Device,
    since: Instant,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut asked = self.all.lock();
        // Somebody else may have asked it first, and wait still.
        if asked.get(&self.device) == Some(&self.since) {
            asked.remove(&self.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_answer_is_asked_by_nobody_else_until_it_does() {
        let all = FileSystems::default();
        let (hung, other) = ((0, 45), (8, 1));
        let mut first = all.ask(hung).expect("nobody waits for it");
        drop(all.ask(hung).expect("nobody has waited for long"));
        // As if it were later.
        first.since = first.since.checked_sub(PATIENCE).expect("the machine is up for longer");
        all.lock().insert(hung, first.since);
        let lack = all.ask(hung).expect_err("somebody waits for it");
        assert!(lack.why.contains("0:45 does not answer"), "{lack}");
        drop(all.ask(other).expect("that one is another"));
        drop(first);
        drop(all.ask(hung).expect("it has answered"));
    }
}
