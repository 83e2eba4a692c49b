//! What a connection is doing, and a stream that keeps it up to date.
//!
//! hyper says neither whether a connection waits for its next request nor how fast its
//! client reads. Both are known at the stream: an answer begins when the service is called
//! and ends when everything written is flushed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes a second below which a client that is answered counts as slow: it gives its place
/// up when places run short.
const SLOW: u64 = 256 << 10;

/// Time before an answer's speed is judged.
const SETTLE: Duration = Duration::from_secs(1);

/// Bytes a second below which an answer is given up, after [`PATIENCE`].
const LEAST: u64 = 16 << 10;

/// Time that any answer may take, however slowly it is read.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection is doing. Shared by its stream, its service and the table of places.
#[derive(Debug)]
pub struct Activity {
    opened: Instant,
    answering: AtomicBool,
    /// Milliseconds after `opened`: when the answer began, or the last one ended.
    since: AtomicU64,
    /// Bytes of the answer that the kernel took.
    written: AtomicU64,
}

impl Activity {
    /// A connection that waits for its first request.
    pub fn new() -> Self {
        Self {
            opened: Instant::now(),
            answering: AtomicBool::new(false),
            since: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    /// A request has arrived.
    pub fn begin(&self) {
        self.written.store(0, Ordering::Relaxed);
        self.set(true);
    }

    /// How long it has been idle: waiting for a request, or for a client that reads slowly.
    /// None while an answer makes progress.
    pub fn idle(&self) -> Option<Duration> {
        let elapsed = self.elapsed();
        let is_busy =
            self.answering.load(Ordering::Relaxed) && elapsed <= SETTLE + self.time_at(SLOW);
        (!is_busy).then_some(elapsed)
    }

    fn set(&self, answering: bool) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
        self.answering.store(answering, Ordering::Relaxed);
    }

    fn elapsed(&self) -> Duration {
        let since = Duration::from_millis(self.since.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(since)
    }

    /// When the answer is given up, if no further byte is taken.
    fn deadline(&self) -> Instant {
        let since = Duration::from_millis(self.since.load(Ordering::Relaxed));
        self.opened + since + PATIENCE + self.time_at(LEAST)
    }

    /// The time that what was written takes at so many bytes a second.
    fn time_at(&self, rate: u64) -> Duration {
        Duration::from_millis(self.written.load(Ordering::Relaxed).saturating_mul(1000) / rate)
    }
}

/// A stream that notes what its connection does, and fails where an answer is read too
/// slowly.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Set while the client does not take what is written.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    /// Watches a stream.
    pub fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, deadline: None }
    }

    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            self.deadline = None;
            if let Ok(bytes) = result {
                self.activity.written.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            return Poll::Ready(result);
        }
        let deadline = self.activity.deadline();
        let sleep = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        if self.activity.answering.load(Ordering::Relaxed) {
            self.activity.set(false);
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::advance;

    use super::*;

    /// A stream whose kernel buffer holds so much.
    fn pair(buffer: usize) -> (Watched<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(buffer);
        (Watched::new(ours, Arc::new(Activity::new())), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_but_while_it_is_answered() {
        let (mut ours, _theirs) = pair(1 << 20);
        let activity = ours.activity.clone();
        advance(Duration::from_secs(3)).await;
        assert_eq!(activity.idle(), Some(Duration::from_secs(3)));
        activity.begin();
        advance(Duration::from_millis(900)).await;
        assert_eq!(activity.idle(), None);
        ours.write_all(&vec![0; 64 << 10]).await.expect("there is room");
        ours.flush().await.expect("it is taken");
        assert_eq!(activity.idle(), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_slowly_is_idle_before_it_is_given_up() {
        let (mut ours, mut theirs) = pair(16 << 10);
        let activity = ours.activity.clone();
        activity.begin();
        let began = Instant::now();
        let writing = tokio::spawn(async move { ours.write_all(&vec![0; 1 << 20]).await });
        let mut slow = [0; 1 << 10];
        // One KiB a second: slower than the least.
        while !writing.is_finished() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if !writing.is_finished() {
                let _ = theirs.read(&mut slow).await;
                assert!(began.elapsed() < Duration::from_secs(2) || activity.idle().is_some());
            }
        }
        let error = writing.await.expect("it ends").expect_err("it is given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < 2 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_steadily_is_finished() {
        let (mut ours, mut theirs) = pair(16 << 10);
        ours.activity.begin();
        let writing = tokio::spawn(async move { ours.write_all(&vec![0; 1 << 20]).await });
        let mut part = vec![0; 32 << 10];
        // 32 KiB a second: as through a narrow link.
        while theirs.read(&mut part).await.expect("a part") > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        writing.await.expect("it ends").expect("everything is taken");
    }
}
