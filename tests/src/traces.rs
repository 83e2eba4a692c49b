//! What looking at a process may leave behind, in the kernel's own words.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use memgap_reader::{Depth, Reader, Roots};

/// Lazily freed pages that still waited in the batches of each processor: when they
/// leave them they are dirty no more.
const BATCHES: u64 = 256 << 10;

/// Reads the heap statistics of a runtime in a process that stands still a thousand times, as
/// collections do, and gives what was referenced by that and the RSS. All else that the
/// kernel says is the same before and after, but for what leaves its batches, and pages of
/// files that the kernel takes back for others.
pub fn of_a_thousand_looks(pid: u32, runtime: &str) -> Result<(u64, u64)> {
    let reader = Reader::open(Roots::default())?;
    // Found already: that is once for each program.
    reader.process(pid, Depth::Runtimes)?;
    fs::write(format!("/proc/{pid}/clear_refs"), "1")?;
    let before = traces(pid)?;
    // A look ends when its time is over: on a busy machine one may.
    let mut read = 0;
    for _ in 0..1000 {
        let sample = reader.process(pid, Depth::Runtimes)?;
        let is_read = sample.runtimes.iter().flatten().any(|statistics| statistics.name == runtime);
        read += u32::from(is_read);
    }
    ensure!(read > 990, "{runtime} is read {read} times of 1000");
    let mut after = traces(pid)?;
    let was = |key: &str| before.get(key).copied().context("no figure");
    let mut now =
        |key: &str| -> Result<u64> { after.insert(key.to_owned(), was(key)?).context("no figure") };
    let more = now("Referenced")?.saturating_sub(was("Referenced")?);
    let late = now("LazyFree")?.checked_sub(was("LazyFree")?);
    ensure!(late.is_some_and(|late| late <= BATCHES), "{late:?} more freed lazily");
    let late = was("Private_Dirty")?.checked_sub(now("Private_Dirty")?);
    ensure!(late.is_some_and(|late| late <= BATCHES), "{late:?} less dirty");
    let rss = was("VmRSS")?;
    ensure!(now("VmRSS")? <= rss && now("Rss")? <= was("Rss")?, "RSS has grown from {rss}");
    ensure!(before == after, "{before:?} became {after:?}");
    println!("{runtime}: {more} bytes referenced of {rss} resident");
    Ok((more, rss))
}

/// What the kernel says of a process: RSS, page tables, swap, lazily freed memory, and what
/// of its own memory is dirty, and was referenced since the kernel was last asked to forget
/// that. Pages of files are left out: who reads or runs the file references them too, and
/// those of one that was just written are dirty, and private once nobody else maps it.
fn traces(pid: u32) -> Result<BTreeMap<String, u64>> {
    let mut traces = BTreeMap::new();
    for (file, keys) in [
        ("status", &["VmRSS", "RssAnon", "VmPTE", "VmSwap"][..]),
        ("smaps_rollup", &["Rss", "LazyFree"]),
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
    let (mut referenced, mut dirty) = (0, 0);
    let (mut own, mut writable) = (false, false);
    for line in fs::read_to_string(format!("/proc/{pid}/smaps"))?.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [range, access, _, _, inode, ..] if range.contains('-') => {
                (own, writable) = (inode == "0", access.contains('w'));
            }
            ["Referenced:", kilobytes, _] if own => referenced += kilobytes.parse::<u64>()? * 1024,
            // Of a file's own pages only those count that were copied to be written.
            ["Private_Dirty:", kilobytes, _] if own => dirty += kilobytes.parse::<u64>()? * 1024,
            ["Anonymous:", kilobytes, _] if !own && writable => {
                dirty += kilobytes.parse::<u64>()? * 1024;
            }
            _ => {}
        }
    }
    traces.insert("Referenced".to_owned(), referenced);
    traces.insert("Private_Dirty".to_owned(), dirty);
    Ok(traces)
}
