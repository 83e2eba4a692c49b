//! Requests to the API server: TLS that its authority vouches for, the token as it is in its
//! file now, and an answer within bounds.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use memgap_reader::Limits;
use memgap_reader::endpoint::http::{Body, Timed, answer_of_any_status};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use memgap_exporter::kubernetes::message::Outcome;
use memgap_exporter::kubernetes::settings::Place;

/// The most of a token, and of the authority's certificates.
const MAX_FILE: u64 = 256 << 10;

/// An answer, its body still to be read.
pub type Answer = Body<BufReader<StreamOwned<ClientConnection, Timed>>>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In a word.
    pub outcome: Outcome,
    /// In words.
    pub why: String,
}

/// Who asks.
pub struct Client {
    place: Place,
    /// Made of the authority's certificates as they were.
    tls: Option<(Vec<u8>, Arc<ClientConfig>)>,
}

#[allow(clippy::needless_pass_by_value, reason = "what is given is an error that ends here")]
impl Failure {
    /// No answer came, or not all of it.
    pub fn unreachable(why: impl ToString) -> Self {
        Self { outcome: Outcome::Unreachable, why: why.to_string() }
    }

    /// The answer is none.
    pub fn malformed(why: impl ToString) -> Self {
        Self { outcome: Outcome::Malformed, why: why.to_string() }
    }
}

impl Client {
    /// One that has asked nothing.
    pub fn new(place: Place) -> Self {
        Self { place, tls: None }
    }

    /// The node that it is of.
    pub fn node(&self) -> &str {
        &self.place.node
    }

    /// Asks for a path; an answer has status 200.
    pub fn get(&mut self, path: &str, accept: &str, limits: &Limits) -> Result<Answer, Failure> {
        let mut stream = self.connect(limits).map_err(Failure::unreachable)?;
        let token = token(&self.place.credentials)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: memgap-exporter/{}\r\n\
             Authorization: Bearer {token}\r\nAccept: {accept}\r\n\
             Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
            self.place.server,
            env!("CARGO_PKG_VERSION"),
        );
        stream.write_all(request.as_bytes()).map_err(Failure::unreachable)?;
        let answer = answer_of_any_status(BufReader::new(stream), limits.bytes);
        let (status, response) = answer.map_err(|error| Failure::unreachable(of(&error)))?;
        let outcome = match status {
            200 => return Ok(response.body),
            401 => Outcome::Unauthorized,
            403 => Outcome::Forbidden,
            404 => Outcome::NotFound,
            410 => Outcome::Gone,
            _ => Outcome::Refused,
        };
        Err(Failure { outcome, why: format!("it answered with status {status}") })
    }

    fn connect(&mut self, limits: &Limits) -> io::Result<StreamOwned<ClientConnection, Timed>> {
        let config = self.config()?;
        let stream = Timed::to(self.place.server, limits)?;
        let name = ServerName::IpAddress(self.place.server.ip().into());
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// Sessions are taken up again for as long as the authority is the same.
    fn config(&mut self) -> io::Result<Arc<ClientConfig>> {
        let pem = read(&self.place.credentials.join("ca.crt"))?;
        if let Some((_, config)) = self.tls.as_ref().filter(|(old, _)| *old == pem) {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        if roots.is_empty() {
            return Err(io::Error::other("ca.crt holds no certificate"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        self.tls = Some((pem, Arc::clone(&config)));
        Ok(config)
    }
}

/// The bounds of a request whose answer comes at once.
pub fn at_once(total: Duration, bytes: u64) -> Limits {
    Limits { connect: Duration::from_secs(5), idle: Duration::from_secs(10), total, bytes }
}

/// What an error of the client says.
pub fn of(error: &io::Error) -> String {
    // What is refused travels inside of one.
    error.get_ref().map_or_else(|| error.to_string(), ToString::to_string)
}

fn token(credentials: &Path) -> Result<String, Failure> {
    let bytes = read(&credentials.join("token")).map_err(Failure::unreachable)?;
    let token = String::from_utf8(bytes).unwrap_or_default();
    let token = token.trim_ascii();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let why = "the file token holds no token".to_owned();
        return Err(Failure { outcome: Outcome::Unauthorized, why });
    }
    Ok(token.to_owned())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(named)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(named)?;
    Ok(bytes)
}
