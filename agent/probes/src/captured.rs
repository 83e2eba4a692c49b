//! Memory for the tests of probes: what keeps a runtime's rules, breaks them, or
//! changes while it is read.

use std::cell::RefCell;

use memgap_kernel::memory::{Area, Memory};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::{Fact, Missing, MissingKind};

/// Parts of an address space.
#[derive(Debug)]
pub(super) struct Capture {
    parts: Vec<(u64, Vec<u8>)>,
    /// Each part is one, of private memory, where nothing else is said.
    pub areas: Vec<Area>,
    /// An address, and what each reading adds to the word there: so much more than the
    /// one before.
    pub churn: Option<(u64, u64)>,
    /// The addresses that were read, in that order.
    pub readings: RefCell<Vec<u64>>,
}

impl Capture {
    /// Zeros in parts from `start` to `end`.
    pub fn of(parts: &[(u64, u64)]) -> Self {
        let zeros = |(start, end)| vec![0; usize::try_from(end - start).expect("small")];
        Self {
            parts: parts.iter().map(|part| (part.0, zeros(*part))).collect(),
            areas: parts.iter().map(|(start, end)| area(*start, *end)).collect(),
            churn: None,
            readings: RefCell::default(),
        }
    }

    /// Puts a word into a part.
    pub fn put(&mut self, address: u64, word: u64) {
        let (start, bytes) = self
            .parts
            .iter_mut()
            .find(|(start, bytes)| (*start..*start + bytes.len() as u64).contains(&address))
            .expect("within the capture");
        let at = usize::try_from(address - *start).expect("small");
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    /// Leaves nothing resident from an address on.
    pub fn cut(&mut self, from: u64) {
        for (start, bytes) in &mut self.parts {
            bytes.truncate(usize::try_from(from.saturating_sub(*start)).expect("small"));
        }
    }
}

/// Private memory that is written, as heaps are.
pub(super) fn area(start: u64, end: u64) -> Area {
    Area { start, end, is_writable: true, is_executable: false, is_anonymous: true }
}

impl Memory for Capture {
    fn read(&self, address: u64, into: &mut [u8]) -> Fact<()> {
        let outside = || Missing::new(MissingKind::Refused, format!("nothing at {address:#x}"));
        let part = self.parts.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(at..at.checked_add(into.len())?)
        });
        into.copy_from_slice(part.ok_or_else(outside)?);
        self.readings.borrow_mut().push(address);
        if let Some((place, step)) = self.churn
            && let Some(offset) = place.checked_sub(address)
            && let Some(word) = into.get_mut(usize::try_from(offset).unwrap_or(usize::MAX)..)
            && let Some(word) = word.first_chunk_mut::<8>()
        {
            let more = step.wrapping_mul(self.readings.borrow().len() as u64);
            *word = u64::from_le_bytes(*word).wrapping_add(more).to_le_bytes();
        }
        Ok(())
    }

    fn resident(&self, start: u64, end: u64, _: usize) -> Fact<Ranges> {
        let within =
            |(from, bytes): &(u64, Vec<u8>)| (start.max(*from), end.min(from + bytes.len() as u64));
        let mut ranges: Ranges =
            self.parts.iter().map(within).filter(|(from, to)| from < to).collect();
        ranges.sort_unstable();
        Ok(ranges)
    }

    fn areas(&self, _: usize) -> Fact<Vec<Area>> {
        Ok(self.areas.clone())
    }
}
