//! Tells memgap the exact statistics of a Rust program on jemalloc, and gauges of
//! its own: on one page of shared memory, without a socket or a thread, and at no
//! cost while nobody looks.
//!
//! ```no_run
//! # fn main() -> Result<(), memgap_beacon::Error> {
//! #[global_allocator]
//! static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
//!
//! let beacon = memgap_beacon::publish()?; // until it is dropped
//! let cache = beacon.gauge("cache_bytes")?;
//! cache.set(64 << 20);
//! beacon.refresh()?; // as often as the figures should be new
//! # Ok(())
//! # }
//! ```
//!
//! The program needs `tikv-jemallocator` as its global allocator, with the feature
//! `stats`. The page is a memfd that `memgap` finds by its name in `/proc/PID/maps`.

#[cfg(feature = "metrics")]
mod facade;
mod guard;
mod page;
mod statistics;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guard::Guard;
use page::{Figures, Page};
pub use page::{MAX_GAUGES, MAX_NAME};
pub use statistics::Statistics;

/// Why figures are not reported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel gave no page to tell them on.
    #[error("the beacon's page can not be made: {0}")]
    Page(#[source] io::Error),
    /// jemalloc has none.
    #[error(
        "jemalloc tells no statistics: it must be the global allocator, with the feature `stats` of tikv-jemallocator: {0}"
    )]
    Statistics(String),
    /// The name of a gauge is empty, too long, or not made of what names are made of.
    #[error("{0:?} is no name of a gauge: 1 to {MAX_NAME} letters, digits, `_`, `.`, `:` or `-`")]
    Name(String),
    /// There are as many gauges as fit the page.
    #[error("a beacon has room for {MAX_GAUGES} gauges")]
    Full,
    /// A child has its parent's beacon by name only.
    #[error("the beacon is the parent process's: publish another one after a fork")]
    Forked,
    /// No thread could be started.
    #[error("no thread could be started to refresh the beacon: {0}")]
    Thread(#[source] io::Error),
}

/// A program's figures, reported for as long as the value lives.
#[derive(Debug)]
pub struct Beacon {
    shared: Arc<Shared>,
    /// Ends the thread, if there is one, when it is dropped.
    _thread: Option<Sender<()>>,
}

/// A figure of the program's own. It is distinguished from the next refresh on.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<AtomicU64>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// After a fork the page is the parent's alone.
    guard: Arc<Guard>,
}

#[derive(Debug)]
struct State {
    page: Page,
    gauges: Vec<(String, Gauge)>,
}

/// Makes the page and tells the first figures.
pub fn publish() -> Result<Beacon, Error> {
    let guard = Arc::new(Guard::new().map_err(Error::Page)?);
    let page = Page::new(Arc::clone(&guard)).map_err(Error::Page)?;
    let state = Mutex::new(State { page, gauges: Vec::new() });
    let shared = Arc::new(Shared { state, guard });
    shared.refresh()?;
    Ok(Beacon { shared, _thread: None })
}

impl Beacon {
    /// Tells the figures of this moment: some microseconds, of which jemalloc's epoch
    /// takes most. Gives them back too.
    pub fn refresh(&self) -> Result<Statistics, Error> {
        self.shared.refresh()
    }

    /// A gauge by a name such as `cache_bytes`; the one that exists already, if it does.
    pub fn gauge(&self, name: &str) -> Result<Gauge, Error> {
        self.shared.gauge(name)
    }

    /// Starts a thread that refreshes the figures as often until the beacon is
    /// dropped, for programs that have no better place to do so.
    pub fn refreshed_every(self, period: Duration) -> Result<Self, Error> {
        let (end, ended) = mpsc::channel();
        let shared = Arc::clone(&self.shared);
        let refresh = move || {
            while ended.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                // The next figures may be reported again.
                let _ = shared.refresh();
            }
        };
        let thread = std::thread::Builder::new().name("memgap-beacon".to_owned());
        thread.spawn(refresh).map_err(Error::Thread)?;
        Ok(Self { _thread: Some(end), ..self })
    }
}

impl Gauge {
    /// Sets the figure.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Shared {
    fn refresh(&self) -> Result<Statistics, Error> {
        let mut state = self.state()?;
        let State { page, gauges } = &mut *state;
        let statistics = Statistics::read()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let gauges = gauges.iter().map(|(name, gauge)| (&**name, gauge.get()));
        let gauges: Vec<(&str, u64)> = gauges.collect();
        #[cfg(feature = "metrics")]
        facade::set(&statistics, &gauges);
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        page.write(&Figures::of(now, &statistics, &gauges));
        Ok(statistics)
    }

    fn gauge(&self, name: &str) -> Result<Gauge, Error> {
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_part) {
            return Err(Error::Name(name.to_owned()));
        }
        let mut state = self.state()?;
        if let Some((_, gauge)) = state.gauges.iter().find(|(known, _)| known == name) {
            return Ok(gauge.clone());
        }
        if state.gauges.len() == MAX_GAUGES {
            return Err(Error::Full);
        }
        let gauge = Gauge(Arc::default());
        state.gauges.push((name.to_owned(), gauge.clone()));
        Ok(gauge)
    }

    /// In a child the lock may be held by a thread that it does not have, and the
    /// page is not mapped.
    fn state(&self) -> Result<MutexGuard<'_, State>, Error> {
        if !self.guard.is_own() {
            return Err(Error::Forked);
        }
        // What a panic left is whole: gauges are added in one go, the page written.
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Gauge {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
