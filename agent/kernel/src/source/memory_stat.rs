//! `memory.stat` of a cgroup: Documentation/admin-guide/cgroup-v2.rst and
//! cgroup-v1/memory.rst.

use std::hash::{DefaultHasher, Hasher};

use memgap_ledger::Fact;
use memgap_ledger::sample::{CgroupVersion, MemoryStat};

use crate::fields::Fields;
use crate::file::{Buf, Dir, malformed};

/// Name of the file in the cgroup's directory.
pub const NAME: &str = "memory.stat";

/// The kernel prints about 70 lines; more than this is not its file.
const LIMIT: usize = 16 << 10;

/// Of cgroup v2: the file whose reading brings all statistics of a cgroup up to date.
const FLUSHES: &str = "cpu.stat";

/// It has about ten lines.
const FLUSHES_LIMIT: usize = 4 << 10;

/// Has the kernel bring the figures of a v2 cgroup, and of all below it, up to date.
///
/// From Linux 5.15 to 6.7 a read of `memory.stat` leaves that out while somebody else is at
/// it, and goes by a count that is cleared after it: all that a program wrote within the
/// last two seconds may be missing. A read of `cpu.stat` never leaves it out. From 6.8
/// `memory.stat` lacks no more than 128 pages a processor by itself, and from 6.16 `cpu.stat`
/// is about the processors alone.
///
/// The cost is the kernel's own, which does the same for the whole machine every two
/// seconds. No version is asked for: distributions carry these changes back. Where the file
/// can not be read, the ledger sees what is missing by the usage, which is always current.
pub fn flush(dir: &Dir, buf: &mut Buf) {
    let _ = dir.read_record(FLUSHES, FLUSHES_LIMIT, buf);
}

/// Reads the file in a cgroup's directory.
pub fn read(dir: &Dir, version: CgroupVersion, buf: &mut Buf) -> Fact<MemoryStat> {
    read_marked(dir, version, buf).map(|(stat, _)| stat)
}

/// As [`read`], with a hash of the text: it has more figures than are read of it, counts of
/// events among them.
pub fn read_marked(dir: &Dir, version: CgroupVersion, buf: &mut Buf) -> Fact<(MemoryStat, u64)> {
    let text = dir.read_record(NAME, LIMIT, buf)?;
    let page_size = rustix::param::page_size() as u64;
    let stat = parse(text, version, page_size);
    let stat = stat.map_err(|what| malformed(&dir.path().join(NAME), &what))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    Ok((stat, hasher.finish()))
}

/// The figures of the text, or what is wrong with it.
pub fn parse(text: &[u8], version: CgroupVersion, page_size: u64) -> Result<MemoryStat, String> {
    let mut fields = Fields::of(text)?;
    match version {
        CgroupVersion::V1 => v1(&mut fields),
        CgroupVersion::V2 => v2(&mut fields, page_size),
    }
}

/// Page cache, and the shared memory in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnCache {
    /// Of a cgroup alone.
    pub own: (u64, u64),
    /// With all below it.
    pub all: (u64, u64),
}

/// Reads of a v1 cgroup what outlives processes: see [`own_cache`].
pub fn read_own_cache(dir: &Dir, buf: &mut Buf) -> Fact<OwnCache> {
    let text = dir.read_record(NAME, LIMIT, buf)?;
    own_cache(text).map_err(|what| malformed(&dir.path().join(NAME), &what))
}

/// `cache` and `shmem` of v1, of the cgroup alone, then with those below it, deleted ones
/// among them.
pub fn own_cache(text: &[u8]) -> Result<OwnCache, String> {
    let mut fields = Fields::of(text)?;
    let mut pair =
        |cache, shmem| Ok::<_, String>((fields.required(cache)?, fields.required(shmem)?));
    Ok(OwnCache { own: pair("cache", "shmem")?, all: pair("total_cache", "total_shmem")? })
}

/// The `total_` figures: the cgroup and all below it, as v2 counts always.
fn v1(fields: &mut Fields<'_>) -> Result<MemoryStat, String> {
    Ok(MemoryStat {
        file: fields.required("total_cache")?,
        anon: fields.required("total_rss")?,
        shmem: fields.required("total_shmem")?,
        swapcached: fields.optional("total_swapcached")?,
        swap: fields.optional("total_swap")?,
        inactive_anon: fields.required("total_inactive_anon")?,
        active_anon: fields.required("total_active_anon")?,
        inactive_file: fields.required("total_inactive_file")?,
        active_file: fields.required("total_active_file")?,
        unevictable: fields.required("total_unevictable")?,
        file_mapped: fields.optional("total_mapped_file")?,
        ..MemoryStat::default()
    })
}

fn v2(fields: &mut Fields<'_>, page_size: u64) -> Result<MemoryStat, String> {
    Ok(MemoryStat {
        anon: fields.required("anon")?,
        file: fields.required("file")?,
        kernel: fields.optional("kernel")?,
        kernel_stack: fields.optional("kernel_stack")?,
        pagetables: fields.optional("pagetables")?,
        sec_pagetables: fields.optional("sec_pagetables")?,
        percpu: fields.optional("percpu")?,
        sock: fields.optional("sock")?,
        vmalloc: fields.optional("vmalloc")?,
        shmem: fields.required("shmem")?,
        zswap: fields.optional("zswap")?,
        swapcached: fields.optional("swapcached")?,
        inactive_anon: fields.required("inactive_anon")?,
        active_anon: fields.required("active_anon")?,
        inactive_file: fields.required("inactive_file")?,
        active_file: fields.required("active_file")?,
        unevictable: fields.required("unevictable")?,
        file_mapped: fields.optional("file_mapped")?,
        slab_reclaimable: fields.optional("slab_reclaimable")?,
        slab_unreclaimable: fields.optional("slab_unreclaimable")?,
        hugetlb: fields.optional("hugetlb")?,
        // Counted in pages, unlike the amounts.
        ever_lazily_freed: fields.optional("pglazyfree")?.map(|n| n.saturating_mul(page_size)),
        swap: None,
    })
}
