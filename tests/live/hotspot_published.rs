//! Java programs and the file in which their virtual machine publishes its counters.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memgap_reader::{Depth, Reader, Roots};

use anyhow::{Context, Result};
use memgap_tests::java::{apart, hotspot, machine, refusal};

/// The file in which a virtual machine that runs apart publishes its counters.
fn published(pid: u32) -> PathBuf {
    format!("/proc/{pid}/root/tmp/hsperfdata_root/1").into()
}

/// Puts something else in the place of a file.
const REPLACEMENTS: [fn(&Path) -> std::io::Result<()>; 3] = [
    |path| Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR)?),
    |path| std::os::unix::fs::symlink("/etc/shadow", path),
    |path| std::fs::File::create(path)?.set_len(10 << 30),
];

#[test]
fn the_published_file_is_not_opened_where_memory_tells() -> Result<()> {
    let (_target, pid) = apart(&machine(17)?, &["-XX:+UseSerialGC"], 10)?;
    let path = published(pid);
    for replace in REPLACEMENTS {
        std::fs::remove_file(&path)?;
        replace(&path)?;
        let sample = Reader::open(Roots::default())?.process(pid, Depth::Pages)?;
        assert!(hotspot(&sample)?.gc.as_ref().is_some_and(|gc| gc.paused.is_some()));
    }
    Ok(())
}

/// The counters' file answers for a collector whose heap is not read in memory, and
/// what stands in its place is neither opened nor believed.
#[test]
fn the_published_file_answers_where_memory_does_not() -> Result<()> {
    let (target, pid) = apart(&machine(17)?, &["-XX:+UseShenandoahGC"], 2000)?;
    let sample = Reader::open(Roots::default())?.process(pid, Depth::Full)?;
    let runtime = hotspot(&sample)?;
    let (read, said) = (runtime.in_use.context("no heap")?, target.holds("used")?);
    assert!(read.abs_diff(said) <= said / 4, "{read} {said}");
    assert!(runtime.evidence[0].contains("stale up to a collection"), "{runtime:?}");
    assert!(runtime.gc.as_ref().is_some_and(|gc| gc.name.as_deref() == Some("Shenandoah")));

    let path = published(pid);
    let file = std::fs::File::options().read(true).write(true).open(&path)?;
    let (count, first) = (28, 32);
    for (at, word, why) in [
        (first, 0, "impossible length"),
        (first, u32::MAX, "impossible length"),
        (count, u32::MAX, "4294967295 counters"),
    ] {
        let mut kept = [0; 4];
        file.read_exact_at(&mut kept, at)?;
        file.write_all_at(&word.to_ne_bytes(), at)?;
        let lack = refusal(pid)?;
        assert!(lack.contains(why), "{lack}");
        file.write_all_at(&kept, at)?;
    }
    let size = file.metadata()?.len();
    file.set_len(10 << 30)?;
    let lack = refusal(pid)?;
    assert!(lack.contains("10737418240 bytes"), "{lack}");
    file.set_len(size)?;
    for replace in REPLACEMENTS {
        std::fs::remove_file(&path)?;
        replace(&path)?;
        let lack = refusal(pid)?;
        // The kernel says that the one which is mapped was deleted.
        assert!(lack.contains("publishes no file"), "{lack}");
    }
    Ok(())
}

#[test]
fn published_counters_that_can_not_be_are_refused_and_the_heap_is_not() -> Result<()> {
    let (_target, pid) = apart(&machine(17)?, &["-XX:+UseSerialGC"], 10)?;
    let file = std::fs::File::options().write(true).open(published(pid))?;
    let first = 32;
    for len in [0, u32::MAX] {
        // What is written to the file, the virtual machine has in its memory.
        file.write_all_at(&len.to_ne_bytes(), first)?;
        let sample = Reader::open(Roots::default())?.process(pid, Depth::Pages)?;
        let runtime = hotspot(&sample)?;
        assert!(runtime.in_use.is_some());
        assert!(runtime.gc.as_ref().is_some_and(|gc| gc.paused.is_none() && gc.live.is_none()));
        assert!(runtime.evidence.iter().any(|e| e.contains("impossible length")), "{runtime:?}");
    }
    Ok(())
}
