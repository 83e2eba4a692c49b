//! Ctrl-C and its kin end the demo through its destructors, so that programs
//! and cgroups never stay behind.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::Stop;

/// The signals that ask for an end. Its file descriptor becomes readable when
/// one has come.
pub struct Signals {
    came: Arc<AtomicUsize>,
    readable: UnixStream,
}

impl Signals {
    /// Takes the signals over until the process ends.
    pub fn catch() -> io::Result<Self> {
        let (readable, wake) = UnixStream::pair()?;
        let came = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // The number first: whoever is woken finds it there.
            let number = usize::try_from(signal).map_err(io::Error::other)?;
            signal_hook::flag::register_usize(signal, Arc::clone(&came), number)?;
            signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
        }
        Ok(Self { came, readable })
    }

    /// Stops whoever asks once a signal has come.
    pub fn check(&self) -> Result<(), Stop> {
        match u8::try_from(self.came.load(Ordering::SeqCst)) {
            Ok(0) | Err(_) => Ok(()),
            Ok(signal) => Err(Stop::Signal(signal)),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}
