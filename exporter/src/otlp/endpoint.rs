//! Where a collector is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::Uri;
use axum::http::uri::{Authority, PathAndQuery};

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, and a query if there is one.
    pub path: String,
}

/// Where metrics go, on a URL that names no path.
const PATH: &str = "/v1/metrics";

impl Endpoint {
    /// The address, where the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// What the header `Host` says.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                let why = "https is not spoken: give the http:// of a collector on this machine \
                           or in a network that is trusted, which can pass on by TLS";
                return Err(why.to_owned());
            }
            _ => return Err("give http://HOST:PORT".to_owned()),
        }
        let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err("users belong into a header: see --otlp.headers-file".to_owned());
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().filter(|port| *port != 0);
        let port = port.ok_or("it has no port: collectors take OTLP over HTTP at 4318")?;
        if host.is_empty() {
            return Err("give http://HOST:PORT".to_owned());
        }
        let path = uri.path_and_query().map(PathAndQuery::as_str).unwrap_or_default();
        let path = if ["", "/"].contains(&path) { PATH } else { path };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_a_port_and_a_path() {
        for (text, shown) in [
            ("http://localhost:4318", "http://localhost:4318/v1/metrics"),
            ("http://10.0.0.1:4318/", "http://10.0.0.1:4318/v1/metrics"),
            ("http://[::1]:80/a/b?c=d", "http://[::1]:80/a/b?c=d"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
        let endpoint: Endpoint = "http://[::1]:80".parse().expect("a URL");
        assert_eq!(endpoint.address(), Some("::1".parse().expect("an address")));
    }

    #[test]
    fn what_can_not_be_pushed_to_is_told() {
        for (text, why) in [
            ("https://collector:4318", "https is not spoken"),
            ("http://collector", "no port"),
            ("http://collector:0", "no port"),
            ("http://user:secret@collector:4318", "--otlp.headers-file"),
            ("collector:4318", "http://HOST:PORT"),
            ("grpc://collector:4317", "http://HOST:PORT"),
            ("http://:4318", "http://HOST:PORT"),
            ("", "no URL"),
            ("http://a b:1", "no URL"),
        ] {
            let found = text.parse::<Endpoint>().expect_err(text);
            assert!(found.contains(why), "{text}: {found}");
        }
    }
}
