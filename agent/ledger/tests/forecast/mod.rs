//! Whether room is said to end within the hour where it does, and where it does not, beside what the slope of usage and
//! of the working set would have said of the same traces.

use std::time::Duration;

use crate::hours;
use crate::line::line;
use crate::traces::{MIB, Seen, Trace, leaks, others};
use memgap_ledger::History;
use memgap_ledger::growth::Shrinking;
use memgap_ledger::history::Point;

const JUDGED: Duration = Duration::from_mins(1);
const AHEAD: Duration = Duration::from_hours(1);

/// As alerts have it: where the last half hour leads to in an hour.
const NAIVE: Duration = Duration::from_mins(30);

/// What others do not need of their limit, in parts of the most that they do.
const SPARE: f64 = 1.3;

fn required(seen: &Seen) -> f64 {
    seen.in_use.unwrap_or(100.0) + seen.free
}

/// When it was first said, by memgap, by usage and by the working set, until the limit is met.
fn alarms(samples: &[(Duration, Seen)], limit: f64) -> [Option<Duration>; 3] {
    let mut history = History::default();
    let (mut found, mut next) = ([None; 3], JUDGED);
    let usage = |seen: &Seen| required(seen) + seen.lazy + seen.cache;
    for (nth, (time, seen)) in samples.iter().enumerate() {
        if required(seen) >= limit {
            break;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is positive"
        )]
        let room = Some(((limit - required(seen)) * MIB) as u64);
        history.push(*time, Point { room, ..seen.point() });
        if *time < next {
            continue;
        }
        next = *time + JUDGED;
        let from = samples[..=nth].partition_point(|(at, _)| *at + NAIVE < *time);
        let window = &samples[from..=nth];
        let is_long = *time >= NAIVE;
        let said = [
            Shrinking::of(history.iter()).is_some_and(|shrinking| shrinking.lasts <= AHEAD),
            is_long && ahead(window, usage) >= limit,
            is_long && ahead(window, Seen::working_set) >= limit,
        ];
        for (first, said) in found.iter_mut().zip(said) {
            if said {
                first.get_or_insert(*time);
            }
        }
    }
    found
}

/// Where the least squares lead to.
fn ahead(window: &[(Duration, Seen)], figure: impl Fn(&Seen) -> f64) -> f64 {
    let points: Vec<(f64, f64)> = window.iter().map(|(t, s)| (hours(*t), figure(s))).collect();
    let (x, y, slope) = line(&points);
    let last = points.last().map_or(x, |(hours, _)| *hours);
    y + slope * (last + hours(AHEAD) - x)
}

fn samples(trace: &Trace) -> Vec<(Duration, Seen)> {
    let from = Duration::from_secs_f64(trace.known * 60.0);
    trace.samples(7).into_iter().filter(|(time, _)| *time >= from).collect()
}

#[test]
fn room_that_ends_within_the_hour_is_told_from_room_that_does_not() {
    let names = ["memgap", "usage", "working set"];
    let mut false_ones = [0; 3];
    for trace in others() {
        let samples = samples(&trace);
        let most = samples.iter().map(|(_, seen)| required(seen)).fold(0.0, f64::max);
        let said = alarms(&samples, most * SPARE);
        for (count, said) in false_ones.iter_mut().zip(said) {
            *count += u32::from(said.is_some());
        }
        let by: Vec<&str> = names
            .iter()
            .zip(said)
            .filter(|(_, said)| said.is_some())
            .map(|(name, _)| *name)
            .collect();
        println!("{:45} {}", trace.name, by.join(", "));
    }
    // Those that leak so much that an hour ahead is far enough to act.
    let (mut told, mut count) = ([0; 3], 0);
    for trace in leaks() {
        let samples = samples(&trace);
        let (first, last) = (required(&samples[0].1), required(&samples[samples.len() - 1].1));
        if last < first * 1.5 {
            continue;
        }
        count += 1;
        let limit = first + (last - first) * 0.9;
        let said = alarms(&samples, limit);
        println!("{:45} {said:?}", trace.name);
        for (told, said) in told.iter_mut().zip(said) {
            *told += u32::from(said.is_some());
        }
    }
    for ((name, false_ones), told) in names.iter().zip(false_ones).zip(told) {
        println!("{name}: told {told} of {count}, {false_ones} false of {}", others().len());
    }
    // Room whose lows are hidden by a saw may be missed, and what begins like a rise be taken for one.
    assert!(count >= 6 && told[0] + 1 >= count, "{told:?} of {count}");
    assert!(false_ones[0] <= 1 && false_ones[1] >= 10 && false_ones[2] >= 10, "{false_ones:?}");
}
