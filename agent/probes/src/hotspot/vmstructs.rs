//! `vmStructs`: the tables in which HotSpot describes itself to debuggers
//! (src/hotspot/share/runtime/vmStructs.hpp). They give the place of every field
//! by its name, so that no version is known here.
//!
//! A table stands in memory, for its pointers are relocated; its strings are read
//! from the file.

use std::collections::HashMap;

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::strings::Strings;
use crate::Image;

/// Entries of a table; HotSpot 11 has 2,000 of the longest.
const MAX_ENTRIES: usize = 16_384;
/// Bytes from one entry to the next; 48 in all versions.
const MAX_STRIDE: u64 = 512;
/// Supertypes of a type; HotSpot has 8.
const MAX_DEPTH: usize = 32;
/// Bytes that are read at once: most of a table is not needed once it ended.
const WINDOW: u64 = 16 << 10;

/// The fields and types that a HotSpot describes.
#[derive(Debug)]
pub(super) struct VmStructs {
    /// By type, then by field.
    fields: HashMap<String, HashMap<String, Field>>,
    /// Supertype, where there is one, and size of a type.
    types: HashMap<String, (Option<String>, u64)>,
    bias: u64,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    /// Its offset in an object.
    Of(u64),
    /// Its address, for it is one variable.
    Static(u64),
}

impl VmStructs {
    /// Reads the tables of a process that maps the image.
    pub fn read(image: &Image<'_>, strings: &mut Strings<'_>, space: &Space<'_>) -> Fact<Self> {
        let fields = Table::find(
            image,
            space,
            [
                "gHotSpotVMStructs",
                "gHotSpotVMStructEntryArrayStride",
                "gHotSpotVMStructEntryTypeNameOffset",
                "gHotSpotVMStructEntryFieldNameOffset",
                "gHotSpotVMStructEntryIsStaticOffset",
                "gHotSpotVMStructEntryOffsetOffset",
                "gHotSpotVMStructEntryAddressOffset",
            ],
        )?;
        let types = Table::find(
            image,
            space,
            [
                "gHotSpotVMTypes",
                "gHotSpotVMTypeEntryArrayStride",
                "gHotSpotVMTypeEntryTypeNameOffset",
                "gHotSpotVMTypeEntrySuperclassNameOffset",
                "gHotSpotVMTypeEntrySizeOffset",
            ],
        )?;
        let mut all =
            Self { fields: HashMap::new(), types: HashMap::new(), bias: image.mapped.bias };
        fields.each(space, |entry, [name, field, is_static, offset, address]| {
            let owner = strings.at(u64_at(entry, name)?)?.to_owned();
            let field = strings.at(u64_at(entry, field)?)?.to_owned();
            let place = match u32_at(entry, is_static)? {
                0 => Field::Of(u64_at(entry, offset)?),
                _ => Field::Static(u64_at(entry, address)?),
            };
            all.fields.entry(owner).or_default().insert(field, place);
            Some(())
        })?;
        types.each(space, |entry, [name, supertype, size]| {
            let name = strings.at(u64_at(entry, name)?)?.to_owned();
            let supertype = strings.at(u64_at(entry, supertype)?).map(str::to_owned);
            all.types.insert(name, (supertype, u64_at(entry, size)?));
            Some(())
        })?;
        Ok(all)
    }

    /// The offset of a field in a type or in one of its supertypes.
    pub fn offset(&self, owner: &str, field: &str) -> Fact<u64> {
        match self.field(owner, field) {
            Some(Field::Of(offset)) => Ok(offset),
            _ => Err(lacks(owner, field)),
        }
    }

    /// The address of a static field, before the bias.
    pub fn address(&self, owner: &str, field: &str) -> Fact<u64> {
        match self.field(owner, field) {
            Some(Field::Static(address)) => Ok(address.wrapping_sub(self.bias)),
            _ => Err(lacks(owner, field)),
        }
    }

    /// The size of a type in bytes.
    pub fn size(&self, owner: &str) -> Fact<u64> {
        self.types.get(owner).map(|(_, size)| *size).ok_or_else(|| lacks(owner, "its size"))
    }

    /// The first of the names that is a type's: several were renamed.
    pub fn named<'n>(&self, names: &[&'n str]) -> &'n str {
        let known = names.iter().find(|name| self.types.contains_key(**name));
        known.or(names.last()).copied().unwrap_or_default()
    }

    fn field(&self, owner: &str, field: &str) -> Option<Field> {
        let mut owner = owner;
        for _ in 0..MAX_DEPTH {
            if let Some(found) = self.fields.get(owner).and_then(|fields| fields.get(field)) {
                return Some(*found);
            }
            owner = self.types.get(owner)?.0.as_deref()?;
        }
        None
    }
}

fn lacks(owner: &str, field: &str) -> Missing {
    Missing::absent(format!("vmStructs tell nothing of {owner}::{field}"))
}

/// One table: where it begins, how far its entries are apart, and where in an
/// entry the `N` values stand.
struct Table<const N: usize> {
    start: u64,
    stride: usize,
    values: [usize; N],
}

impl<const N: usize> Table<N> {
    /// Finds a table by the symbols of its start, its stride and its values.
    fn find<const S: usize>(image: &Image<'_>, space: &Space<'_>, names: [&str; S]) -> Fact<Self> {
        let symbols = image.elf.symbols(&image.file, ".dynsym", names).map_err(|error| {
            Missing::new(MissingKind::Malformed, format!("its symbols can not be read: {error}"))
        })?;
        let mut words = [0; S];
        for ((word, symbol), name) in words.iter_mut().zip(symbols).zip(names) {
            let symbol = symbol.ok_or_else(|| Missing::absent(format!("no symbol {name}")))?;
            [*word] = space.words(symbol.address.wrapping_add(image.mapped.bias))?;
        }
        let (start, stride) = (words[0], words[1]);
        let fits = |at: &u64| at.checked_add(8).is_some_and(|end| end <= stride);
        if !(8..=MAX_STRIDE).contains(&stride) || !words[2..].iter().all(fits) {
            return Err(malformed(format!("{} has entries of {stride} bytes", names[0])));
        }
        let at = |word: u64| usize::try_from(word).unwrap_or_default();
        let values = std::array::from_fn(|n| words.get(n + 2).copied().map_or(0, at));
        Ok(Self { start, stride: at(stride), values })
    }

    /// Hands every entry to `each`, up to the one without a first value. `each`
    /// gives nothing where it can not use an entry.
    fn each(
        &self,
        space: &Space<'_>,
        mut each: impl FnMut(&[u8], [usize; N]) -> Option<()>,
    ) -> Fact<()> {
        let stride = self.stride as u64;
        let end = self.start.saturating_add(stride * MAX_ENTRIES as u64);
        let resident = space.resident(self.start, end)?;
        let here = resident.first().filter(|(start, _)| *start <= self.start);
        let end = end.min(here.map_or(self.start, |(_, end)| *end));
        let mut at = self.start;
        let mut window = Vec::new();
        loop {
            let left = (end - at).min(WINDOW) / stride * stride;
            if left == 0 {
                return Err(malformed("vmStructs do not end, or are not in memory".to_owned()));
            }
            window.resize(usize::try_from(left).unwrap_or_default(), 0);
            space.read(at, &mut window)?;
            for entry in window.chunks_exact(self.stride) {
                if u64_at(entry, self.values[0]).is_none_or(|name| name == 0) {
                    return Ok(());
                }
                each(entry, self.values);
            }
            at += left;
        }
    }
}

fn malformed(why: String) -> Missing {
    Missing::new(MissingKind::Malformed, why)
}
