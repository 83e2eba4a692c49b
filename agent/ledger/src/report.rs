//! A second source: what a program's endpoint tells of the heap statistics that a probe reads.
//!
//! A probe's word goes first, because it has addresses and needs nobody's
//! cooperation. An endpoint's counts where no probe answered, and is compared
//! where one did.

use crate::claim::Claim;
use crate::fact::{Fact, Missing, MissingKind};
use crate::figure::{difference, signed};
use crate::runtime::{Runtime, SecondSource, Unread};
use crate::sample::ProcessSample;
use crate::size::iec;

/// What an endpoint reported of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its address.
    pub source: String,
    /// What it takes for the resident memory of its process, in bytes.
    pub resident: Option<u64>,
    /// Runtimes and allocators, each with its claims.
    pub statistics: Vec<(Runtime, Vec<Claim>)>,
}

impl ProcessSample {
    /// Adds what an endpoint reported, or why it reported nothing.
    pub fn add_report(&mut self, reported: Fact<Report>) {
        match reported.and_then(|reported| self.own(reported)) {
            Err(missing) => self.runtimes.push(Err(Unread::process(missing))),
            Ok(reported) => {
                for (runtime, claims) in reported.statistics {
                    self.add_one(&reported.source, runtime, claims);
                }
            }
        }
    }

    /// Refuses the word of what must be another process: one whose resident memory
    /// is more than twice as large, or as small.
    fn own(&self, reported: Report) -> Fact<Report> {
        let rss = self.counters.as_ref().ok().map(|counters| counters.rss);
        let (Some(rss), Some(resident)) = (rss, reported.resident) else { return Ok(reported) };
        if rss.min(resident) >= rss.max(resident) / 2 {
            return Ok(reported);
        }
        let why = format!(
            "{}: it tells of a process with {} resident, and process {} has {}: name its own endpoint",
            reported.source,
            iec(signed(resident)),
            self.pid,
            iec(signed(rss)),
        );
        Err(Missing::new(MissingKind::Refused, why))
    }

    fn add_one(&mut self, source: &str, runtime: Runtime, claims: Vec<Claim>) {
        let Some(in_use) = runtime.in_use else { return };
        let same = self.runtimes.iter_mut().flatten().filter(|known| known.name == runtime.name);
        let probed = same.filter_map(|known| known.in_use.map(|probed| (probed, known)));
        // Of several by that name, the one that it most likely speaks of.
        match probed.min_by_key(|(probed, _)| probed.abs_diff(in_use)) {
            Some((probed, known)) => {
                let differs_by = difference(in_use, probed);
                let name = source.to_owned();
                known.second_source = Some(SecondSource { name, in_use, differs_by });
                known.evidence.extend(runtime.evidence);
            }
            None => {
                self.claims.extend(claims);
                self.runtimes.push(Ok(runtime));
            }
        }
    }
}
