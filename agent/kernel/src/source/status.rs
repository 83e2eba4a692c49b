//! `/proc/PID/status`: proc_pid_status(5), fs/proc/array.c and fs/proc/task_mmu.c.

use memgap_ledger::Fact;
use memgap_ledger::sample::Counters;

use super::Parsed;
use crate::file::Buf;
use crate::process::Process;
use crate::text;

/// Name of the file below a process's directory.
pub const NAME: &str = "status";

/// About 60 lines; the masks of processors and memory nodes may be long.
const LIMIT: usize = 256 << 10;

/// Threads that are asked for one that lives.
const MAX_THREADS: usize = 1 << 16;

/// The lines that are read. All but the last stand only where the process has
/// memory; `Rss*` since 4.5. `Threads` follows them, so a text that was cut short
/// is recognised by its absence.
const KEYS: [&[u8]; 7] =
    [b"VmSize", b"VmRSS", b"RssAnon", b"RssFile", b"RssShmem", b"VmSwap", b"Threads"];

/// The lines that need not be there, before those that must: `VmPin` since 3.2.
const OPTIONAL: [&[u8]; 3] = [b"VmLck", b"VmPin", b"VmPTE"];

/// Reads the counters; `None` for a process without memory.
pub fn read(process: &Process, buf: &mut Buf) -> Fact<Option<Counters>> {
    let text = process.read(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| process.malformed(NAME, what))
}

/// The same, and the real user that the process runs as, where that is told.
pub fn read_with_user(process: &Process, buf: &mut Buf) -> Fact<(Option<Counters>, Option<u32>)> {
    let text = process.read(NAME, LIMIT, buf)?;
    let user = parse_users(text).ok().map(|[real, ..]| real);
    let counters = parse(text).map_err(|what| process.malformed(NAME, what))?;
    Ok((counters, user))
}

/// A thread of a process whose first one has ended: the files in its directory
/// describe the memory that those of the process no longer do.
pub fn living_thread(process: &Process, buf: &mut Buf) -> Fact<Process> {
    let threads = process.threads(MAX_THREADS)?;
    threads
        .into_iter()
        .filter_map(|id| process.thread(id).ok())
        .find(|thread| read(thread, buf).is_ok_and(|counters| counters.is_some()))
        .ok_or_else(|| process.gone())
}

/// Reads the users that it runs as: real, effective and saved.
pub fn users(process: &Process, buf: &mut Buf) -> Fact<[u32; 3]> {
    let text = process.read(NAME, LIMIT, buf)?;
    parse_users(text).map_err(|what| process.malformed(NAME, what))
}

/// The users of the text.
pub fn parse_users(text: &[u8]) -> Parsed<[u32; 3]> {
    let value = |line| text::key_value(line).and_then(|(key, v)| (key == b"Uid").then_some(v));
    let value = text::lines(text).find_map(value).ok_or("there is no line Uid")?;
    let mut users = text::words(value).map(|word| text::decimal(word)?.try_into().ok());
    let users = [users.next(), users.next(), users.next()].map(Option::flatten);
    let [Some(real), Some(effective), Some(saved)] = users else {
        return Err("a user is not a number");
    };
    Ok([real, effective, saved])
}

/// Reads its pids: in the pid namespace of the procfs, and in each below it down to its own.
/// The line is there since 4.1.
pub fn pids(process: &Process, buf: &mut Buf) -> Fact<Vec<u32>> {
    let text = process.read(NAME, LIMIT, buf)?;
    parse_pids(text).map_err(|what| process.malformed(NAME, what))
}

/// The pids of the text.
pub fn parse_pids(text: &[u8]) -> Parsed<Vec<u32>> {
    let value = |line| text::key_value(line).and_then(|(key, v)| (key == b"NSpid").then_some(v));
    let value = text::lines(text).find_map(value).ok_or("there is no line NSpid")?;
    let pid = |word| text::decimal(word)?.try_into().ok();
    text::words(value).map(|word| pid(word).ok_or("a pid is not a number")).collect()
}

/// The counters of the text; `None` where it has no lines on memory: a kernel
/// thread, or a process that has given its memory back.
pub fn parse(text: &[u8]) -> Parsed<Option<Counters>> {
    let mut values = [None; KEYS.len()];
    let mut optional = [None; OPTIONAL.len()];
    let mut open = KEYS.len();
    for line in text.split_inclusive(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\n").ok_or("the last line is cut short")?;
        let Some((key, value)) = text::key_value(line) else { continue };
        let place = |keys: &[&[u8]]| keys.iter().position(|k| *k == key);
        let (slot, is_required) = match (place(&KEYS), place(&OPTIONAL)) {
            (Some(at), _) => (&mut values[at], true),
            (None, Some(at)) => (&mut optional[at], false),
            (None, None) => continue,
        };
        let number = text::kilobytes(value).ok_or("a counter is not a number")?;
        if slot.replace(number).is_some() {
            return Err("a counter stands there twice");
        }
        open -= usize::from(is_required);
        if open == 0 {
            break;
        }
    }
    match values {
        [Some(vsz), Some(rss), Some(anon), Some(file), Some(shmem), Some(swap), Some(threads)] => {
            Ok(Some(Counters {
                source: NAME,
                vsz,
                rss,
                anon,
                file: Some(file),
                shmem: Some(shmem),
                swap: Some(swap),
                threads: Some(threads),
                locked: optional[0],
                pinned: optional[1],
                page_tables: optional[2],
            }))
        }
        [None, None, None, None, None, None, Some(_)] => Ok(None),
        _ => Err("a line among VmSize, VmRSS, RssAnon, RssFile, RssShmem, VmSwap, Threads lacks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_are_those_of_each_namespace_down_to_its_own() {
        assert_eq!(parse_pids(b"Name:\tcat\nNSpid:\t4711\t12\nNSsid:\t1\n"), Ok(vec![4711, 12]));
        for bad in [&b"Name:\tcat\n"[..], b"NSpid:\tx\n", b"NSpid:\t-1\n", b"NSpid:\t99999999999\n"]
        {
            assert!(parse_pids(bad).is_err(), "{bad:?}");
        }
    }
}
