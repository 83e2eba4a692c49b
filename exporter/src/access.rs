//! Who may ask: TLS, client certificates, users and headers, from a web configuration file as
//! Prometheus' exporters have it.
//!
//! The process that was started reads the file and those it names ([`files`]) and hands their
//! contents to the one that serves, which can open none. Both make an [`Access`] of them: one to
//! tell what is wrong, the other to serve by it.

mod certificate;
mod clients;
pub mod config;
pub mod files;
pub mod passwords;
mod tls;
mod users;
pub mod watch;
mod yaml;

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use tokio_rustls::TlsAcceptor;

use files::Contents;
use passwords::Passwords;
pub use users::Refused;
use users::Users;

/// What connections are served by.
#[derive(Default)]
pub struct Access {
    /// TLS, where there is any.
    pub tls: Option<TlsAcceptor>,
    /// What each answer has.
    pub headers: HeaderMap,
    /// What of the file is not kept to, in words for the log.
    pub notes: Vec<String>,
    users: Users,
}

/// A client, as far as it is decided what it gets. Stands among a request's extensions.
#[derive(Clone)]
pub struct Visitor {
    /// Where it comes from; clients on this machine are one.
    pub address: IpAddr,
    /// What its connection is served by.
    pub access: Arc<Access>,
    /// What compares passwords, where there may be users.
    pub passwords: Option<Passwords>,
}

impl Access {
    /// What the contents say. An error names line and key.
    pub fn of(contents: &Contents) -> anyhow::Result<Self> {
        let config = contents.config()?;
        let mut notes = Vec::new();
        let tls = config.tls.as_ref().map(|tls| tls::server(tls, contents, &mut notes));
        Ok(Self {
            tls: tls.transpose()?.map(|config| TlsAcceptor::from(Arc::new(config))),
            headers: config.headers,
            notes,
            users: Users::of(config.users)?,
        })
    }

    /// Whether connections are encrypted, and how many users there are, for the log.
    pub fn summary(&self) -> (bool, usize) {
        (self.tls.is_some(), self.users.count())
    }
}

impl Visitor {
    /// Lets a request with these headers pass, or not.
    pub async fn admit(&self, headers: &HeaderMap) -> Result<(), Refused> {
        self.access.users.admit(self.address, headers, self.passwords.as_ref()).await
    }
}

#[cfg(test)]
mod tests;
