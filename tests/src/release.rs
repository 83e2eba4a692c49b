//! Which kernel this is, and what that means for its figures.

use anyhow::Result;

/// The release as (major, minor, patch).
pub fn release() -> Result<(u32, u32, u32)> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    Ok((next(), next(), next()))
}

/// Whether `VmRSS` is exact: from 6.16, and from 6.12.95 in that series.
pub fn counts_exactly() -> Result<bool> {
    let release = release()?;
    Ok(release >= (6, 16, 0) || ((6, 12, 95)..(6, 13, 0)).contains(&release))
}

/// What of RSS, of its three counters, the kernel may hold back.
pub fn lag(pid: u32) -> Result<i64> {
    const EXACT: i64 = 64 << 10;
    if counts_exactly()? {
        return Ok(EXACT);
    }
    let pages = if release()? < (6, 2, 0) {
        // Each thread's 64 faults, of which one maps up to 16 pages of a file.
        64 * 16 * std::fs::read_dir(format!("/proc/{pid}/task")).map_or(1, Iterator::count)
    } else {
        // A batch of each processor.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        3 * processors * (2 * processors).max(32)
    };
    Ok(EXACT.max(i64::try_from(pages * rustix::param::page_size())?))
}
