//! Leaks among programs that grow for other reasons, beside what the slope of RSS and of the working set would
//! have said of the same traces.

mod forecast;
mod line;
mod traces;

use std::time::Duration;

use line::line;
use memgap_ledger::history::Point;
use memgap_ledger::{Growth, History};
use traces::{Seen, TICK, Trace, leaks, others};

/// How often it is judged.
const JUDGED: Duration = Duration::from_mins(1);

/// What a rule of thumb takes for a leak: over 30 minutes a rise of 1 % an hour.
const NAIVE: Duration = Duration::from_mins(30);

/// The thresholds were found with it.
const SEED: u64 = 7;

struct Judged {
    /// When a leak was first said.
    leak: Option<Duration>,
    last: Growth,
    /// When the slope of RSS, and of the working set, said so.
    rss: Option<Duration>,
    working_set: Option<Duration>,
}

fn judge(trace: &Trace, seed: u64) -> Judged {
    let samples = trace.samples(seed);
    let mut history = History::default();
    let mut judged = Judged { leak: None, last: Growth::Steady, rss: None, working_set: None };
    let mut next = JUDGED.max(Duration::from_secs_f64(trace.known * 60.0));
    for (nth, (time, seen)) in samples.iter().enumerate() {
        history.push(*time, seen.point());
        if *time < next {
            continue;
        }
        next = *time + JUDGED;
        judged.last = Growth::of(history.iter());
        if matches!(judged.last, Growth::Leak(_)) {
            judged.leak.get_or_insert(*time);
        }
        let from = samples[..=nth].partition_point(|(at, _)| *at + NAIVE < *time);
        let window = &samples[from..=nth];
        if *time >= NAIVE {
            for (found, figure) in [
                (&mut judged.rss, Seen::rss as fn(&Seen) -> f64),
                (&mut judged.working_set, Seen::working_set),
            ] {
                if rises(window, figure) {
                    found.get_or_insert(*time);
                }
            }
        }
    }
    judged
}

fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

/// The least squares.
fn rises(window: &[(Duration, Seen)], figure: fn(&Seen) -> f64) -> bool {
    let points: Vec<(f64, f64)> = window.iter().map(|(t, s)| (hours(*t), figure(s))).collect();
    let (_, mean, slope) = line(&points);
    slope > mean * 0.01
}

#[test]
fn leaks_are_told_from_all_else_that_grows() {
    let (leaks, others) = (leaks(), others());
    assert!(leaks.len() + others.len() >= 40, "{} and {}", leaks.len(), others.len());
    let minutes = |time: Option<Duration>| {
        time.map_or_else(|| "-".to_owned(), |time| format!("{:.0}", time.as_secs_f64() / 60.0))
    };
    let mut wrong = Vec::new();
    let mut told: Vec<(bool, [bool; 3])> = Vec::new();
    let mut took = Vec::new();
    println!(
        "{:45} {:>6} {:>6} {:>6}  at last",
        "minutes until it is called a leak", "memgap", "RSS", "WS"
    );
    for trace in leaks.iter().chain(&others) {
        let made = judge(trace, SEED);
        let is_leak = trace.leaks.is_some();
        println!(
            "{:45} {:>6} {:>6} {:>6}  {}",
            trace.name,
            minutes(made.leak),
            minutes(made.rss),
            minutes(made.working_set),
            made.last.name()
        );
        told.push((is_leak, [made.leak, made.rss, made.working_set].map(|time| time.is_some())));
        if made.leak.is_some() != is_leak {
            wrong.push(trace.name.clone());
        }
        if let (Some(from), Some(at)) = (trace.leaks, made.leak) {
            took.push(at.as_secs_f64() / 60.0 - from);
        }
    }
    for (nth, name) in ["memgap", "slope of RSS", "slope of the working set"].iter().enumerate() {
        let count = |is: bool| told.iter().filter(|(leak, said)| *leak == is && said[nth]).count();
        let (right, false_ones) = (count(true), count(false));
        println!(
            "{name}: precision {:.2}, recall {:.2}, {false_ones} false of {}",
            right as f64 / (right + false_ones).max(1) as f64,
            right as f64 / leaks.len() as f64,
            others.len()
        );
    }
    took.sort_unstable_by(f64::total_cmp);
    println!(
        "time to verdict: median {:.0} min, at most {:.0}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn a_leak_of_one_percent_an_hour_is_found_within_half_an_hour() {
    let slow = leaks().remove(0);
    let found = judge(&slow, SEED).leak.expect("it leaks");
    assert!(found <= Duration::from_mins(30), "{found:?}");
}

/// With noise that the thresholds were not found with.
#[test]
fn other_noise_makes_no_leak() {
    let (leaks, others) = (leaks(), others());
    let (mut missed, mut wrong) = (0, Vec::new());
    for seed in 100..110 {
        for trace in &others {
            wrong.extend(judge(trace, seed).leak.map(|at| (&trace.name, seed, at)));
        }
        missed += leaks.iter().filter(|trace| judge(trace, seed).leak.is_none()).count();
    }
    println!("{missed} of {} leaks missed", leaks.len() * 10);
    assert_eq!(wrong, []);
    assert!(missed * 20 <= leaks.len() * 10, "{missed}");
}

fn of(count: u32, point: impl Fn(u32) -> Point) -> Growth {
    let mut history = History::default();
    for tick in 0..count {
        history.push(TICK * tick, point(tick));
    }
    Growth::of(history.iter())
}

#[test]
fn the_slope_is_within_its_bounds_and_tells_the_doubling() {
    const HOUR: u32 = 360;
    let grown = |tick: u32| Point {
        in_use: Some((100 << 20) + u64::from(tick) * (50 << 20) / u64::from(HOUR)),
        ..Point::default()
    };
    let Growth::Leak(slope) = of(HOUR, grown) else { panic!("{:?}", of(HOUR, grown)) };
    let true_one = f64::from(50 << 20);
    assert!((slope.per_hour - true_one).abs() < true_one * 0.01, "{slope:?}");
    // Amounts are kept to a part in 4,096.
    assert!(slope.bounds.0 <= true_one * 1.005 && slope.bounds.1 >= true_one * 0.995, "{slope:?}");
    let doubling = slope.doubling().expect("it doubles").as_secs_f64() / 3600.0;
    assert!((doubling - 3.0).abs() < 0.1, "{doubling}");
    assert!(Growth::Leak(slope).sentence().contains("doubles in 3.0 h"));
}

#[test]
fn samples_that_are_far_apart_are_enough() {
    for minutes in [2_u64, 5, 10] {
        let mut history = History::default();
        for nth in 0..120 {
            let in_use = Some((200 << 20) + nth * minutes * (20 << 20) / 60);
            let point = Point { in_use, ..Point::default() };
            history.push(Duration::from_mins(nth * minutes), point);
        }
        let growth = Growth::of(history.iter());
        assert_eq!(growth.name(), "leak", "{minutes} min: {growth:?}");
    }
}

#[test]
fn what_is_not_known_is_said_to_be_so() {
    let steady = |_| Point { in_use: Some(9 << 20), ..Point::default() };
    assert_eq!(of(47, steady).name(), "unknown");
    assert_eq!(of(48, steady), Growth::Steady);
    assert!(of(300, |_| Point::default()).sentence().contains("is not read"));
    let grows = |tick: u32| Point {
        in_use: Some((9 << 20) + u64::from(tick) * 65_536),
        ..Point::default()
    };
    let early = of(60, grows);
    assert!(early.sentence().contains("that takes 25 min"), "{}", early.sentence());
    let absurd =
        |tick: u32| Point { in_use: Some(u64::MAX / 300 * u64::from(tick)), ..Point::default() };
    let _ = of(300, absurd).sentence();
}

#[test]
fn what_is_kept_or_can_be_taken_back_is_named() {
    let kept = |tick: u32| Point {
        in_use: Some(100 << 20),
        free: Some(u64::from(tick) << 18),
        ..Point::default()
    };
    assert_eq!(of(300, kept).name(), "retention");
    let cached = |tick: u32| Point { cache: Some(u64::from(tick) << 18), free: Some(0), ..kept(0) };
    assert_eq!(of(300, cached).name(), "reclaimable");
}
