//! The checks that every scenario ends with: do memgap's books close, and do
//! they agree with the kernel's own?

use std::thread;

use anyhow::Result;
use memgap_tests::release;

use crate::findings::Findings;
use crate::group::Group;
use crate::kernel;
use crate::memgap::Report;

const KIB: i64 = 1024;

/// How far one reading of the LRU lists may be off right after the fact: pages
/// wait in per-CPU batches, counters in per-CPU batches of 64 updates.
pub const NOISE: i64 = 256 * KIB;

/// The accounts between RSS and VSZ; all others are within RSS.
const BEYOND_RSS: [&str; 6] =
    ["swapped", "hugetlb", "device_mapped", "reserved", "untouched", "vsz_skew"];

/// What a cgroup's heap statistics said, beside what the kernel says.
pub struct HeapStatistics {
    /// memgap's report.
    pub report: Report,
    /// The same without a look into any process: `memory.stat` is all it has.
    pub blind: Report,
    /// `LazyFree` of smaps.
    pub lazy: i64,
}

/// Checks the cgroup's and the actor's heap statistics; the actor waits meanwhile.
pub fn check(group: &Group, findings: &mut Findings) -> Result<HeapStatistics> {
    let target = group.target();
    let statistics = HeapStatistics {
        report: Report::of(&target)?,
        blind: Report::without_rights(&target)?,
        lazy: kernel::smaps(group.pid(), "LazyFree")?,
    };
    let lru_lazy = kernel::lru_lazy(group.pid())?;
    headline(group, &statistics.report, findings)?;
    residual(group, &statistics.report, findings)?;

    findings.near("lazy", statistics.report.figure("lazy_free")?.point, statistics.lazy, NOISE);
    findings.inside("lazy_free", statistics.blind.figure("lazy_free")?, statistics.lazy, 0);
    findings.note("hidden", statistics.report.headline("working_set_hidden")?.point);
    for report in [&statistics.report, &statistics.blind] {
        findings.inside("lru_lazy", report.headline("lru_lazy")?, lru_lazy, 0);
        let hidden = report.headline("working_set_hidden")?;
        findings.inside("working_set_hidden", hidden, lru_lazy - statistics.lazy, 0);
    }
    process(group.pid(), findings)?;
    Ok(statistics)
}

/// Usage and working set are the kernel's, and the accounts sum to the usage.
fn headline(group: &Group, report: &Report, findings: &mut Findings) -> Result<()> {
    let usage = report.headline("usage")?.point;
    findings.equal("the sum of the accounts", report.sum_without(&[]), usage);
    findings.near("usage", usage, group.usage()?, NOISE);
    let stat = group.stat()?;
    let working_set = usage - stat.get("inactive_file")?;
    findings.near("ws", report.headline("working_set")?.point, working_set, NOISE);
    Ok(())
}

/// What no counter holds stays within what the processors can hold back.
fn residual(group: &Group, report: &Report, findings: &mut Findings) -> Result<()> {
    let mut residual = report.figure("charge_residual")?.point;
    if release::release()? < (5, 18, 0) {
        if group.opaque {
            findings.note("residual", residual);
            return Ok(());
        }
        // These kernels charge page tables and show none.
        let tables = kernel::status(group.pid(), "VmPTE")?;
        findings.note("page tables", tables);
        residual -= tables;
    }
    findings.near("residual", residual, 0, residual_bound()?);
    Ok(())
}

/// What charges and counters may be apart by: per-CPU stocks, measured.
pub fn residual_bound() -> Result<i64> {
    Ok(i64::try_from(thread::available_parallelism()?.get())? * 512 * KIB)
}

/// The accounts of a process sum to what the kernel says of it.
pub fn process(pid: u32, findings: &mut Findings) -> Result<()> {
    let report = Report::of(&pid.to_string())?;
    let (vsz, rss) = (report.headline("vsz")?.point, report.headline("rss")?.point);
    let skew = report.figure("skew")?.point;
    findings.equal("the sum to VSZ", report.sum_without(&[]), vsz);
    findings.equal("the sum to RSS", report.sum_without(&BEYOND_RSS), rss);
    findings.equal("vsz", vsz, kernel::status(pid, "VmSize")?);
    findings.equal(
        "lazy_free of the process",
        report.figure("lazy_free")?.point,
        kernel::smaps(pid, "LazyFree")?,
    );
    findings.equal("swapped", report.figure("swapped")?.point, kernel::smaps(pid, "Swap")?);
    findings.equal("rss less skew", rss - skew, kernel::smaps(pid, "Rss")?);
    if release::counts_exactly()? {
        findings.near("skew", skew, 0, (rss / 200).max(64 * KIB));
    } else {
        findings.note("skew", skew);
    }
    Ok(())
}

/// The accounts of the machine sum to what the kernel manages.
pub fn host(findings: &mut Findings) -> Result<()> {
    let report = Report::of("host")?;
    let total = report.headline("total")?.point;
    findings.equal("the sum to MemTotal", report.sum_without(&[]), total);
    findings.equal("total", total, kernel::memory()?);
    findings.note("unaccounted", report.figure("kernel_unaccounted")?.point);
    Ok(())
}

/// `required` holds the truth: what is left once the kernel took back all that
/// it could without swapping. Ends the scenario: the memory is gone after it.
pub fn required(group: &Group, statistics: &HeapStatistics, findings: &mut Findings) -> Result<()> {
    let required = statistics.report.headline("required")?;
    let left = group.squeeze()?;
    findings.note("left", left);
    findings.near("required", required.point, left, left * 3 / 100);
    for report in [&statistics.report, &statistics.blind] {
        findings.inside("required", report.headline("required")?, left, residual_bound()?);
    }
    Ok(())
}
