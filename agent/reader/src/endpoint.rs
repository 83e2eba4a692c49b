//! What a program's endpoint tells of its memory: a second source of in-use figures
//! beside the probes.
//!
//! The figures are the program's word: amounts without addresses, as old as the
//! program likes. Asked is what a user names, and nothing else.

pub mod exposition;
pub mod expvar;
mod go;
pub mod http;
mod jemalloc;
mod jvm;
mod memstats;
pub mod pods;
pub mod pprof;
mod series;

use std::io::{self, BufRead, BufReader};

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::runtime::{Gc, Runtime};
use memgap_ledger::{Account, Fact, Report};

use http::{Endpoint, Limits, Response, malformed};
use series::{Row, Values};

/// What one endpoint reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The format of its reply: `exposition`, `expvar` or `pprof`.
    pub form: &'static str,
    /// The runtimes and allocators that it reported, at least one.
    pub figures: Vec<Figures>,
    /// What it holds of its own process's resident memory, in bytes.
    pub resident: Option<u64>,
}

/// A runtime's or allocator's figures, as an endpoint tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Stable lower-case name, as a probe's: `go`, `hotspot`, `jemalloc`.
    pub runtime: &'static str,
    /// Its version, where it is reported.
    pub version: Option<String>,
    /// Bytes in use, resident or not.
    pub in_use: u64,
    /// Bytes that were freed and are kept, less `released`; `None` where it is not reported.
    pub free: Option<u64>,
    /// Bytes of the heap's addresses that were given back to the kernel.
    pub released: Option<u64>,
    /// Everything else, by account.
    pub others: Vec<Part>,
    /// Garbage collections since the start.
    pub cycles: Option<u64>,
}

/// Asks an endpoint.
pub fn read(endpoint: &Endpoint, limits: &Limits) -> Fact<Answer> {
    http::get(endpoint, limits, understand)
}

/// What an answer tells.
pub fn understand<S: BufRead>(response: Response<S>) -> io::Result<Answer> {
    let Response { content_type, body } = response;
    let mut text = BufReader::new(body);
    let begin = text.fill_buf()?;
    let (form, figures, resident) = if content_type.starts_with("application/json") {
        ("expvar", go::figures(&expvar::parse(text)?, None)?, None)
    } else if begin.starts_with(pprof::MAGIC) {
        ("pprof", go::figures(&pprof::parse(text)?, None)?, None)
    } else if begin.starts_with(&[0x1f, 0x8b]) {
        return Err(malformed("it answered in a compressed form: add ?debug=1 to a heap profile"));
    } else {
        let values = series(text, content_type.starts_with("application/openmetrics-text"))?;
        let (figures, resident) = of_series(&values)?;
        return answer("exposition", figures, resident);
    };
    answer(form, figures.into_iter().collect(), resident)
}

fn answer(form: &'static str, figures: Vec<Figures>, resident: Option<u64>) -> io::Result<Answer> {
    if figures.is_empty() {
        return Err(malformed("it tells no in-use figure of Go, a Java machine or jemalloc"));
    }
    Ok(Answer { form, figures, resident })
}

const RESIDENT: Row = Row::single("process_resident_memory_bytes");

fn series(text: impl BufRead, open_metrics: bool) -> io::Result<Values> {
    let mut values = Values::of(&[go::ROWS, jvm::ROWS, jemalloc::ROWS, &[RESIDENT]]);
    exposition::parse(text, open_metrics, |series| values.add(series))?;
    Ok(values)
}

fn of_series(values: &Values) -> io::Result<(Vec<Figures>, Option<u64>)> {
    let jemalloc = jemalloc::figures(values)?;
    // An exporter beside the server: what it says of Go is of itself.
    if jemalloc::is_of_another(values) {
        return Ok((jemalloc.into_iter().collect(), None));
    }
    let all = [go::of_series(values)?, jvm::figures(values)?, jemalloc];
    Ok((all.into_iter().flatten().collect(), values.one(RESIDENT.name)))
}

impl Answer {
    /// The answer as the ledger takes it.
    pub fn reported(&self, endpoint: &Endpoint) -> Report {
        let evidence = vec![format!("reported by {endpoint} ({})", self.form)];
        let statistics = |figures: &Figures| (figures.runtime(evidence.clone()), figures.claims());
        Report {
            source: endpoint.to_string(),
            resident: self.resident,
            statistics: self.figures.iter().map(statistics).collect(),
        }
    }
}

impl Figures {
    fn runtime(&self, evidence: Vec<String>) -> Runtime {
        let gc = self.cycles.map(|cycles| Gc { cycles: Some(cycles), ..Gc::default() });
        Runtime {
            version: self.version.clone(),
            in_use: Some(self.in_use),
            free: self.free.map(|free| free.saturating_add(self.released.unwrap_or(0))),
            released: self.released,
            stacks: self.others.iter().find(|p| p.account == Account::Stack).map(|p| p.bytes),
            evidence,
            gc,
            ..Runtime::named(self.runtime)
        }
    }

    /// The figures as claims: amounts, whose addresses are not reported.
    pub fn claims(&self) -> Vec<Claim> {
        let heap = Part { account: Account::HeapInUse, bytes: self.in_use };
        let free = self.free.map(|bytes| Part { account: Account::AllocatorFree, bytes });
        let mut others: Vec<Part> = free.into_iter().chain(self.others.iter().copied()).collect();
        let claim = |priority, parts| Claim {
            priority,
            owner: self.runtime.to_owned(),
            extent: Extent::Anywhere,
            parts,
        };
        if self.runtime != jemalloc::NAME {
            others.push(heap);
            return vec![claim(Priority::Runtime, others)];
        }
        // What malloc gave out is touched, while its tables mostly are not: objects
        // take their part of the resident memory first.
        vec![claim(Priority::Object, vec![heap]), claim(Priority::Malloc, others)]
    }
}

/// The difference of two figures of one answer, where both are reported. The smaller
/// must not be the larger one: then they are not of one program, or not of one time.
fn rest(whole: Option<u64>, part: Option<u64>, what: &str) -> io::Result<Option<u64>> {
    let (Some(whole), Some(part)) = (whole, part) else { return Ok(None) };
    whole.checked_sub(part).map(Some).ok_or_else(|| malformed(format!("it tells {what}")))
}

/// The amounts that are reported.
fn parts(amounts: &[(Account, Option<u64>)]) -> Vec<Part> {
    let part = |&(account, bytes): &(_, Option<u64>)| Some(Part { account, bytes: bytes? });
    amounts.iter().filter_map(part).collect()
}
