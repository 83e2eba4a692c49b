//! Free memory that allocators and runtimes keep, and what of it they could give back.

use crate::figure::signed;
use crate::size::iec;
use crate::{Account, Figure, ProcessLedger, Runtime};

/// What of a process's resident memory is free.
#[derive(Debug)]
pub struct Kept<'p> {
    /// Account `allocator_free`.
    pub free: Figure,
    /// What of it could be given back now; `None` where one that keeps free memory was not
    /// read that closely.
    pub returnable: Option<Figure>,
    /// The one that keeps most.
    pub most: &'p Runtime,
    keepers: Vec<&'p Runtime>,
}

impl<'p> Kept<'p> {
    /// `None` where no heap statistics tell of free memory.
    pub fn of(process: &'p ProcessLedger) -> Option<Self> {
        let keepers: Vec<&Runtime> = process.runtimes.iter().filter(|r| kept(r) > 0).collect();
        let booked = process.ledger.figure(Account::AllocatorFree);
        let kept_free = keepers.iter().fold(0i64, |sum, r| sum.saturating_add(kept(r)));
        // Without a walk what was given back lazily, and may be resident, is booked as free too.
        let free = match process.walk_age {
            Some(_) => booked,
            None => at_most(booked, kept_free).unwrap_or(booked),
        };
        let most = keepers.iter().copied().max_by_key(|runtime| kept(runtime))?;
        let sum = keepers
            .iter()
            .try_fold(0, |sum: i64, r| Some(sum.saturating_add(signed(r.trimmable?))));
        Some(Self { free, returnable: sum.and_then(|sum| at_most(free, sum)), most, keepers })
    }

    /// What each says.
    pub fn evidence(&self) -> Vec<String> {
        self.keepers.iter().map(|runtime| line(runtime)).collect()
    }

    /// What of it lies in pages that it shares with memory in use.
    pub fn pinned(&self) -> Option<Figure> {
        let (free, back) = (self.free, self.returnable?);
        let ((low, high), (least, most)) = (free.bounds()?, back.bounds()?);
        let point = free.point()?.saturating_sub(back.point()?);
        Some(interval(low.saturating_sub(most).max(0), point, high.saturating_sub(least)))
    }
}

/// A figure that is no more than `most`.
fn at_most(figure: Figure, most: i64) -> Option<Figure> {
    let (low, high) = figure.bounds()?;
    Some(interval(low.min(most), figure.point()?.min(most), high.min(most)))
}

fn interval(low: i64, point: i64, high: i64) -> Figure {
    if low == high { Figure::Exact(point) } else { Figure::interval(low, point, high) }
}

/// What a runtime keeps and has not given back, resident or not.
fn kept(runtime: &Runtime) -> i64 {
    signed(runtime.free.unwrap_or(0).saturating_sub(runtime.released.unwrap_or(0)))
}

fn line(runtime: &Runtime) -> String {
    let (name, free) = (&runtime.name, iec(kept(runtime)));
    match runtime.trimmable.map(signed) {
        Some(back) => format!("{name}: {free} free, of it {} in pages of its own", iec(back)),
        None => format!("{name}: {free} free, not known in how many pages of its own"),
    }
}
