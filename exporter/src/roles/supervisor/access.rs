//! Who may ask, on its way to the server.

use std::future::pending;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use memgap_exporter::access::watch::{self, Current};
use memgap_exporter::channel::Sender;
use tokio::time::{Instant, sleep_until};

/// What the server has to know, where there is a web configuration file.
pub struct Access(Option<Watched>);

struct Watched {
    current: Current,
    server: Sender,
    /// When it is sent again, where the server did not take it.
    retry: Option<Instant>,
}

/// Time after which a server that takes no message is sent it again.
const RETRY: Duration = Duration::from_secs(1);

impl Access {
    /// Reads the file and has the server's first message be what it says.
    pub fn start(path: Option<&Path>, to_server: &OwnedFd) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let current = watch::start(path)?;
        let server = to_server.try_clone().context("can not share the channel")?;
        let mut access = Self(Some(Watched { current, server: Sender::new(server), retry: None }));
        access.send();
        Ok(access)
    }

    /// Sends it.
    pub fn send(&mut self) {
        if let Some(watched) = &mut self.0 {
            watched.send();
        }
    }

    /// Waits until it is to be sent: it is another, or was not taken.
    pub async fn is_due(&mut self) {
        let Some(watched) = &mut self.0 else { return pending().await };
        match watched.retry {
            Some(at) => sleep_until(at).await,
            None => {
                // Without the thread that reads it, it stays as it is.
                if watched.current.changed().await.is_err() {
                    pending::<()>().await;
                }
            }
        }
    }
}

impl Watched {
    fn send(&mut self) {
        let contents = self.current.borrow_and_update().clone();
        let sent = self.server.send_access(&contents);
        if let Err(error) = &sent {
            tracing::debug!(%error, "the server does not take the web configuration yet");
        }
        self.retry = sent.is_err().then(|| Instant::now() + RETRY);
    }
}
