//! The targets hold what they say: each is compared with the kernel's `smaps`,
//! read apart from memgap's reader. The other live tests stand on this.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use memgap_tests::target::Target;

/// What a program holds beyond the memory that it tells of: the C library.
const BASE: u64 = 2 << 20;

/// What the kernel may not have marked yet: pages wait in batches of each CPU.
const BATCHES: u64 = 256 << 10;

/// Sums the smaps lines with a key, in bytes, over the mappings that `wanted`
/// likes by their first line.
fn smaps(pid: u32, key: &str, wanted: impl Fn(&str) -> bool) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps");
    let text = fs::read(&path).with_context(|| format!("failed to read {path}"))?;
    let (mut sum, mut counts) = (0, false);
    for line in String::from_utf8_lossy(&text).lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if first.contains('-') {
            counts = wanted(line);
        } else if counts && first.strip_suffix(':') == Some(key) {
            let kilobytes = line.split_whitespace().nth(1).context("a line without a figure")?;
            sum += kilobytes.parse::<u64>()? * 1024;
        }
    }
    Ok(sum)
}

fn all(_: &str) -> bool {
    true
}

/// The target's word on lazily freed memory holds.
fn assert_lazy(target: &Target) -> Result<()> {
    let (held, kernel) = (target.holds("lazy")?, smaps(target.pid(), "LazyFree", all)?);
    assert!(
        (held.saturating_sub(BATCHES)..=held).contains(&kernel),
        "lazy: the target says {held}, the kernel {kernel}"
    );
    Ok(())
}

/// `held` is what the kernel says within the C library's own memory.
fn assert_holds(what: &str, held: u64, kernel: u64) {
    assert!(
        (held..held + BASE).contains(&kernel),
        "{what}: the target says {held}, the kernel {kernel}"
    );
}

#[test]
fn lazily_freed_pages_leave_lazy_free_when_written_again() -> Result<()> {
    let mut target = Target::start("lazyfree")?;
    for _ in 0..3 {
        assert_lazy(&target)?;
        assert_holds("resident", target.holds("resident")?, smaps(target.pid(), "Rss", all)?);
        target.step()?;
    }
    assert_holds("resident", 0, smaps(target.pid(), "Rss", all)?);
    Ok(())
}

#[test]
fn a_ballast_is_address_space_alone() -> Result<()> {
    let mut target = Target::start("ballast")?;
    let before = smaps(target.pid(), "Size", all)?;
    for _ in 0..2 {
        target.step()?;
        assert_eq!(smaps(target.pid(), "Size", all)? - before, target.holds("mapped")?);
        assert_holds("touched", target.holds("touched")?, smaps(target.pid(), "Rss", all)?);
    }
    Ok(())
}

#[test]
fn threads_use_their_stacks() -> Result<()> {
    let mut target = Target::start("stacks")?;
    let before = smaps(target.pid(), "Anonymous", all)?;
    target.step()?;
    let after = smaps(target.pid(), "Anonymous", all)?;
    assert_holds("stacks", target.holds("stacks")?, after - before);
    Ok(())
}

#[test]
fn shared_memory_of_every_kind_is_resident() -> Result<()> {
    let mut target = Target::start("shm")?;
    for step in 0..4 {
        if step > 0 {
            target.step()?;
        }
        let shared = smaps(target.pid(), "Rss", |line| line.contains("rw-s"))?;
        assert_eq!(shared, target.holds("shmem")?);
    }
    Ok(())
}

#[test]
fn a_written_private_mapping_is_anonymous() -> Result<()> {
    let mut target = Target::start("mapped")?;
    target.step()?;
    let file = |line: &str| line.contains("memgap-target");
    assert_eq!(smaps(target.pid(), "Anonymous", file)?, target.holds("anonymous")?);
    let both = target.holds("file")? + target.holds("anonymous")?;
    assert_eq!(smaps(target.pid(), "Rss", file)?, both);
    Ok(())
}

#[test]
fn forked_memory_is_shared_until_it_is_written() -> Result<()> {
    let mut target = Target::start("fork")?;
    target.step()?;
    let children = ["child", "child_2"].map(|name| target.holds(name));
    let anonymous = |line: &str| line.contains(" 00:00 0 ") || line.ends_with(" 00:00 0");
    let mut pss = smaps(target.pid(), "Pss", anonymous)?;
    for child in children {
        pss += smaps(u32::try_from(child?)?, "Pss", anonymous)?;
    }
    assert_holds("whole", target.holds("whole")?, pss);
    Ok(())
}

#[test]
fn huge_pages_are_freed_lazily_and_unmapped_in_part() -> Result<()> {
    let mut target = Target::start("thp")?;
    for step in 0..3 {
        if step > 0 {
            target.step()?;
        }
        assert_lazy(&target)?;
        assert_holds("resident", target.holds("resident")?, smaps(target.pid(), "Rss", all)?);
    }
    Ok(())
}

#[test]
fn locked_memory_is_locked() -> Result<()> {
    let mut target = Target::start("mlock")?;
    target.step()?;
    assert_eq!(smaps(target.pid(), "Locked", all)?, target.holds("locked")?);
    let file = smaps(target.pid(), "Locked", |line| line.contains("memgap-target"))?;
    assert_eq!(file, target.holds("locked_file")?);
    Ok(())
}

#[test]
fn memory_without_access_can_be_resident() -> Result<()> {
    let target = Target::start("protnone")?;
    // The C library's guard areas have no access either, and no memory.
    let barred = |line: &str| line.contains(" ---p ");
    assert_eq!(smaps(target.pid(), "Rss", barred)?, target.holds("resident")?);
    let empty = smaps(target.pid(), "Size", barred)? - target.holds("resident")?;
    assert_holds("reserved", target.holds("reserved")?, empty);
    Ok(())
}

#[test]
fn many_mappings_stay_apart() -> Result<()> {
    let target = Target::start("manyvmas")?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", target.pid()))?;
    assert!(maps.lines().count() as u64 >= target.holds("areas")?);
    assert_holds("resident", target.holds("resident")?, smaps(target.pid(), "Rss", all)?);
    Ok(())
}

#[test]
fn a_target_ends_in_the_middle_of_a_reading() -> Result<()> {
    let mut target = Target::start("exiting")?;
    let mut smaps = fs::File::open(format!("/proc/{}/smaps", target.pid()))?;
    let mut first = [0; 4096];
    let read = smaps.read(&mut first)?;
    assert!(read > 0 && !first[..read].ends_with(b"[vsyscall]\n"));
    assert!(target.end()?.success());
    // The rest is gone: an end of file or ESRCH, according to the kernel.
    let mut rest = Vec::new();
    let _ = smaps.read_to_end(&mut rest);
    assert!((rest.len() as u64) < target.holds("areas")? * 100);
    Ok(())
}

#[test]
fn names_are_as_strange_as_they_can_be() -> Result<()> {
    let target = Target::start("names")?;
    let comm = fs::read(format!("/proc/{}/comm", target.pid()))?;
    assert_eq!(comm, b") R 1\n\xff(\n");
    let maps = fs::read(format!("/proc/{}/maps", target.pid()))?;
    assert!(maps.windows(2).any(|pair| pair == b"\xff\xfe"));
    let resident = |line: &str| line.contains("rw-s");
    let both = target.holds("file")? + target.holds("shmem")?;
    assert_eq!(smaps(target.pid(), "Rss", resident)?, both);
    Ok(())
}

#[test]
fn jemalloc_says_what_it_holds() -> Result<()> {
    let mut target = Target::run(Path::new(env!("CARGO_BIN_EXE_jemalloc")), &[])?;
    let whole = target.holds("allocated")?;
    target.step()?;
    let half = target.holds("allocated")?;
    assert!(whole >= 64 << 20 && half < whole * 6 / 10, "{whole} {half}");
    target.step()?;
    assert!(target.holds("allocated")? < BASE);
    Ok(())
}
