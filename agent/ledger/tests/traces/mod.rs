//! Made traces: what a program has in use, and what RSS and working set show of it, over time.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unnecessary_wraps,
    reason = "amounts are made here, and a sample may be missing"
)]

use std::time::Duration;

use memgap_ledger::history::Point;

pub const TICK: Duration = Duration::from_secs(10);
pub const MIB: f64 = (1u64 << 20) as f64;

/// Numbers without a pattern, the same each time.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Of a bell curve of deviation 1.
    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// One sample: what heap statistics say, and what others go by, in MiB.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub in_use: Option<f64>,
    pub free: f64,
    pub lazy: f64,
    pub cache: f64,
}

impl Seen {
    pub fn point(&self) -> Point {
        let bytes = |mib: f64| Some((mib.max(0.0) * MIB) as u64);
        Point {
            in_use: self.in_use.and_then(bytes),
            free: bytes(self.free),
            lazy: bytes(self.lazy),
            cache: bytes(self.cache),
            required: bytes(self.in_use.unwrap_or(100.0) + self.free),
            room: None,
        }
    }

    pub fn rss(&self) -> f64 {
        self.in_use.unwrap_or(100.0) + self.free + self.lazy
    }

    pub fn working_set(&self) -> f64 {
        self.in_use.unwrap_or(100.0) + self.free + self.cache
    }
}

type Shape = Box<dyn Fn(f64, &mut Numbers) -> Option<Seen>>;

pub struct Trace {
    pub name: String,
    /// When it begins to leak, in minutes; none where it does not.
    pub leaks: Option<f64>,
    pub minutes: f64,
    /// For how many minutes it is watched before it is judged.
    pub known: f64,
    /// What is seen at a minute; none in gaps.
    pub seen: Shape,
}

impl Trace {
    /// The same each time of the same seed.
    pub fn samples(&self, seed: u64) -> Vec<(Duration, Seen)> {
        let seed = self.name.bytes().fold(seed, |seed, b| seed.wrapping_mul(31) + u64::from(b));
        let mut numbers = Numbers(seed);
        let count = (self.minutes * 60.0 / TICK.as_secs_f64()) as u32;
        let at = |tick: u32| TICK * tick;
        let minute = |tick: u32| at(tick).as_secs_f64() / 60.0;
        (0..count)
            .filter_map(|tick| Some((at(tick), (self.seen)(minute(tick), &mut numbers)?)))
            .collect()
    }
}

fn heap(in_use: f64) -> Option<Seen> {
    Some(Seen { in_use: Some(in_use), free: 20.0, lazy: 0.0, cache: 30.0 })
}

/// What a share of 300 MiB an hour comes to after so many minutes.
fn grown(share: f64, minutes: f64) -> f64 {
    300.0 * (1.0 + share * minutes.max(0.0) / 60.0)
}

/// A saw's tooth, 0 to 1.
fn tooth(minute: f64, period: f64) -> f64 {
    (minute / period).fract()
}

fn of(
    name: impl Into<String>,
    leaks: Option<f64>,
    minutes: f64,
    seen: impl Fn(f64, &mut Numbers) -> Option<Seen> + 'static,
) -> Trace {
    Trace { name: name.into(), leaks, minutes, known: 0.0, seen: Box::new(seen) }
}

/// Programs that leak. Noise is a part of what is in use.
pub fn leaks() -> Vec<Trace> {
    let mut all = Vec::new();
    for (percent, noise) in
        [(1.0, 0.0005), (2.0, 0.001), (5.0, 0.002), (20.0, 0.01), (100.0, 0.03), (400.0, 0.05)]
    {
        all.push(of(format!("leak of {percent} % an hour"), Some(0.0), 120.0, move |minute, n| {
            heap(grown(percent / 100.0, minute) * (1.0 + noise * n.bell()))
        }));
    }
    for period in [0.7, 4.0] {
        all.push(of(
            format!("leak below a saw of {period} min"),
            Some(0.0),
            180.0,
            move |minute, n| {
                heap(grown(0.1, minute) + 80.0 * tooth(minute, period) + 0.2 * n.bell())
            },
        ));
    }
    all.push(of("leak that begins after 3 h", Some(180.0), 360.0, |minute, n| {
        heap(grown(0.1, minute - 180.0) + 0.3 * n.bell())
    }));
    all.push(of("leak after a warm-up", Some(0.0), 240.0, |minute, n| {
        heap(grown(0.06, minute) - 120.0 * (-minute / 4.0).exp() + 0.2 * n.bell())
    }));
    all.push(of("leak with restarts each 100 min", Some(0.0), 400.0, |minute, n| {
        heap(grown(0.3, minute % 100.0) + 0.3 * n.bell())
    }));
    all.push(of("leak with a gap of 40 min", Some(0.0), 240.0, |minute, n| {
        let seen = heap(grown(0.08, minute) + 0.2 * n.bell());
        seen.filter(|_| !(60.0..100.0).contains(&minute))
    }));
    all.push(of("leak that grows faster", Some(0.0), 180.0, |minute, n| {
        heap(300.0 + 0.004 * minute * minute + 0.05 * minute + 0.1 * n.bell())
    }));
    all.push(of("leak beside a deploy's step", Some(0.0), 240.0, |minute, n| {
        heap(grown(0.1, minute) + if minute > 70.0 { 60.0 } else { 0.0 } + 0.2 * n.bell())
    }));
    all
}

/// Programs that do not.
pub fn others() -> Vec<Trace> {
    let mut all = still();
    all.extend(rising());
    all.extend(beside());
    all
}

fn still() -> Vec<Trace> {
    let mut all = Vec::new();
    for noise in [0.0, 0.001, 0.01, 0.1] {
        all.push(of(format!("steady with noise of {noise}"), None, 300.0, move |_, n| {
            heap(300.0 * (1.0 + noise * n.bell()))
        }));
    }
    for period in [0.5, 3.0, 9.0] {
        all.push(of(format!("saw of {period} min"), None, 300.0, move |minute, n| {
            heap(200.0 + 150.0 * tooth(minute, period) + n.bell())
        }));
    }
    all.push(of("restart each hour, with a warm-up", None, 600.0, |minute, n| {
        heap(300.0 - 250.0 * (-(minute % 60.0) / 3.0).exp() + n.bell())
    }));
    all.push(of("random walk that comes back", None, 600.0, |minute, n| {
        let slow = (minute / 17.0).sin() + (minute / 7.3).sin() + (minute / 3.1).sin();
        heap(300.0 + 6.0 * slow + n.bell())
    }));
    all.push(of("bursts", None, 300.0, |minute, n| {
        let burst = if n.next() < 0.02 { 200.0 } else { 0.0 };
        heap(200.0 + burst + 0.3 * (minute / 5.0).sin())
    }));
    all
}

fn rising() -> Vec<Trace> {
    let mut all = Vec::new();
    for tau in [2.0, 8.0, 20.0, 60.0] {
        all.push(of(format!("warm-up of {tau} min"), None, 360.0, move |minute, n| {
            heap(300.0 - 200.0 * (-minute / tau).exp() + 0.1 * n.bell())
        }));
    }
    for minutes in [5.0, 15.0] {
        all.push(of(
            format!("cache that fills in {minutes} min"),
            None,
            240.0,
            move |minute, n| heap(100.0 + 400.0 * (minute / minutes).min(1.0) + 0.2 * n.bell()),
        ));
    }
    all.push(of("step at a deploy", None, 240.0, |minute, n| {
        heap(if minute < 90.0 { 200.0 } else { 260.0 } + 0.3 * n.bell())
    }));
    all.push(of("two steps", None, 240.0, |minute, n| {
        heap(200.0 + 30.0 * (minute / 55.0).floor().min(2.0) + 0.3 * n.bell())
    }));
    all.push(of("connections that come and go", None, 300.0, |minute, n| {
        let connected = (minute - 60.0).clamp(0.0, 15.0) - (minute - 110.0).clamp(0.0, 15.0);
        heap(200.0 + 10.0 * connected + 0.3 * n.bell())
    }));
    all.push(of("a batch each 2 h", None, 600.0, |minute, n| {
        let at = minute % 120.0;
        heap(150.0 + 15.0 * at.min(10.0) * f64::from(u8::from(at < 30.0)) + 0.3 * n.bell())
    }));
    let day = of("day and night, the second day", None, 2880.0, |minute, n| {
        let day = -(minute / 1440.0 * std::f64::consts::TAU).cos();
        let first = if minute < 1440.0 { 1.02 } else { 1.0 };
        heap(300.0 + 60.0 * day * first + 0.2 * n.bell())
    });
    // Of the first day nobody can tell a load that rises for hours from a leak.
    all.push(Trace { known: 1440.0, ..day });
    all
}

/// What grows is not in use.
fn beside() -> Vec<Trace> {
    let with = |in_use: f64, free: f64, lazy: f64, cache: f64| {
        Some(Seen { in_use: Some(in_use), free, lazy, cache })
    };
    vec![
        of("an allocator that keeps more and more", None, 240.0, move |minute, n| {
            with(200.0 + 0.2 * n.bell(), 20.0 + 1.5 * minute, 0.0, 30.0)
        }),
        of("lazily freed memory that adds up", None, 240.0, move |minute, n| {
            with(200.0 + 0.2 * n.bell(), 20.0, 2.0 * minute, 30.0)
        }),
        of("page cache that grows", None, 240.0, move |minute, n| {
            with(200.0 + 0.2 * n.bell(), 20.0, 0.0, 30.0 + 4.0 * minute)
        }),
        of("in use that falls while RSS grows", None, 240.0, move |minute, n| {
            with(300.0 - 0.3 * minute + 0.2 * n.bell(), 20.0 + minute, 0.0, 30.0)
        }),
        of("in use that is not known", None, 240.0, move |minute, _| {
            Some(Seen { in_use: None, free: 20.0 + minute, lazy: 0.0, cache: 30.0 })
        }),
        of("in use that is known at times", None, 240.0, move |minute, n| {
            let in_use = Some(300.0 + minute).filter(|_| n.next() < 0.5);
            Some(Seen { in_use, free: 20.0, lazy: 0.0, cache: 30.0 })
        }),
        of("a saw of a collector that runs less and less", None, 240.0, move |minute, n| {
            with(200.0 + 0.5 * n.bell(), 40.0 + minute * tooth(minute, 5.0), 0.0, 30.0)
        }),
    ]
}
