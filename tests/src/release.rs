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
