//! Histories: what they keep, and that they stay within their bound.

use std::time::Duration;

use memgap_ledger::History;
use memgap_ledger::history::Point;

const TICK: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;

/// Numbers without a pattern, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 20) % bound
    }
}

fn all(figure: impl FnMut() -> Option<u64>) -> Point {
    let mut figure = figure;
    Point {
        in_use: figure(),
        free: figure(),
        lazy: figure(),
        cache: figure(),
        required: figure(),
        room: figure(),
    }
}

fn fill(count: u32, mut point: impl FnMut(u32) -> Point) -> History {
    let mut history = History::default();
    for tick in 0..count {
        assert!(history.push(TICK * tick, point(tick)));
        assert!(history.size() <= History::MOST, "{} bytes at {tick}", history.size());
    }
    history
}

#[test]
fn what_is_pushed_comes_out_in_order_and_what_is_unknown_stays_so() {
    let points = [
        Point::default(),
        Point { in_use: Some(100 * MIB), room: Some(0), ..Point::default() },
        Point { in_use: Some(101 * MIB), free: Some(3 * MIB), ..Point::default() },
        Point { in_use: None, free: Some(3 * MIB), ..Point::default() },
    ];
    let mut history = History::default();
    for (at, point) in (0..).zip(points) {
        assert!(history.push(TICK * at, point));
    }
    let kept: Vec<_> = history.iter().collect();
    assert_eq!(kept, (0..).map(|at| TICK * at).zip(points).collect::<Vec<_>>());
    assert_eq!(history.since(TICK * 2).count(), 2);
    assert_eq!((history.len(), history.last()), (4, Some(TICK * 3)));
    // A clock that was set back tells no time.
    assert!(!history.push(TICK * 3, Point::default()) && !history.push(TICK, Point::default()));
    assert_eq!(history.len(), 4);
}

#[test]
fn an_hour_of_every_sample_and_a_day_in_steps_are_within_2_kib() {
    // One that leaks: in use, required and room change each time.
    let leaks = |tick: u32| {
        let grown = u64::from(tick) * 17_000;
        Point {
            in_use: Some(200 * MIB + grown),
            free: Some(20 * MIB),
            lazy: Some(0),
            cache: Some(80 * MIB),
            required: Some(300 * MIB + grown),
            room: Some(1_000 * MIB - grown / 2),
        }
    };
    let count = 3 * 8_640;
    let history = fill(count, leaks);
    let now = TICK * (count - 1);
    let hour: Vec<_> = history.since(now.saturating_sub(Duration::from_hours(1))).collect();
    assert_eq!(hour.len(), 361, "every sample of the last hour");
    for (time, point) in &hour {
        let tick = u32::try_from(time.as_secs() / 10).expect("small");
        assert_eq!(*time, TICK * tick);
        let (is, was) = (point.in_use.expect("known"), leaks(tick).in_use.expect("known"));
        assert!(is.abs_diff(was) <= was / 4_096, "{is} was {was}");
    }
    let times: Vec<Duration> = history.iter().map(|(time, _)| time).collect();
    let (step, margin) = (Duration::from_mins(15), Duration::from_mins(30));
    assert!(times.windows(2).all(|pair| pair[1].saturating_sub(pair[0]) <= step));
    let first = now.saturating_sub(times[0]);
    let day = Duration::from_hours(24);
    assert!(first + margin > day && first <= day + margin, "{first:?}");
    eprintln!("one that leaks: {} bytes for {} points", history.size(), history.len());
}

#[test]
fn one_at_rest_takes_next_to_nothing() {
    let history = fill(8_640, |_| all(|| Some(MIB)));
    eprintln!("one at rest: {} bytes for {} points", history.size(), history.len());
    assert!(history.size() <= 512, "{} bytes", history.size());
    assert!(history.iter().all(|(_, point)| point == all(|| Some(MIB))));
}

#[test]
fn what_changes_without_a_pattern_keeps_within_the_bound_and_reaches_back_a_day() {
    let mut numbers = Numbers(7);
    let mut any = move |_| {
        all(|| {
            let magnitude = numbers.below(48);
            (numbers.below(9) > 0).then(|| numbers.below(1 << magnitude))
        })
    };
    let history = fill(2 * 8_640, &mut any);
    let now = history.last().expect("it has points");
    let (first, _) = history.iter().next().expect("it has points");
    let back = now.saturating_sub(first);
    assert!(back > Duration::from_hours(23), "{back:?}");
    // The finest that is left: no point stands for more than a part of its age.
    let times: Vec<Duration> = history.iter().map(|(time, _)| time).collect();
    for pair in times.windows(2) {
        let (span, age) = (pair[1].saturating_sub(pair[0]), now.saturating_sub(pair[0]));
        assert!(span <= TICK.max(age / 4).max(Duration::from_mins(15)), "{span:?} {age:?} ago");
    }
    eprintln!("one without a pattern: {} bytes for {} points", history.size(), history.len());
}

#[test]
fn samples_without_a_rhythm_and_gaps_keep_within_the_bound() {
    let mut numbers = Numbers(11);
    let mut history = History::default();
    let mut time = Duration::from_hours(500_000);
    for _ in 0..50_000 {
        let pause = match numbers.below(100) {
            0 => numbers.below(200_000_000),
            1..10 => numbers.below(1_000_000),
            _ => 100 + numbers.below(5_000),
        };
        time += Duration::from_millis(pause.max(100));
        history.push(time, all(|| Some(numbers.below(1 << 40))));
        assert!(history.size() <= History::MOST, "{} bytes", history.size());
        // What has begun before may have lasted until then: a quarter of its age at most.
        let day = Duration::from_hours(24) * 4 / 3 + Duration::from_mins(15);
        assert!(history.iter().all(|(at, _)| at <= time && time.saturating_sub(at) <= day));
    }
}

#[test]
fn what_is_put_together_is_the_least_of_in_use_and_room_and_the_most_of_required() {
    let wave = |tick: u32| {
        let up = u64::from(tick % 30) * MIB;
        Point { free: None, ..all(|| Some(100 * MIB + up)) }
    };
    let history = fill(8_640, wave);
    let (_, old) = history.iter().next().expect("it has points");
    let near =
        |bytes: Option<u64>, mib: u64| bytes.is_some_and(|bytes| bytes.abs_diff(mib * MIB) <= MIB);
    assert_eq!(old.free, None);
    assert!(near(old.in_use, 100) && near(old.room, 100), "{old:?}");
    assert!(near(old.required, 129), "{old:?}");
    assert!(near(old.lazy, 114) && near(old.cache, 114), "{old:?}");
}
