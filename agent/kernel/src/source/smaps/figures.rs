//! The figures of one entry of `smaps`, and of `smaps_rollup`.

use crate::source::Parsed;
use crate::text;

/// The figures of one entry, in bytes, by the kernel's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields carry the kernel's names")]
pub struct Figures {
    pub rss: u64,
    pub pss: u64,
    pub private_clean: u64,
    pub private_dirty: u64,
    pub anonymous: u64,
    /// Since 4.12.
    pub lazy_free: u64,
    pub shared_hugetlb: u64,
    pub private_hugetlb: u64,
    pub swap: u64,
    pub locked: u64,
    /// Since 6.6, with `CONFIG_KSM`.
    pub ksm: Option<u64>,
    /// With `CONFIG_TRANSPARENT_HUGEPAGE`, as the next two.
    pub anon_huge_pages: Option<u64>,
    pub shmem_pmd_mapped: Option<u64>,
    /// Since 5.4.
    pub file_pmd_mapped: Option<u64>,
    seen: u16,
}

/// A bit for each of the figures that every kernel has.
const ALL: u16 = (1 << 10) - 1;

impl Figures {
    /// Takes in a line `Rss:     8 kB`; names that it does not know are left out.
    pub fn take(&mut self, line: &[u8]) -> Parsed<()> {
        let (key, value) = text::key_value(line).ok_or("a line has no name")?;
        if let Some(field) = self.optional(key) {
            return match field.replace(number(value)?) {
                None => Ok(()),
                Some(_) => Err(TWICE),
            };
        }
        let (field, bit) = match key {
            b"Rss" => (&mut self.rss, 0),
            b"Pss" => (&mut self.pss, 1),
            b"Private_Clean" => (&mut self.private_clean, 2),
            b"Private_Dirty" => (&mut self.private_dirty, 3),
            b"Anonymous" => (&mut self.anonymous, 4),
            b"LazyFree" => (&mut self.lazy_free, 5),
            b"Shared_Hugetlb" => (&mut self.shared_hugetlb, 6),
            b"Private_Hugetlb" => (&mut self.private_hugetlb, 7),
            b"Swap" => (&mut self.swap, 8),
            b"Locked" => (&mut self.locked, 9),
            _ => return Ok(()),
        };
        *field = number(value)?;
        if self.seen & 1 << bit != 0 {
            return Err(TWICE);
        }
        self.seen |= 1 << bit;
        Ok(())
    }

    /// The figures, if all of them were there: a lack is not 0.
    pub fn whole(self) -> Parsed<Self> {
        if self.seen == ALL { Ok(self) } else { Err("a mapping lacks a figure") }
    }

    /// What lies in huge pages, of any kind; not known to kernels without them.
    pub fn huge(&self) -> Option<u64> {
        let files = [self.shmem_pmd_mapped, self.file_pmd_mapped].into_iter().flatten();
        self.anon_huge_pages.map(|anon| files.fold(anon, u64::saturating_add))
    }

    /// The figures that not every kernel has.
    fn optional(&mut self, key: &[u8]) -> Option<&mut Option<u64>> {
        match key {
            b"KSM" => Some(&mut self.ksm),
            b"AnonHugePages" => Some(&mut self.anon_huge_pages),
            b"ShmemPmdMapped" => Some(&mut self.shmem_pmd_mapped),
            b"FilePmdMapped" => Some(&mut self.file_pmd_mapped),
            _ => None,
        }
    }
}

const TWICE: &str = "a figure stands twice in one mapping";

fn number(value: &[u8]) -> Parsed<u64> {
    text::kilobytes(value).ok_or("a figure is not a number of kB")
}
