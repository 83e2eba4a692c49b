//! Threads that wait in the kernel on behalf of targets, and can be given up: one that
//! holds its memory map, or maps a file of a file system that does not answer, keeps its
//! reader waiting for as long as it likes.
//!
//! One worker serves a batch of tasks, one after the other, and its collection waits for it.
//! That costs two switches of threads a batch. A worker whose target does not answer is left
//! behind, and another takes what is left of the batch. `maps`, `smaps`, `mem` and `pagemap`
//! wait so that a kill ends it; `fstat` of a file on a FUSE mount does not.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use memgap_kernel::cpu::thread_cpu;
use memgap_kernel::file::Buf;

/// How long a target may keep its reader waiting.
pub(super) const DEADLINE: Duration = Duration::from_millis(200);

/// The same where its reader does not wait, but is at work or waits for a processor.
const WORKING: Duration = Duration::from_secs(1);

/// Time between two looks whether a worker that is late waits or works.
const LOOK: Duration = Duration::from_millis(20);

/// Workers that are left behind at a time. With so many nothing is begun.
pub(super) const MAX_STUCK: usize = 4;

/// What a buffer may keep between batches; the text of a large walk is larger.
const KEPT_BUFFER: usize = 64 << 10;

/// What is done on behalf of one target.
pub(super) trait Task: Debug + Send + 'static {
    /// Tells a target from all others.
    type Target: Copy + Debug + PartialEq + Send + 'static;
    /// What the tasks of a batch have together, and hand on from one to the next.
    type Budgets: Copy + Debug + Send + 'static;
    /// What comes of it.
    type Outcome: Debug + Send + 'static;

    /// Whom it is done for.
    fn target(&self) -> Self::Target;

    /// Does it; in a thread that may be left behind meanwhile.
    fn run(self, budgets: &mut Self::Budgets, buf: &mut Buf) -> Self::Outcome;

    /// How much room an outcome takes.
    fn room(outcome: &Self::Outcome) -> usize;
}

/// The workers: one that is at hand, and those that are left behind.
#[derive(Debug)]
pub(super) struct Pool<T: Task> {
    worker: Option<Sender<Arc<Batch<T>>>>,
    stuck: Vec<Stuck<T>>,
}

/// What came of a batch, or of its first part.
#[derive(Debug)]
pub(super) struct Ran<T: Task> {
    /// In the order of their tasks.
    pub outcomes: Vec<T::Outcome>,
    pub budgets: T::Budgets,
    /// What it took of the CPU, in the thread of the worker.
    pub cpu: Duration,
    /// The target that did not answer, and whether its reader waited for it.
    pub stuck: Option<(T::Target, bool)>,
    /// Tasks that were not begun.
    pub left: VecDeque<T>,
}

/// A worker that was left behind.
#[derive(Debug)]
struct Stuck<T: Task> {
    batch: Arc<Batch<T>>,
    target: T::Target,
}

/// Tasks in the hands of a worker.
#[derive(Debug)]
struct Batch<T: Task> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

#[derive(Debug)]
struct State<T: Task> {
    tasks: VecDeque<T>,
    budgets: T::Budgets,
    /// What may still be taken up by outcomes.
    room: usize,
    outcomes: Vec<T::Outcome>,
    /// Whom a task is done for now, and since when.
    current: Option<(T::Target, Instant)>,
    /// The thread that does it.
    thread: Option<rustix::thread::Pid>,
    cpu: Duration,
    has_ended: bool,
    /// Whether a panic ended it, and the thread too.
    is_broken: bool,
}

impl<T: Task> Default for Pool<T> {
    fn default() -> Self {
        Self { worker: None, stuck: Vec::new() }
    }
}

impl<T: Task> Pool<T> {
    /// Whether tasks can be begun: not with too many workers left behind, nor where the
    /// system has no thread to give.
    pub fn is_ready(&mut self) -> bool {
        if self.stuck.len() >= MAX_STUCK {
            return false;
        }
        if self.worker.is_none() {
            self.worker = start();
        }
        self.worker.is_some()
    }

    /// Has tasks done until all are, a target does not answer, or their outcomes take up
    /// that much room. One that has begun is not stopped by any of these.
    pub fn run(&mut self, tasks: VecDeque<T>, budgets: T::Budgets, room: usize) -> Ran<T> {
        let batch = Arc::new(Batch::new(tasks, budgets, room));
        let Some(worker) = self.worker.take() else { return batch.lock().give_up(None) };
        if worker.send(Arc::clone(&batch)).is_err() {
            return batch.lock().give_up(None);
        }
        let ran = batch.wait();
        if let Some((target, _)) = ran.stuck {
            self.stuck.push(Stuck { batch, target });
        } else if !batch.lock().is_broken {
            self.worker = Some(worker);
        }
        ran
    }

    /// Those who were left behind and have returned, with what came of their last task:
    /// nothing where that panicked.
    pub fn returned(&mut self) -> Vec<(T::Target, Option<T::Outcome>, Duration)> {
        let mut returned = Vec::new();
        self.stuck.retain(|stuck| {
            let mut state = stuck.batch.lock();
            if state.has_ended {
                returned.push((stuck.target, state.outcomes.pop(), state.cpu));
            }
            !state.has_ended
        });
        returned
    }

    /// Whether a task for that target is still under way.
    pub fn holds(&self, target: T::Target) -> bool {
        self.stuck.iter().any(|stuck| stuck.target == target)
    }

    /// Workers that are left behind.
    pub fn stuck(&self) -> usize {
        self.stuck.len()
    }
}

/// Starts a worker. It ends when the sender is dropped; nobody waits for that.
fn start<T: Task>() -> Option<Sender<Arc<Batch<T>>>> {
    let (sender, batches) = channel::<Arc<Batch<T>>>();
    let work = move || {
        let mut buf = Buf::default();
        for batch in batches {
            batch.work(&mut buf);
            buf.shrink(KEPT_BUFFER);
        }
    };
    thread::Builder::new().name("targets".to_owned()).spawn(work).ok().map(|_| sender)
}

impl<T: Task> Batch<T> {
    fn new(tasks: VecDeque<T>, budgets: T::Budgets, room: usize) -> Self {
        let state = State {
            tasks,
            budgets,
            room,
            outcomes: Vec::new(),
            current: None,
            thread: None,
            cpu: Duration::ZERO,
            has_ended: false,
            is_broken: false,
        };
        Self { state: Mutex::new(state), ended: Condvar::new() }
    }

    /// The worker's side.
    fn work(&self, buf: &mut Buf) {
        let end = End { batch: self, cpu: thread_cpu() };
        let mut state = self.lock();
        state.thread = Some(rustix::thread::gettid());
        while state.room > 0
            && let Some(task) = state.tasks.pop_front()
        {
            state.current = Some((task.target(), Instant::now()));
            let mut budgets = state.budgets;
            drop(state);
            let outcome = task.run(&mut budgets, buf);
            state = self.lock();
            state.budgets = budgets;
            state.room = state.room.saturating_sub(T::room(&outcome));
            state.outcomes.push(outcome);
        }
        state.current = None;
        drop(state);
        drop(end);
    }

    /// The side of who waits: until it has ended, or a target has not answered.
    fn wait(&self) -> Ran<T> {
        let mut state = self.lock();
        let mut last = None;
        while !state.has_ended {
            let mut patience = DEADLINE;
            if let Some((target, since)) = state.current {
                let passed = since.elapsed();
                if passed >= DEADLINE {
                    // One that starves for a processor may wait for a moment, too: who waits
                    // for the target has not run from one look to the next.
                    let seen = state.thread.and_then(waiting).map(|turns| (target, turns));
                    let waits = seen.is_some() && seen == last;
                    if waits || passed >= WORKING {
                        return state.give_up(Some((target, waits)));
                    }
                    last = seen;
                    patience = LOOK;
                } else {
                    patience -= passed;
                }
            }
            let waited = self.ended.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.give_up(None)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // What a panic left is whole: no task runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Task> State<T> {
    fn give_up(&mut self, stuck: Option<(T::Target, bool)>) -> Ran<T> {
        Ran {
            outcomes: std::mem::take(&mut self.outcomes),
            budgets: self.budgets,
            cpu: self.cpu,
            stuck,
            left: std::mem::take(&mut self.tasks),
        }
    }
}

/// Says that a worker is done with a batch, be it by a panic.
struct End<'b, T: Task> {
    batch: &'b Batch<T>,
    /// CPU time of its thread when it began.
    cpu: Duration,
}

impl<T: Task> Drop for End<'_, T> {
    fn drop(&mut self) {
        let mut state = self.batch.lock();
        state.cpu = thread_cpu().saturating_sub(self.cpu);
        (state.has_ended, state.is_broken) = (true, thread::panicking());
        self.batch.ended.notify_one();
    }
}

/// How often a thread of ours has been on a processor, where it waits for anything else.
fn waiting(thread: rustix::thread::Pid) -> Option<u64> {
    let task = format!("/proc/self/task/{}", thread.as_raw_nonzero());
    let text = std::fs::read(format!("{task}/stat")).ok()?;
    let at = text.iter().rposition(|byte| *byte == b')')?;
    if text.get(at + 2) == Some(&b'R') {
        return None;
    }
    // A kernel that does not count turns leaves the state alone to tell.
    let turns = std::fs::read_to_string(format!("{task}/schedstat")).unwrap_or_default();
    Some(turns.split_whitespace().nth(2).and_then(|turns| turns.parse().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
