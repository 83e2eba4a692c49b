//! Where an endpoint is: an address in digits, or the path of a socket.
//!
//! No name is resolved: the resolver has no deadline that we could give it, and
//! what a name means may change between the check and the use.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;

/// An endpoint that a user named.
///
/// `http://127.0.0.1:9090/metrics`, `http://[::1]:8080/debug/vars`,
/// `http://localhost:9090`, `unix:/run/app.sock` or `unix:/run/app.sock:/debug/vars`.
/// Without a path it is `/metrics`, without a port 80.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    place: Place,
    path: String,
}

/// What is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

const PATH: &str = "/metrics";
/// Longest path with its query.
const PATH_LEN: usize = 1024;

impl Endpoint {
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Path and query of the request.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address; `None` for a socket in the file system.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Tcp(address) => Some(address),
            Place::Unix(_) => None,
        }
    }

    /// Whether it is on this machine: nobody on the network can answer in its place.
    pub fn is_local(&self) -> bool {
        self.address().is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    pub(super) fn host(&self) -> String {
        self.address().map_or_else(|| "localhost".to_owned(), |address| address.to_string())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(address) => write!(f, "http://{address}{}", self.path),
            Place::Unix(socket) => write!(f, "unix:{}:{}", socket.display(), self.path),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        parse(word).map_err(|remedy| Error::Endpoint { word: word.to_owned(), remedy })
    }
}

fn parse(word: &str) -> Result<Endpoint, &'static str> {
    let (place, path) = if let Some(rest) = word.strip_prefix("http://") {
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        (Place::Tcp(allowed(address(host)?)?), path)
    } else if let Some(rest) = word.strip_prefix("unix:") {
        let (socket, path) = match rest.rfind(":/") {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, ""),
        };
        if !Path::new(socket).is_absolute() || socket.contains('\0') {
            return Err("give the whole path of the socket: unix:/run/app.sock");
        }
        (Place::Unix(PathBuf::from(socket)), path)
    } else if word.starts_with("https://") {
        return Err("TLS is not spoken: name a plain endpoint, http://ADDRESS:PORT/path");
    } else {
        return Err("give http://ADDRESS:PORT/path or unix:/path/of/socket");
    };
    let path = if path.is_empty() { PATH } else { path };
    let is_plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !path.starts_with('/') || !is_plain || path.len() > PATH_LEN {
        return Err("the path must start with / and hold visible ASCII only, without #");
    }
    Ok(Endpoint { place, path: path.to_owned() })
}

fn address(host: &str) -> Result<SocketAddr, &'static str> {
    const NAMED: &str = "names are not resolved: give the address in digits, as 127.0.0.1 or [::1]";
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            (name, port.parse().map_err(|_| "the port must be from 1 to 65535")?)
        }
        _ => (host, 80),
    };
    // RFC 6761: the one name that means the same everywhere.
    if name == "localhost" {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let digits = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    let ip: IpAddr = digits.parse().map_err(|_| NAMED)?;
    Ok(SocketAddr::from((ip, port)))
}

/// Refuses addresses that no process of this machine can have for itself.
fn allowed(address: SocketAddr) -> Result<SocketAddr, &'static str> {
    let ip = address.ip().to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if link_local {
        return Err("link-local addresses are refused: clouds keep credentials there");
    }
    if ip.is_unspecified() || ip.is_multicast() || address.port() == 0 {
        return Err("give the address and port of one process");
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_digits_or_sockets() {
        for (word, shown) in [
            ("http://127.0.0.1:9090/metrics", "http://127.0.0.1:9090/metrics"),
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090/metrics"),
            (
                "http://[::1]:6060/debug/pprof/heap?debug=1",
                "http://[::1]:6060/debug/pprof/heap?debug=1",
            ),
            ("http://[::1]/", "http://[::1]:80/"),
            ("http://localhost:1", "http://127.0.0.1:1/metrics"),
            ("http://10.1.2.3:8080/m", "http://10.1.2.3:8080/m"),
            ("unix:/run/a.sock", "unix:/run/a.sock:/metrics"),
            ("unix:/run/a:b.sock:/debug/vars", "unix:/run/a:b.sock:/debug/vars"),
        ] {
            assert_eq!(word.parse::<Endpoint>().expect(word).to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_endpoint_of_a_process_is_refused() {
        for word in [
            "",
            "127.0.0.1:9090",
            "https://127.0.0.1/",
            "http://example.org/metrics",
            "http://user:secret@127.0.0.1/",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:9/a b",
            "http://127.0.0.1:9/a\r\nX: y",
            "http://127.0.0.1:9/a#b",
            "http://127.0.0.1:9?x",
            "http://2130706433/",
            "http://0.0.0.0:80/",
            "http://[::]:80/",
            "http://224.0.0.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]:80/",
            "unix:run/a.sock",
            "unix:/run/a\0.sock",
            "file:///etc/passwd",
        ] {
            assert!(word.parse::<Endpoint>().is_err(), "{word:?}");
        }
    }
}
