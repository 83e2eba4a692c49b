//! What a process, a group of processes or a cgroup held over the last day, in at most 2 KiB.
//!
//! A [`Point`] is what one sample tells. Of the last hour every sample stands by itself, of the
//! time before a point stands for 15 minutes, and what had ended a day ago is gone ([`Shape`]). Points are written one after the other as what has changed since the one
//! before, so that a program at rest takes a byte for 128 samples, and one of which three
//! figures change a little each time takes four a sample.
//!
//! An amount is kept as a number of 16 bits with 12 that count: to 1 part in 4,096 of itself,
//! and to 32 bytes below 256 KiB. Times are kept to a tenth of a second.
//!
//! Where 2 KiB do not hold all samples of an hour, as with six figures that all jump about,
//! those that are longest ago are put together: to points of the least part of their age (1/64,
//! 1/32, ...) that does. Of points that are put together the time is that of the first; in use
//! and room are the least, required is the most, and free, lazy and cache are the mean of what
//! was known.

mod merge;
mod of;
mod point;
mod stream;

use std::time::Duration;

use point::Codes;
pub use point::Point;
use stream::Stream;

/// How far back a history goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// For how long every sample stands by itself, where there is space for it.
    pub fine: Duration,
    /// What a point stands for that is older than that.
    pub step: Duration,
    /// What had ended that long ago is forgotten.
    pub whole: Duration,
}

/// Samples over time, the oldest first.
#[derive(Debug, Clone)]
pub struct History {
    stream: Stream,
    shape: Shape,
    /// When points were last put together.
    merged: u64,
}

/// How many of the units that times are counted in are a second.
const UNITS: u64 = 10;

/// Bytes that points are written into. With those that are allocated ahead, and what a history
/// takes beside them, it is less than 2 KiB.
const MOST_BYTES: usize = 1728;

/// Of how many points at most, however little they take.
const MOST_POINTS: usize = 8192;

impl Shape {
    /// An hour of every sample, a day in steps of 15 minutes.
    pub const DAY: Self = Self {
        fine: Duration::from_hours(1),
        step: Duration::from_mins(15),
        whole: Duration::from_hours(24),
    };
}

impl History {
    /// The most memory that one takes, itself and what it has allocated.
    pub const MOST: usize = 2048;

    /// One that has seen nothing.
    pub fn new(shape: Shape) -> Self {
        Self { stream: Stream::default(), shape, merged: 0 }
    }

    /// Adds a sample, whose time counts from whenever the caller likes. One that is not later
    /// than the last (by a tenth of a second) is left out: a clock that was set back tells
    /// no time. Tells whether it was added.
    pub fn push(&mut self, time: Duration, point: Point) -> bool {
        let time = units(time);
        let last = self.stream.last();
        if last.is_some_and(|last| time <= last) {
            return false;
        }
        let whole = units(self.shape.whole);
        if last.is_none_or(|last| time - last > whole) {
            self.stream = Stream::default();
            self.merged = time;
        }
        self.stream.push(time, point.codes());
        let is_due = time - self.merged >= units(self.shape.step);
        if is_due || self.stream.bytes() > MOST_BYTES || self.stream.len() > MOST_POINTS {
            self.merge(time);
        }
        true
    }

    /// All points, the oldest first, each with the time of its first sample.
    pub fn iter(&self) -> impl Iterator<Item = (Duration, Point)> {
        self.stream.iter().map(|(time, codes)| (duration(time), Point::of_codes(codes)))
    }

    /// Those that begin at that time or later.
    pub fn since(&self, time: Duration) -> impl Iterator<Item = (Duration, Point)> {
        self.iter().filter(move |(at, _)| *at >= time)
    }

    /// The time of the last sample.
    pub fn last(&self) -> Option<Duration> {
        self.stream.last().map(duration)
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.stream.len()
    }

    /// Whether it has seen nothing.
    pub fn is_empty(&self) -> bool {
        self.stream.len() == 0
    }

    /// What it takes of memory now: never more than [`Self::MOST`].
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.stream.capacity()
    }

    fn merge(&mut self, now: u64) {
        let points: Vec<(u64, Codes)> = self.stream.iter().collect();
        // What fits leaves space for the samples of a while.
        let fits = |stream: &Stream| {
            stream.bytes() <= MOST_BYTES * 3 / 4 && stream.len() <= MOST_POINTS * 3 / 4
        };
        let [fine, step, whole] = [self.shape.fine, self.shape.step, self.shape.whole].map(units);
        for part in [0, 1, 2, 4, 8, 16, 32, 64] {
            let span = |age: u64| (age * part / 64).max(if age > fine { step } else { 0 });
            let merged = merge::merge(&points, now, whole, span);
            self.stream = Stream::of(&merged);
            if fits(&self.stream) {
                break;
            }
        }
        self.merged = now;
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new(Shape::DAY)
    }
}

fn units(time: Duration) -> u64 {
    let rest = u64::from(time.subsec_millis()) * UNITS / 1000;
    time.as_secs().saturating_mul(UNITS).saturating_add(rest)
}

fn duration(units: u64) -> Duration {
    Duration::from_millis(units.saturating_mul(1000 / UNITS))
}
