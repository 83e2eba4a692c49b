//! `memgap record FILE`: the whole machine, again and again, into a file.

use std::time::{Duration, Instant, SystemTime};

use memgap_reader::{Collector, Reader, Recorder, Recording, WalkPolicy};

use super::replay;
use crate::args::Record;
use crate::output::{Answer, Output};

const MIB: u64 = 1 << 20;

/// Records until the time is over, or a signal ends it: what was written by then is whole.
pub fn run(reader: Reader, asked: &Record, output: &Output) -> anyhow::Result<Answer> {
    let mut recorder = Recorder::create(&asked.file, asked.max_size * MIB, asked.redact)?;
    let mut collector = Collector::new(reader, WalkPolicy::default());
    let begin = Instant::now();
    loop {
        let at = begin.elapsed();
        let (sample, _) = collector.collect()?;
        recorder.add(SystemTime::now(), sample)?;
        let next = at.saturating_add(asked.interval);
        if asked.time.is_some_and(|time| next > time) {
            break;
        }
        std::thread::sleep(next.saturating_sub(begin.elapsed()).max(Duration::from_millis(1)));
    }
    // What could not be read stands in the samples, with its reason.
    replay::list(Recording::open(&asked.file)?, &asked.file, output).map(Answer::whole)
}
