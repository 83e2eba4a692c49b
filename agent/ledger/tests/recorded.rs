//! Leaks among sixteen real programs that were recorded for an hour by `tests/bench/traces`, beside what
//! the slope of RSS and of the working set would have said of them.

mod line;

use std::path::Path;
use std::time::Duration;

use line::line;
use memgap_ledger::history::Point;
use memgap_ledger::{Growth, History};

const TRACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded");

/// A rule of thumb: over 30 minutes a rise of 1 % an hour.
const NAIVE: Duration = Duration::from_mins(30);
const NAIVE_RISE: f64 = 0.01;

struct Sample {
    at: Duration,
    point: Point,
    rss: u64,
    working_set: u64,
}

struct Trace {
    name: String,
    leaks: bool,
    samples: Vec<Sample>,
}

fn traces() -> Vec<Trace> {
    let mut files: Vec<_> = std::fs::read_dir(TRACES)
        .expect("the traces are there")
        .map(|entry| entry.expect("it is readable").path())
        .collect();
    files.sort();
    files.iter().map(|file| trace(file)).collect()
}

fn trace(file: &Path) -> Trace {
    let text = std::fs::read_to_string(file).expect("it is readable");
    let name = file.file_stem().expect("it has a name").to_string_lossy().into_owned();
    let leaks = text.starts_with("# leaks\n");
    assert!(leaks || text.starts_with("# does not leak\n"), "{name} does not say whether it leaks");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Trace { name, leaks, samples: lines.map(sample).collect() }
}

fn sample(line: &str) -> Sample {
    let (at, figures) = line.split_once(' ').expect("seconds come first");
    let kib: Vec<Option<u64>> = figures
        .split(' ')
        .map(|word| (word != "-").then(|| word.parse::<u64>().expect("a number") << 10))
        .collect();
    let [in_use, free, lazy, cache, required, room, rss, working_set] = kib[..] else {
        panic!("not eight figures: {line}")
    };
    Sample {
        at: Duration::from_secs_f64(at.parse().expect("seconds")),
        point: Point { in_use, free, lazy, cache, required, room },
        rss: rss.expect("the kernel tells it"),
        working_set: working_set.expect("the kernel tells it"),
    }
}

/// When a leak was first said, and what is said at last.
fn judge(trace: &Trace) -> (Option<Duration>, Growth) {
    let (mut history, mut first) = (History::default(), None);
    for sample in &trace.samples {
        history.push(sample.at, sample.point);
        if matches!(Growth::of(history.iter()), Growth::Leak(_)) {
            first.get_or_insert(sample.at);
        }
    }
    (first, Growth::of(history.iter()))
}

/// Whether the least squares of some half hour rise.
fn rises(trace: &Trace, figure: fn(&Sample) -> u64) -> bool {
    let hours = |sample: &Sample| sample.at.as_secs_f64() / 3600.0;
    (0..trace.samples.len()).any(|last| {
        let end = trace.samples[last].at;
        let from = trace.samples.partition_point(|sample| sample.at + NAIVE < end);
        let window = &trace.samples[from..=last];
        let points: Vec<(f64, f64)> =
            window.iter().map(|sample| (hours(sample), figure(sample) as f64)).collect();
        let (_, mean, slope) = line(&points);
        end >= NAIVE && slope > mean * NAIVE_RISE
    })
}

#[test]
fn of_real_programs_those_that_leak_are_told_from_the_others() {
    let traces = traces();
    assert!(traces.len() >= 16 && traces.iter().filter(|trace| trace.leaks).count() >= 6);
    let (mut wrong, mut missed) = (Vec::new(), 0);
    let mut naive = [(0, 0); 2];
    for trace in &traces {
        let (first, last) = judge(trace);
        let rules = [rises(trace, |s| s.rss), rises(trace, |s| s.working_set)];
        let minutes = first.map(|at| format!("after {:.0} min", at.as_secs_f64() / 60.0));
        println!(
            "{:18} {:12} RSS {:5} working set {:5} at last: {}",
            trace.name,
            minutes.unwrap_or_else(|| "no leak".to_owned()),
            rules[0],
            rules[1],
            last.sentence()
        );
        for ((right, false_ones), said) in naive.iter_mut().zip(rules) {
            *right += usize::from(said && trace.leaks);
            *false_ones += usize::from(said && !trace.leaks);
        }
        match (trace.leaks, first) {
            (false, Some(_)) => wrong.push(&trace.name),
            (true, None) => missed += 1,
            _ => {}
        }
    }
    println!("{missed} missed; slope of RSS, of the working set: (right, false) {naive:?}");
    assert_eq!(wrong, [""; 0]);
    // An hour is little for a collector that hides what lives behind what does not.
    assert!(missed <= 1, "{missed}");
}
