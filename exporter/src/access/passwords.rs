//! Passwords compared with bcrypt hashes, which is made to cost: on one thread, of which guesses
//! get a quarter of the time, and in a queue of which no client takes all places.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

/// Comparisons that may wait.
const QUEUE: usize = 16;

/// Of one client.
const EACH: usize = 2;

/// How long the thread rests after a wrong password, in times of what comparing took.
const REST: u32 = 3;

/// What bcrypt works with fits in easily.
const STACK: usize = 256 << 10;

/// The thread's queue. Clones share it.
#[derive(Clone)]
pub struct Passwords {
    queue: SyncSender<Question>,
    waiting: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Nothing could be compared: try later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

struct Question {
    password: Vec<u8>,
    hash: String,
    answer: oneshot::Sender<bool>,
}

impl Passwords {
    /// Starts the thread. It is confined by what is given before it takes anything.
    pub fn start(
        confine: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, questions) = sync_channel(QUEUE);
        let work = move || match confine() {
            Ok(()) => compare(&questions),
            // Whoever asks is told that nothing is compared.
            Err(error) => tracing::error!("{error:#}"),
        };
        thread::Builder::new().name("passwords".to_owned()).stack_size(STACK).spawn(work)?;
        Ok(Self { queue, waiting: Arc::default() })
    }

    /// Whether a client's password is the one of a hash.
    pub async fn is(&self, client: IpAddr, password: &[u8], hash: &str) -> Result<bool, Busy> {
        let _turn = Turn::take(self, client)?;
        let (answer, answered) = oneshot::channel();
        let question = Question { password: password.to_vec(), hash: hash.to_owned(), answer };
        self.queue.try_send(question).map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }
}

fn compare(questions: &Receiver<Question>) {
    while let Ok(question) = questions.recv() {
        // Its client may have gone meanwhile.
        if question.answer.is_closed() {
            continue;
        }
        let began = Instant::now();
        let is_it = bcrypt::verify(&question.password, &question.hash).unwrap_or(false);
        let _ = question.answer.send(is_it);
        if !is_it {
            thread::sleep(began.elapsed() * REST);
        }
    }
}

/// A client's place in the queue.
struct Turn<'p> {
    passwords: &'p Passwords,
    client: IpAddr,
}

impl<'p> Turn<'p> {
    fn take(passwords: &'p Passwords, client: IpAddr) -> Result<Self, Busy> {
        let mut waiting = passwords.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let own = waiting.entry(client).or_default();
        if *own >= EACH {
            return Err(Busy);
        }
        *own += 1;
        drop(waiting);
        Ok(Self { passwords, client })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut waiting = self.passwords.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = waiting.get_mut(&self.client) else { return };
        *own -= 1;
        if *own == 0 {
            waiting.remove(&self.client);
        }
    }
}
