//! What looking at a process may leave behind, in the kernel's own words.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// What the kernel says of a process: RSS, page tables, swap, lazily freed memory,
/// and what of its own memory was referenced since it was last told to forget that.
/// Pages of files are left out: who reads or runs the file references them too.
pub fn traces(pid: u32) -> Result<BTreeMap<String, u64>> {
    let mut traces = BTreeMap::new();
    for (file, keys) in [
        ("status", &["VmRSS", "VmPTE", "VmSwap"][..]),
        ("smaps_rollup", &["Rss", "LazyFree", "Private_Dirty"]),
    ] {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            if keys.contains(&key) {
                let number = value.split_whitespace().next().context("no figure")?;
                traces.insert(key.to_owned(), number.parse::<u64>()? * 1024);
            }
        }
    }
    let mut referenced = 0;
    let mut own = false;
    for line in fs::read_to_string(format!("/proc/{pid}/smaps"))?.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [range, _, _, _, inode, ..] if range.contains('-') => own = inode == "0",
            ["Referenced:", kilobytes, _] if own => referenced += kilobytes.parse::<u64>()? * 1024,
            _ => {}
        }
    }
    traces.insert("Referenced".to_owned(), referenced);
    Ok(traces)
}
