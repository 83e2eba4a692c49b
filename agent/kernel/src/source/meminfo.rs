//! `/proc/meminfo`: proc_meminfo(5), fs/proc/meminfo.c.

use memgap_ledger::Fact;
use memgap_ledger::sample::{HugePages, Meminfo};

use crate::fields::Fields;
use crate::file::{Buf, Dir, malformed};

/// Name of the file below the procfs root.
pub const NAME: &str = "meminfo";

/// The kernel prints about 60 lines; more than this is not its file.
const LIMIT: usize = 64 << 10;

/// Reads the file below a procfs root.
pub fn read(proc: &Dir, buf: &mut Buf) -> Fact<Meminfo> {
    let text = proc.read(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| malformed(&proc.path().join(NAME), &what))
}

/// The figures of the text in bytes, or what is wrong with it.
pub fn parse(text: &[u8]) -> Result<Meminfo, String> {
    let mut fields = Fields::of(text)?;
    Ok(Meminfo {
        mem_total: fields.required("MemTotal")?,
        mem_free: fields.required("MemFree")?,
        mem_available: fields.optional("MemAvailable")?,
        buffers: fields.required("Buffers")?,
        cached: fields.required("Cached")?,
        active_anon: fields.required("Active(anon)")?,
        inactive_anon: fields.required("Inactive(anon)")?,
        active_file: fields.required("Active(file)")?,
        inactive_file: fields.required("Inactive(file)")?,
        unevictable: fields.required("Unevictable")?,
        mlocked: fields.required("Mlocked")?,
        swap_total: fields.required("SwapTotal")?,
        swap_free: fields.required("SwapFree")?,
        anon_pages: fields.required("AnonPages")?,
        shmem: fields.required("Shmem")?,
        s_reclaimable: fields.required("SReclaimable")?,
        s_unreclaim: fields.required("SUnreclaim")?,
        kernel_stack: fields.required("KernelStack")?,
        page_tables: fields.required("PageTables")?,
        sec_page_tables: fields.optional("SecPageTables")?,
        vmalloc_used: fields.required("VmallocUsed")?,
        percpu: fields.optional("Percpu")?,
        hugetlb: fields.optional("Hugetlb")?,
        huge_pages: huge_pages(&mut fields)?,
        k_reclaimable: fields.optional("KReclaimable")?,
        zswap: fields.optional("Zswap")?,
    })
}

/// `None` without `CONFIG_HUGETLB_PAGE`.
fn huge_pages(fields: &mut Fields<'_>) -> Result<Option<HugePages>, String> {
    let Some(size) = fields.optional("Hugepagesize")? else { return Ok(None) };
    let mut bytes = |name: &str| {
        let pages = fields.required(name)?;
        pages.checked_mul(size).ok_or_else(|| format!("`{name}` is no machine's"))
    };
    Ok(Some(HugePages {
        size,
        total: bytes("HugePages_Total")?,
        free: bytes("HugePages_Free")?,
        reserved: bytes("HugePages_Rsvd")?,
    }))
}
