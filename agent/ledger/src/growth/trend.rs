//! Whether amounts rise over time, and how steeply, by ranks.

use std::time::Duration;

use crate::figure::Figure;
use crate::size::iec;

/// Parts that the time is cut into, each of which one amount stands for.
const BLOCKS: usize = 12;

/// Parts of which something is known, at least.
const LEAST_BLOCKS: usize = 8;

/// Fewer samples say nothing: four in each part.
pub const LEAST_SAMPLES: usize = 4 * BLOCKS;

/// By how many standard deviations of what there is where nothing rises more pairs of parts
/// have to rise than fall (Mann-Kendall).
const LEAST_SCORE: f64 = 3.4;

/// The same of sorted slopes, which bound the true one in 95 of 100 cases (Theil-Sen).
const BOUND: f64 = 1.96;

/// Growth of less than this part of the level is noise, of whatever shape: 3 in 1,000.
const LEAST_GROWTH: f64 = 0.003;

/// And so is less than this part of what amounts change by within a part of the time: teeth of a saw beat with
/// the samples.
const LEAST_OF_SPREAD: f64 = 0.1;

/// How far parts may lie from the line, of what it rises by in all.
const MOST_NOISE: f64 = 0.15;

/// How much of what the first half of the time grew the second has to grow, and the other way round.
const GOES_ON: f64 = 0.92;
const HAS_BEGUN: f64 = 0.25;

/// How much of an even share of the growth each third of the time has: a step or two are no
/// rise.
const SHARE: f64 = 0.4;

/// How steeply it rises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// Bytes an hour.
    pub per_hour: f64,
    /// The least and the most that it is.
    pub bounds: (f64, f64),
    /// What it grew by in all, in bytes.
    pub grew: i64,
    /// What it is now.
    pub level: u64,
}

/// What amounts did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trend {
    begin: Duration,
    end: Duration,
    pub slope: Slope,
    score: f64,
    /// The median distance of parts from the line, and the median of what amounts change by
    /// within a part.
    noise: f64,
    spread: f64,
    /// What it rose by in each half of the time.
    halves: [f64; 2],
    /// The least share of the growth that a third of the time has, where 1 is an even one.
    share: f64,
}

/// A part of the time: its middle in hours, and its amount.
type Block = (f64, f64);

impl Trend {
    /// Of samples, the oldest first. None where they are too few.
    pub fn of(samples: &[(Duration, u64)]) -> Option<Self> {
        let (begin, end) = (samples.first()?.0, samples.last()?.0);
        let (blocks, spread) = blocks(samples, begin, end)?;
        let slopes = slopes(&blocks);
        let per_hour = median(&slopes)?;
        let (first, last) = (blocks.first()?, blocks.last()?);
        let rise = per_hour * (last.0 - first.0);
        let n = blocks.len() as f64;
        let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let aside = whole((slopes.len() as f64 - BOUND * deviation) / 2.0);
        let aside = usize::try_from(aside).unwrap_or(0);
        let slope = Slope {
            per_hour,
            bounds: (*slopes.get(aside)?, *slopes.get(slopes.len() - 1 - aside)?),
            grew: whole(rise),
            level: u64::try_from(whole(last.1 + per_hour * (last.0 - first.0) / n)).unwrap_or(0),
        };
        let (score, noise) = (score(&blocks) / deviation, distance(&blocks, per_hour)?);
        let halves = halves(&blocks)?;
        Some(Self { begin, end, slope, score, noise, spread, halves, share: share(&blocks) })
    }

    pub fn span(&self) -> Duration {
        self.end.saturating_sub(self.begin)
    }

    /// Whether it rises, and by more than noise.
    pub fn rises(&self) -> bool {
        let rise = self.slope.grew as f64;
        self.score >= LEAST_SCORE
            && rise >= self.slope.level as f64 * LEAST_GROWTH
            && rise >= self.spread * LEAST_OF_SPREAD
            && self.noise <= rise * MOST_NOISE
            && self.share >= SHARE
    }

    /// Whether it rises as steeply in the end as in the beginning. A jump is no rise that goes
    /// on: each half has its share of it.
    pub fn goes_on(&self) -> bool {
        let [first, second] = self.halves;
        first > 0.0 && second >= first * GOES_ON && first >= second * HAS_BEGUN
    }
}

impl Slope {
    /// Whole bytes an hour.
    pub fn bytes_per_hour(&self) -> i64 {
        whole(self.per_hour)
    }

    /// What it grew by in all, within the bounds of the slope.
    pub fn grew_within(&self) -> Figure {
        let hours = self.grew as f64 / self.per_hour;
        let [low, high] = [self.bounds.0, self.bounds.1].map(|slope| whole(slope * hours));
        Figure::interval(low.max(0), self.grew.max(0), high.max(0))
    }

    /// `12.3 MiB an hour (11.9 MiB .. 12.8 MiB)`
    pub fn words(&self) -> String {
        let [point, low, high] =
            [self.per_hour, self.bounds.0, self.bounds.1].map(|bytes| iec(whole(bytes)));
        format!("{point} an hour ({low} .. {high})")
    }

    /// The time in which it grows by what it is now; none where that is more than a year.
    pub fn doubling(&self) -> Option<Duration> {
        const YEAR: f64 = 24.0 * 366.0;
        let hours = self.level as f64 / self.per_hour;
        (hours > 0.0 && hours < YEAR).then(|| Duration::from_secs_f64(hours * 3600.0))
    }
}

/// Without its fraction; what is larger than any amount is the largest.
#[allow(clippy::cast_possible_truncation, reason = "it saturates")]
fn whole(value: f64) -> i64 {
    value as i64
}

fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

/// The least of each part of the time, which is the same however samples were put together before, and what amounts change by within one: from the lowest
/// tenth to the highest.
fn blocks(
    samples: &[(Duration, u64)],
    begin: Duration,
    end: Duration,
) -> Option<(Vec<Block>, f64)> {
    let step = hours(end.saturating_sub(begin)) / BLOCKS as f64;
    if samples.len() < LEAST_SAMPLES || step <= 0.0 {
        return None;
    }
    let (mut blocks, mut spreads) = (Vec::with_capacity(BLOCKS), Vec::with_capacity(BLOCKS));
    let mut rest = samples;
    for nth in 1..=BLOCKS {
        let until = hours(begin) + step * nth as f64;
        let len = rest.partition_point(|(time, _)| nth == BLOCKS || hours(*time) < until);
        let (part, behind) = rest.split_at(len);
        rest = behind;
        let mut amounts: Vec<u64> = part.iter().map(|(_, bytes)| *bytes).collect();
        amounts.sort_unstable();
        let Some(low) = amounts.first() else { continue };
        blocks.push((until - step / 2.0, *low as f64));
        spreads.push((amounts[len * 9 / 10] - amounts[len / 10]) as f64);
    }
    spreads.sort_unstable_by(f64::total_cmp);
    (blocks.len() >= LEAST_BLOCKS).then(|| (blocks, spreads[spreads.len() / 2]))
}

fn pairs(blocks: &[Block]) -> impl Iterator<Item = (Block, Block)> {
    blocks
        .iter()
        .enumerate()
        .flat_map(|(at, one)| blocks[at + 1..].iter().map(|other| (*one, *other)))
}

/// How many more pairs rise than fall.
fn score(blocks: &[Block]) -> f64 {
    pairs(blocks)
        .map(|(one, other)| (other.1 - one.1).partial_cmp(&0.0))
        .fold(0.0, |sum, order| sum + order.map_or(0.0, |order| f64::from(order as i8)))
}

/// The slopes of all pairs, sorted.
fn slopes(blocks: &[Block]) -> Vec<f64> {
    let mut slopes: Vec<f64> =
        pairs(blocks).map(|(one, other)| (other.1 - one.1) / (other.0 - one.0)).collect();
    slopes.sort_unstable_by(f64::total_cmp);
    slopes
}

/// Of what is sorted.
fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

/// The median distance of parts from the line.
fn distance(blocks: &[Block], per_hour: f64) -> Option<f64> {
    let sorted = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let rest = sorted(blocks.iter().map(|(at, bytes)| bytes - per_hour * at).collect());
    let middle = median(&rest)?;
    median(&sorted(rest.iter().map(|value| (value - middle).abs()).collect()))
}

/// The median slope of each half, times how long it is.
fn halves(blocks: &[Block]) -> Option<[f64; 2]> {
    let half = blocks.len() / 2;
    let rise = |part: &[Block]| {
        let span = part.last()?.0 - part.first()?.0;
        Some(median(&slopes(part))? * span)
    };
    Some([rise(&blocks[..=half])?, rise(&blocks[blocks.len() - 1 - half..])?])
}

/// The least rise of a third, by the rise of all that a third of the time has a right to.
fn share(blocks: &[Block]) -> f64 {
    let last = blocks.len() - 1;
    let cuts = [0, last / 3, last * 2 / 3, last].map(|at| blocks[at]);
    let slope = |one: Block, other: Block| (other.1 - one.1) / (other.0 - one.0);
    let even = slope(cuts[0], cuts[3]);
    cuts.windows(2).map(|pair| slope(pair[0], pair[1]) / even).fold(f64::INFINITY, f64::min)
}
