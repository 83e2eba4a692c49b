//! Go's heap profile as text, `/debug/pprof/heap?debug=1`: behind the records the
//! lines `# HeapInuse = 123` tell `runtime.MemStats` (runtime/pprof/pprof.go).

use std::io::{self, BufRead};

use memgap_kernel::text;

use super::http::{line, malformed};
use super::memstats::MemStats;

/// What such a text begins with.
pub(crate) const MAGIC: &[u8] = b"heap profile: ";

/// Longest line: a record is one line of at most 128 addresses.
const LINE: usize = 64 << 10;

/// Reads the figures behind `# runtime.MemStats`.
pub fn parse(mut text: impl BufRead) -> io::Result<MemStats> {
    let (mut buf, mut stats, mut reached) = (Vec::new(), MemStats::default(), false);
    while let Some(line) = line(&mut text, &mut LINE.clone(), &mut buf)? {
        reached |= line == b"# runtime.MemStats";
        let figure = line.strip_prefix(b"# ").filter(|_| reached).and_then(pair);
        if let Some((name, value)) = figure {
            set(&mut stats, name, value).map_err(malformed)?;
        }
    }
    // It stands behind all that is used: the text was whole.
    if stats.num_gc.is_none() {
        return Err(malformed("the heap profile ends before its memory statistics do"));
    }
    Ok(stats)
}

fn pair(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.windows(3).position(|w| w == b" = ")?;
    Some((&line[..at], &line[at + 3..]))
}

fn set(stats: &mut MemStats, name: &[u8], value: &[u8]) -> Result<(), String> {
    let mut of = |name: &[u8], value: &[u8]| {
        let Some(figure) = stats.figure(name) else { return Ok(()) };
        let number = super::exposition::bytes(value);
        let number = number.map_err(|e| format!("`{}` gives {e}", text::printable(name, 40)))?;
        match figure.replace(number) {
            None => Ok(()),
            Some(_) => Err(format!("`{}` stands there twice", text::printable(name, 40))),
        }
    };
    // `# Stack = in use / of the system`
    let mut both = value.splitn(2, |b| *b == b'/').map(<[u8]>::trim_ascii);
    match (name, both.next(), both.next()) {
        (b"Stack", Some(in_use), Some(_)) => of(b"StackInuse", in_use),
        (b"MSpan", Some(_), Some(system)) => of(b"MSpanSys", system),
        (b"MCache", Some(_), Some(system)) => of(b"MCacheSys", system),
        _ => of(name, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "heap profile: 1: 2 [3: 4] @ heap/1048576\n1: 2 [3: 4] @ 0x1 0x2\n\
        #\t0x1\tmain.main+0x1\t/a = b.go:1\n# HeapInuse = 1\n\n# runtime.MemStats\n# Alloc = 1\n\
        # HeapIdle = 4096\n# HeapInuse = 8192\n# HeapReleased = 0\n# Stack = 11 / 12\n\
        # MSpan = 21 / 22\n# MCache = 31 / 32\n# BuckHashSys = 5\n# GCSys = 6\n# OtherSys = 7\n\
        # NextGC = 18446744073709551615\n# PauseNs = [1 2]\n# NumGC = 3\n# DebugGC = false\n";

    #[test]
    fn the_figures_behind_the_records_are_read() {
        let stats = parse(TEXT.as_bytes()).expect("valid");
        let all: Vec<u64> = stats.figures().collect();
        assert_eq!(all, [8192, 4096, 0, 11, 22, 32, 5, 6, 7, 3]);
    }

    #[test]
    fn cut_doubled_and_absurd_figures_are_refused() {
        for cut in ["# NumGC", "# runtime", "# HeapInuse = 8192"] {
            let (whole, _) = TEXT.split_once(cut).expect("there");
            assert!(parse(whole.as_bytes()).is_err(), "{cut}");
        }
        for (from, to) in [
            ("Idle = 4096", "Idle = 9223372036854775808"),
            ("Idle = 4096", "Idle = -1"),
            ("Idle = 4096", "Inuse = 1"),
            ("11 / 12", "x / 12"),
        ] {
            assert!(parse(TEXT.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }
}
