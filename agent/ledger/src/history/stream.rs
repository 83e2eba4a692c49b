//! Points as bytes, each as what has changed since the one before.
//!
//! A byte tells which figures have changed (bits 0 to 5) and whether the time since the point
//! before has (bit 6); that time and the differences follow, seven bits a byte. A byte with bit
//! 7 stands for up to 128 points of which nothing has changed.

use super::point::{Code, Codes, FIGURES};

/// Points in the order of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Stream {
    first: State,
    last: State,
    bytes: Vec<u8>,
    len: usize,
    /// Whether the last byte stands for points of which nothing has changed.
    is_run: bool,
}

/// What the next point is told by.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    time: u64,
    /// Since the point before.
    pause: u64,
    codes: Codes,
}

const RUN: u8 = 1 << 7;
const PAUSE: u8 = 1 << 6;

/// Bytes by which it grows: few take all that they may.
const GROWTH: usize = 64;

/// The most that one point takes: what has changed, a pause and all differences.
const MOST_OF_ONE: usize = 1 + 10 + 3 * FIGURES;

impl Stream {
    /// Those points, which are in order.
    pub fn of(points: &[(u64, Codes)]) -> Self {
        let mut stream = Self::default();
        for (time, codes) in points {
            stream.push(*time, *codes);
        }
        stream
    }

    /// Adds a point that is later than the last.
    pub fn push(&mut self, time: u64, codes: Codes) {
        self.len += 1;
        if self.len == 1 {
            self.first = State { time, pause: 0, codes };
            self.last = self.first;
            return;
        }
        let last = self.last;
        let pause = time.saturating_sub(last.time);
        self.last = State { time, pause, codes };
        if (pause, codes) == (last.pause, last.codes) {
            self.push_same();
            return;
        }
        self.is_run = false;
        self.reserve();
        let at = self.bytes.len();
        self.bytes.push(0);
        let mut changed = 0;
        if pause != last.pause {
            changed |= PAUSE;
            self.push_number(pause);
        }
        for (figure, (now, before)) in codes.into_iter().zip(last.codes).enumerate() {
            if now != before {
                changed |= 1 << figure;
                self.push_number(folded(now, before));
            }
        }
        self.bytes[at] = changed;
    }

    /// The time of the last point.
    pub fn last(&self) -> Option<u64> {
        (self.len > 0).then_some(self.last.time)
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes are allocated for them.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// All points, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Codes)> {
        let first = (self.len > 0).then_some((self.first.time, self.first.codes));
        let rest = Points { state: self.first, bytes: &self.bytes, same: 0 };
        first.into_iter().chain(rest)
    }

    fn push_same(&mut self) {
        match self.bytes.last_mut() {
            Some(run) if self.is_run && *run < u8::MAX => *run += 1,
            _ => {
                self.reserve();
                self.bytes.push(RUN);
                self.is_run = true;
            }
        }
    }

    fn reserve(&mut self) {
        if self.bytes.capacity() - self.bytes.len() < MOST_OF_ONE {
            self.bytes.reserve_exact(GROWTH);
        }
    }

    fn push_number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 && low < 1 << 7 {
                return self.bytes.push(low);
            }
            self.bytes.push(low | 1 << 7);
        }
    }
}

/// The points after the first.
struct Points<'s> {
    state: State,
    bytes: &'s [u8],
    /// How many more the last byte stands for.
    same: u8,
}

impl Points<'_> {
    fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0u64, 0);
        while shift < u64::BITS {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 1 << 7 == 0 {
                return Some(number);
            }
            shift += 7;
        }
        None
    }

    fn read(&mut self) -> Option<()> {
        let (changed, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        if changed & RUN != 0 {
            self.same = changed & !RUN;
            return Some(());
        }
        if changed & PAUSE != 0 {
            self.state.pause = self.number()?;
        }
        for figure in 0..FIGURES {
            if changed & 1 << figure != 0 {
                let folded = self.number()?;
                self.state.codes[figure] = unfolded(folded, self.state.codes[figure]);
            }
        }
        Some(())
    }
}

impl Iterator for Points<'_> {
    type Item = (u64, Codes);

    fn next(&mut self) -> Option<Self::Item> {
        match self.same.checked_sub(1) {
            Some(left) => self.same = left,
            None => self.read()?,
        }
        self.state.time = self.state.time.saturating_add(self.state.pause);
        Some((self.state.time, self.state.codes))
    }
}

/// A difference without a sign, small where it is small either way.
fn folded(now: Code, before: Code) -> u64 {
    let away = u64::from(now.abs_diff(before)) << 1;
    if now < before { away - 1 } else { away }
}

fn unfolded(folded: u64, before: Code) -> Code {
    let away = Code::try_from(folded.div_ceil(2)).unwrap_or(Code::MAX);
    if folded & 1 == 1 { before.saturating_sub(away) } else { before.saturating_add(away) }
}
