//! What programs publish of themselves: the counters of a Java machine and the page of a
//! beacon. Ledgers of what they claim close.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memgap_fuzz::{choose, laws};
use memgap_kernel::memory::{Area, Bounds, Memory, Space};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::sample::{Counters, Walk};
use memgap_ledger::{Fact, Missing};
use memgap_probes::{Beacon, Detail, Layout, Mapped, PROBES, add};
use std::sync::Arc;
use std::time::Duration;

const PAGE: usize = 4096;
const AT: u64 = 0x7f00_0000_0000;

/// A process that publishes these bytes, in a file and in a page.
struct Publisher<'b>(&'b [u8]);

impl Memory for Publisher<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> Fact<()> {
        let at = usize::try_from(address.wrapping_sub(AT)).unwrap_or(usize::MAX);
        let outside = || Missing::absent("nothing is there");
        if at.checked_add(into.len()).ok_or_else(outside)? > PAGE {
            return Err(outside());
        }
        let there = self.0.get(at..).unwrap_or_default();
        into.fill(0);
        let len = there.len().min(into.len());
        into[..len].copy_from_slice(&there[..len]);
        Ok(())
    }

    fn resident(&self, _: u64, _: u64, _: usize) -> Fact<Ranges> {
        Ok(vec![(AT, AT + PAGE as u64)])
    }

    fn areas(&self, _: usize) -> Fact<Vec<Area>> {
        Ok(Vec::new())
    }

    fn published(&self, _: &dyn Fn(&[u8]) -> bool, limit: usize) -> Fact<Vec<u8>> {
        Ok(self.0[..self.0.len().min(limit)].to_vec())
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((which, bytes)) = choose(input, 2) else { return };
    let why = Missing::absent("not read");
    let layout: Option<Arc<dyn Layout>> = match which {
        0 => PROBES.iter().find(|p| p.name() == "hotspot").and_then(|p| p.unresolved(&why)),
        _ => Some(Arc::new(Beacon)),
    };
    let Some(layout) = layout else { return };
    let mapped = Mapped { path: "/a".to_owned(), bias: AT };
    let space = Publisher(bytes);
    let read = layout.read(&mapped, &Space::new(&space, Bounds::COUNTERS), Detail::Counters);
    let Ok(statistics) = read else { return };
    let counters = Counters { vsz: 64 << 20, rss: 48 << 20, anon: 40 << 20, ..Counters::default() };
    let mut sample = laws::process_sample(Walk::default(), counters);
    sample.walk = Err(why);
    add(&mut sample, &[Ok(statistics)], Duration::ZERO);
    laws::process(&sample);
});
