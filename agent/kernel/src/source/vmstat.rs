//! `/proc/vmstat`: what `meminfo` does not tell of compressed pages and of the balloon.

use memgap_ledger::Fact;
use memgap_ledger::sample::Vmstat;

use crate::fields::Fields;
use crate::file::{Buf, Dir, malformed};

/// Name of the file below the procfs root.
pub const NAME: &str = "vmstat";

/// The kernel prints some 200 lines; more than this is not its file.
const LIMIT: usize = 64 << 10;

/// Reads the file below a procfs root.
pub fn read(proc: &Dir, page_size: u64, buf: &mut Buf) -> Fact<Vmstat> {
    let text = proc.read(NAME, LIMIT, buf)?;
    parse(text, page_size).map_err(|what| malformed(&proc.path().join(NAME), &what))
}

/// The figures of the text in bytes, or what is wrong with it.
pub fn parse(text: &[u8], page_size: u64) -> Result<Vmstat, String> {
    let mut fields = Fields::of(text)?;
    // Every kernel prints it: without it this is another file.
    fields.required("nr_free_pages")?;
    let bytes = |pages: Option<u64>| match pages.map(|p| p.checked_mul(page_size)) {
        Some(None) => Err("a number of pages is no machine's".to_owned()),
        pages => Ok(pages.flatten()),
    };
    let zspages = bytes(fields.optional("nr_zspages")?)?;
    let held = fields.optional("nr_balloon_pages")?;
    let inflated = fields.optional("balloon_inflate")?;
    let deflated = fields.optional("balloon_deflate")?;
    // Two counters that are summed over processors one after the other may cross.
    let difference = inflated.zip(deflated).map(|(up, down)| up.saturating_sub(down));
    Ok(Vmstat { zspages, balloon: bytes(held.or(difference))? })
}
