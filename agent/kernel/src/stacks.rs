//! Where the stacks of threads are: by the stack pointers of those that live, and by what
//! the C library left on the stacks of the others.

use memgap_ledger::Fact;
use memgap_ledger::sample::{self, Area, Stacks};

use crate::file::Buf;
use crate::memory::{Live, Memory, PAGE, u64_at};
use crate::process::Process;
use crate::source::syscall;

/// Mappings that are looked at for a thread's descriptor.
const MAX_LOOKS: usize = 256;

/// Reads them, refused where there are more than `most` threads. The stacks of threads that
/// have ended, or that a fork left behind, are told where memory may be read.
pub fn read(process: &Process, areas: &[Area], most: usize, buf: &mut Buf) -> Fact<Stacks> {
    let mut stacks = syscall::stacks(process, most, buf)?;
    let is_open = |area: &&Area| stacks.within(area.start, area.end) == 0 && area.anonymous > 0;
    let mut open = sample::above_guards(areas).filter(is_open).take(MAX_LOOKS).peekable();
    if open.peek().is_some()
        && let Ok(memory) = Live::open(process)
    {
        stacks.left = open.filter_map(|area| descriptor(&memory, area.end)).collect();
    }
    Ok(stacks)
}

/// The descriptor of a thread whose stack ends there: glibc puts it (`tcbhead_t`, on x86-64)
/// at the upper end, and it names itself twice.
fn descriptor(memory: &dyn Memory, end: u64) -> Option<u64> {
    const ALIGNED: usize = 64;
    const SELF: [usize; 2] = [0, 16];
    let start = end.checked_sub(PAGE as u64)?;
    let mut page = [0; PAGE];
    memory.read(start, &mut page).ok()?;
    (0..PAGE).step_by(ALIGNED).zip((start..).step_by(ALIGNED)).find_map(|(at, address)| {
        SELF.iter().all(|word| u64_at(&page, at + word) == Some(address)).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Area;
    use crate::source::pagemap::Ranges;

    /// The last page of a stack.
    struct Top(Vec<u8>);

    const END: u64 = 0x7000_0000;

    impl Memory for Top {
        fn read(&self, address: u64, into: &mut [u8]) -> Fact<()> {
            assert_eq!(address + into.len() as u64, END);
            into.copy_from_slice(&self.0);
            Ok(())
        }

        fn resident(&self, _: u64, _: u64, _: usize) -> Fact<Ranges> {
            Ok(Ranges::new())
        }

        fn areas(&self, _: usize) -> Fact<Vec<Area>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_descriptor_names_itself_twice() {
        let place = END - 0x940;
        for (words, found) in [
            (vec![(0, place), (16, place)], Some(place)),
            (vec![(0, place)], None),
            (vec![(0, place), (8, place)], None),
            (vec![(0, place), (16, place + 64)], None),
            (vec![(8, place + 8), (24, place + 8)], None),
        ] {
            let mut top = Top(vec![0; PAGE]);
            for (word, value) in &words {
                let at = PAGE - 0x940 + word;
                top.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            assert_eq!(descriptor(&top, END), found, "{words:?}");
        }
        assert_eq!(descriptor(&Top(Vec::new()), 64), None);
    }
}
