//! The sums over all arenas.

use super::TRIES;
use super::arena::Arena;

/// The sums over all arenas, in bytes.
#[derive(Debug, Default)]
pub(super) struct Total {
    /// Given out, where statistics tell it.
    pub allocated: Option<u64>,
    pub torn: u64,
    pub active: u64,
    pub dirty: u64,
    pub muzzy: u64,
    pub retained: u64,
    pub metadata: u64,
    /// Of that, taken from the blocks that the arenas mapped for their own use.
    pub base: u64,
}

impl Total {
    pub fn of(arenas: &[(u32, Arena)]) -> Self {
        let sum = |field: fn(&Arena) -> u64| {
            arenas.iter().fold(0u64, |sum, (_, arena)| sum.saturating_add(field(arena)))
        };
        let counts = arenas.iter().any(|(_, arena)| arena.counts);
        Self {
            allocated: counts.then(|| sum(|a| a.allocated)),
            torn: sum(|a| a.torn),
            active: sum(|a| a.active),
            dirty: sum(|a| a.dirty),
            muzzy: sum(|a| a.muzzy),
            retained: sum(|a| a.retained),
            metadata: sum(|a| a.base.saturating_add(a.internal)),
            base: sum(|a| a.base),
        }
    }

    pub fn evidence(&self, allocated: Option<u64>) -> Vec<String> {
        let Self { active, dirty, muzzy, retained, metadata, .. } = self;
        let allocated = allocated.map_or(format!("at most {active}"), |bytes| bytes.to_string());
        let metadata = match self.allocated {
            Some(_) => format!("{metadata} bytes"),
            None => "not counted".to_owned(),
        };
        let rule = match (self.allocated, self.torn) {
            (None, _) => "it was built without statistics".to_owned(),
            (_, 0) => "every bin has the regions that were given out and not returned".to_owned(),
            (_, torn) => format!(
                "the program changed its bins in each of {TRIES} readings: {torn} bytes may be off"
            ),
        };
        vec![
            format!(
                "allocated {allocated}, active {active}, dirty {dirty}, muzzy {muzzy}, retained {retained}, metadata {metadata}"
            ),
            rule,
        ]
    }
}
