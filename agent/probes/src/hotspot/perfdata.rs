//! The counters that HotSpot publishes for `jstat`: a prologue, then entries that
//! name themselves (src/hotspot/share/runtime/perfMemory.hpp, perfData.hpp).

use std::time::Duration;

use memgap_kernel::memory::{Space, u64_at};
use memgap_kernel::text;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::pages::Pages;
use super::vmstructs::VmStructs;
use crate::probe::broken;

/// Bytes of the counters; 32 KiB unless a flag says otherwise.
pub(super) const MAX_SIZE: u64 = 1 << 20;
const MAGIC: u32 = 0xcafe_c0c0;
const PROLOGUE: usize = 32;
/// Bytes of an entry before its name.
const ENTRY: usize = 20;
/// Counters; HotSpot has 250.
const MAX_ENTRIES: u32 = 16_384;
/// The type of a counter of eight bytes, as in class files.
const LONG: u8 = b'J';

/// And of a text.
const BYTE: u8 = b'B';
/// Characters of a collector's name.
const MAX_NAME: usize = 64;

/// Where the counters are in a process.
#[derive(Debug)]
pub(super) struct PerfMemory {
    /// The address of the pointer to them, before the bias.
    start: u64,
}

impl PerfMemory {
    pub fn find(vm: &VmStructs) -> Fact<Self> {
        Ok(Self { start: vm.address("PerfMemory", "_start")? })
    }

    /// Reads the counters, be they in a file that is mapped or not: all of them
    /// once, then those at the places that were found.
    pub fn read(
        &self,
        pages: &Pages<'_, '_>,
        space: &Space<'_>,
        places: &mut Option<Places>,
    ) -> Fact<Counters> {
        let start = pages.constant_of(&[self.start])?;
        if start == 0 {
            return Err(Missing::absent("it keeps no counters (-XX:-UsePerfData)"));
        }
        if let Some(places) = places {
            return places.read(|at| pages.word(start.wrapping_add(at as u64)));
        }
        let mut prologue = [0; PROLOGUE];
        space.read(start, &mut prologue)?;
        let len = Prologue::decode(&prologue)?.used;
        let mut bytes = vec![0; len];
        space.read(start, &mut bytes)?;
        let found = Places::find(&bytes)?;
        places.insert(found).read(|at| value(&bytes, at))
    }
}

/// What the counters say, as of the last time that each was brought up to date.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Bytes committed for class metadata; `None` before the first collection.
    pub metaspace: Option<u64>,
    /// Collections of all kinds.
    pub collections: u64,
    /// Time that they stopped the program for.
    pub paused: Option<Duration>,
    /// Bytes of the heap in use after the last collection.
    pub used: u64,
    /// Bytes committed to the heap.
    pub committed: u64,
    /// The first collector, in words: `G1 young collection pauses`. ZGC without
    /// generations names none.
    pub collector: Option<String>,
    ticks: u64,
    frequency: u64,
}

/// A counter that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Frequency,
    Metaspace,
    Collections,
    Ticks,
    Used,
    Committed,
}

/// Where the counters that are asked for stand: they stay there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    little: bool,
    values: Vec<(Name, usize)>,
    collector: Option<String>,
}

impl Counters {
    /// Decodes the counters.
    pub fn decode(bytes: &[u8]) -> Fact<Self> {
        Places::find(bytes)?.read(|at| value(bytes, at))
    }

    fn add(&mut self, name: Name, value: u64) {
        let sum = |to: &mut u64| *to = to.saturating_add(value);
        match name {
            Name::Frequency => self.frequency = value,
            Name::Metaspace => self.metaspace = Some(value).filter(|v| *v > 0),
            Name::Collections => sum(&mut self.collections),
            Name::Ticks => sum(&mut self.ticks),
            Name::Used => sum(&mut self.used),
            Name::Committed => sum(&mut self.committed),
        }
    }
}

impl Places {
    /// Finds the counters by their names: all foreign lengths have bounds.
    pub fn find(bytes: &[u8]) -> Fact<Self> {
        let prologue = Prologue::decode(bytes)?;
        let bytes = bytes.get(..prologue.used).ok_or_else(|| cut(prologue.used))?;
        let (mut values, mut collector) = (Vec::new(), None);
        let mut at = prologue.first;
        for _ in 0..prologue.count {
            let entry = Entry { bytes, at, little: prologue.little };
            let len = entry.half(0).and_then(|len| usize::try_from(len).ok());
            let end = len.filter(|len| *len >= ENTRY).and_then(|len| at.checked_add(len));
            let Some(end) = end.filter(|end| *end <= bytes.len()) else {
                return Err(broken(format!("the counter at {at} has an impossible length")));
            };
            values.extend(entry.long(end));
            collector = collector.or_else(|| entry.collector(end));
            at = end;
        }
        Ok(Self { little: prologue.little, values, collector })
    }

    /// Reads the counters: `value` gives the word at an offset, little endian.
    fn read(&self, value: impl Fn(usize) -> Fact<u64>) -> Fact<Counters> {
        let mut counters = Counters { collector: self.collector.clone(), ..Counters::default() };
        for &(name, at) in &self.values {
            let value = value(at)?;
            counters.add(name, if self.little { value } else { value.swap_bytes() });
        }
        counters.paused = (counters.frequency > 0).then(|| {
            let nanos = u128::from(counters.ticks) * 1_000_000_000 / u128::from(counters.frequency);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        });
        Ok(counters)
    }
}

impl Name {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"sun.os.hrt.frequency" => Some(Self::Frequency),
            b"sun.gc.metaspace.capacity" => Some(Self::Metaspace),
            _ if name.starts_with(b"sun.gc.collector.") => match name.rsplit(|b| *b == b'.').next()
            {
                Some(b"invocations") => Some(Self::Collections),
                Some(b"time") => Some(Self::Ticks),
                _ => None,
            },
            _ => match name.strip_prefix(b"sun.gc.generation.")?.get(1..)? {
                b".capacity" => Some(Self::Committed),
                of if of.starts_with(b".space.") && of.ends_with(b".used") => Some(Self::Used),
                _ => None,
            },
        }
    }
}

fn value(bytes: &[u8], at: usize) -> Fact<u64> {
    u64_at(bytes, at).ok_or_else(|| cut(at))
}

/// What stands before the counters.
struct Prologue {
    little: bool,
    used: usize,
    first: usize,
    count: u32,
}

impl Prologue {
    fn decode(bytes: &[u8]) -> Fact<Self> {
        let magic = bytes.first_chunk().copied().map(u32::from_be_bytes);
        let order = bytes.get(4).copied();
        let (Some(MAGIC), Some(order @ (0 | 1))) = (magic, order) else {
            return Err(broken("what should be counters does not begin as they do".to_owned()));
        };
        let entry = Entry { bytes, at: 0, little: order == 1 };
        let fields = (entry.half(8), entry.half(24), entry.half(28));
        let (Some(used), Some(first), Some(count)) = fields else { return Err(cut(PROLOGUE)) };
        if u64::from(used) > MAX_SIZE || count > MAX_ENTRIES {
            return Err(broken(format!("{count} counters in {used} bytes are no HotSpot's")));
        }
        let at = |word| usize::try_from(word).unwrap_or(usize::MAX);
        Ok(Self { little: entry.little, used: at(used), first: at(first), count })
    }
}

/// One counter.
struct Entry<'b> {
    bytes: &'b [u8],
    at: usize,
    little: bool,
}

impl Entry<'_> {
    /// Name and place of the value, where it is asked for and a single number.
    fn long(&self, end: usize) -> Option<(Name, usize)> {
        let is_single = self.half(8)? == 0;
        if self.kind()? != LONG || !is_single {
            return None;
        }
        let name = Name::of(self.text(4, end)?)?;
        let value = self.place(self.half(16)?)?;
        (value.checked_add(8)? <= end).then_some((name, value))
    }

    /// The name of the first collector, where this is the counter that tells it.
    fn collector(&self, end: usize) -> Option<String> {
        let is_it = self.kind()? == BYTE && self.text(4, end)? == b"sun.gc.collector.0.name";
        is_it.then(|| Some(text::printable(self.text(16, end)?, MAX_NAME)))?
    }

    fn kind(&self) -> Option<u8> {
        self.bytes.get(self.at.checked_add(12)?).copied()
    }

    /// The text to whose place a half word leads.
    fn text(&self, at: u32, end: usize) -> Option<&[u8]> {
        let tail = self.bytes.get(self.place(self.half(at)?)?..end)?;
        tail.split(|byte| *byte == 0).next()
    }

    fn half(&self, offset: u32) -> Option<u32> {
        let word = self.bytes.get(self.place(offset)?..)?.first_chunk().copied()?;
        Some(if self.little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) })
    }

    fn place(&self, offset: u32) -> Option<usize> {
        self.at.checked_add(usize::try_from(offset).ok()?)
    }
}

fn cut(len: usize) -> Missing {
    Missing::new(MissingKind::Malformed, format!("its counters end before byte {len}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counters as HotSpot writes them on this machine's byte order.
    fn written(counters: &[(&str, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; PROLOGUE];
        for (name, value) in counters {
            let place = (ENTRY + name.len() + 1).next_multiple_of(8);
            let mut entry = vec![0; place + 8];
            entry[..4].copy_from_slice(&u32::try_from(place + 8).expect("small").to_le_bytes());
            entry[4..8].copy_from_slice(&20u32.to_le_bytes());
            entry[12] = LONG;
            entry[16..20].copy_from_slice(&u32::try_from(place).expect("small").to_le_bytes());
            entry[ENTRY..ENTRY + name.len()].copy_from_slice(name.as_bytes());
            entry[place..].copy_from_slice(&value.to_le_bytes());
            bytes.extend(entry);
        }
        let used = u32::try_from(bytes.len()).expect("small");
        bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[4] = 1;
        bytes[8..12].copy_from_slice(&used.to_le_bytes());
        bytes[24..28].copy_from_slice(&32u32.to_le_bytes());
        bytes[28..32].copy_from_slice(&u32::try_from(counters.len()).expect("small").to_le_bytes());
        bytes
    }

    fn some() -> Vec<u8> {
        written(&[
            ("sun.gc.collector.0.invocations", 3),
            ("sun.gc.collector.1.invocations", 1),
            ("sun.gc.collector.0.time", 250),
            ("sun.gc.collector.1.time", 750),
            ("sun.gc.generation.0.space.1.used", 100),
            ("sun.gc.generation.1.space.0.used", 4000),
            ("sun.gc.generation.1.space.0.capacity", 9000),
            ("sun.gc.metaspace.capacity", 5000),
            ("sun.os.hrt.frequency", 1000),
        ])
    }

    #[test]
    fn counters_are_found_by_their_names() {
        let counters = Counters::decode(&some()).expect("well formed");
        assert_eq!((counters.collections, counters.used), (4, 4100));
        assert_eq!(counters.metaspace, Some(5000));
        assert_eq!(counters.paused, Some(Duration::from_secs(1)));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for len in [0u32, 1, 19, 0x7fff_ffff, u32::MAX] {
            let mut bytes = some();
            bytes[32..36].copy_from_slice(&len.to_le_bytes());
            let lack = Counters::decode(&bytes).expect_err("no such length");
            assert!(lack.why.contains("impossible length"), "{len}: {lack}");
        }
        for (at, what) in [(8, "used"), (24, "first"), (28, "count")] {
            let mut bytes = some();
            bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert!(Counters::decode(&bytes).is_err(), "{what}");
        }
    }

    /// Names and values that lie outside their counter are not read.
    #[test]
    fn offsets_that_lead_elsewhere_are_not_followed() {
        for at in [4, 16] {
            for offset in [21u32, 64, u32::MAX] {
                let mut bytes = some();
                bytes[32 + at..36 + at].copy_from_slice(&offset.to_le_bytes());
                let counters = Counters::decode(&bytes).expect("the other counters are whole");
                assert_ne!(counters.collections, 4, "offset {offset} at {at}");
            }
        }
    }

    #[test]
    fn no_cut_and_no_flipped_byte_is_worse_than_an_error() {
        let whole = some();
        for len in 0..whole.len() {
            assert!(Counters::decode(&whole[..len]).is_err(), "cut at {len}");
        }
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                // Must come back; what it says is the program's word.
                drop(Counters::decode(&bytes));
            }
        }
    }
}
