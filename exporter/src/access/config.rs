//! What a web configuration file says. Keys that are not known are refused, and so is what
//! could not be kept to.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::yaml::{self, Node, Value};

/// A file.
#[derive(Debug, Default)]
pub struct Config {
    /// None where connections are not encrypted.
    pub tls: Option<Tls>,
    /// For every answer.
    pub headers: HeaderMap,
    /// Names, and the hashes of their passwords. None: everybody may ask.
    pub users: Vec<(String, Text)>,
}

/// `tls_server_config`.
#[derive(Debug)]
pub struct Tls {
    /// The server's certificates in PEM, its own first.
    pub cert: Source,
    /// The key of the first.
    pub key: Source,
    /// What clients' certificates are verified by.
    pub client_ca: Option<Source>,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// Names of which a client's certificate has to have one; empty for any.
    pub allowed_names: Vec<String>,
    /// The oldest version, where it stands there.
    pub min_version: Option<Text>,
    /// The newest.
    pub max_version: Option<Text>,
    /// Suites by Go's names; empty for all.
    pub cipher_suites: Vec<Text>,
    /// Whether their order counts, rather than the client's.
    pub prefers_own_order: bool,
    /// Curves by Go's names, in order; empty for all.
    pub curves: Vec<Text>,
}

/// What is asked of clients: Go's `ClientAuthType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate.
    None,
    /// One, if they like, of whomever.
    Request,
    /// One, of whomever.
    RequireAny,
    /// If they give one it is verified.
    VerifyIfGiven,
    /// One that is verified.
    RequireAndVerify,
}

/// Where PEM stands.
#[derive(Debug)]
pub enum Source {
    /// In the configuration itself.
    Inline(Text),
    /// In a file.
    File(Text),
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Text {
    /// The line.
    pub line: usize,
    /// The key, with those that it lies in.
    pub key: String,
    /// The value.
    pub value: String,
}

impl Text {
    /// An error about it. The value may be secret, so it is not told.
    pub fn wrong(&self, what: impl std::fmt::Display) -> anyhow::Error {
        anyhow::anyhow!("line {}: {}: {what}", self.line, self.key)
    }

    /// An error that tells the value.
    fn unknown(&self, known: &str) -> anyhow::Error {
        self.wrong(format_args!("{:?} is not known: give {known}", self.value))
    }
}

impl Source {
    /// Where it stands in the configuration.
    pub fn text(&self) -> &Text {
        match self {
            Self::Inline(text) | Self::File(text) => text,
        }
    }

    /// The file that it names.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Inline(_) => None,
            Self::File(path) => Some(PathBuf::from(&path.value)),
        }
    }
}

impl FromStr for Config {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some(root) = yaml::parse(text)? else { return Ok(Self::default()) };
        let root = Section::of(
            &root,
            "",
            &["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"],
        )?;
        let tls = root.section("tls_server_config", TLS_KEYS)?.map(|s| tls(&s));
        if let Some(limit) = root.section("rate_limit", &["interval", "burst"])? {
            refuse_limit(&limit)?;
        }
        let http = root.section("http_server_config", &["http2", "headers"])?;
        Ok(Self {
            tls: tls.transpose()?.flatten(),
            headers: http.map(|s| headers(&s)).transpose()?.unwrap_or_default(),
            users: users(&root)?,
        })
    }
}

const TLS_KEYS: &[&str] = &[
    "cert",
    "key",
    "client_ca",
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "cipher_suites",
    "curve_preferences",
    "min_version",
    "max_version",
    "prefer_server_cipher_suites",
    "client_allowed_sans",
];

fn tls(section: &Section) -> anyhow::Result<Option<Tls>> {
    if section.entries.is_empty() {
        return Ok(None);
    }
    let cert = section.source("cert", "cert_file")?;
    let key = section.source("key", "key_file")?;
    let client_ca = section.source("client_ca", "client_ca_file")?;
    let client_auth = section.text("client_auth_type")?;
    let tls = Tls {
        cert: cert.with_context(|| section.missing("cert_file (or cert)"))?,
        key: key.with_context(|| section.missing("key_file (or key)"))?,
        client_auth: client_auth.as_ref().map_or(Ok(ClientAuth::None), self::client_auth)?,
        client_ca,
        allowed_names: section.list("client_allowed_sans")?.iter().map(name).collect(),
        min_version: section.text("min_version")?,
        max_version: section.text("max_version")?,
        cipher_suites: section.list("cipher_suites")?,
        prefers_own_order: section.flag("prefer_server_cipher_suites")?.unwrap_or(true),
        curves: section.list("curve_preferences")?,
    };
    let has_policy = tls.client_auth != ClientAuth::None;
    if let Some(ca) = tls.client_ca.as_ref().filter(|_| !has_policy) {
        return Err(ca.text().wrong("it is for nothing without a client_auth_type"));
    }
    if tls.client_auth == ClientAuth::RequireAndVerify && tls.client_ca.is_none() {
        bail!(section.missing("client_ca_file, without which no client is let in"));
    }
    if !tls.allowed_names.is_empty() && !has_policy {
        bail!(
            section.missing("client_auth_type, without which client_allowed_sans is for nothing")
        );
    }
    Ok(Some(tls))
}

/// A name that certificates are compared with, addresses in the one way to write them.
fn name(text: &Text) -> String {
    text.value.parse().map_or_else(|_| text.value.clone(), |address: IpAddr| address.to_string())
}

fn client_auth(text: &Text) -> anyhow::Result<ClientAuth> {
    Ok(match &*text.value {
        "NoClientCert" => ClientAuth::None,
        "RequestClientCert" => ClientAuth::Request,
        // The older name of the same.
        "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
        "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
        "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
        _ => {
            return Err(text.unknown(
                "NoClientCert, RequestClientCert, RequireAnyClientCert, \
                 VerifyClientCertIfGiven or RequireAndVerifyClientCert",
            ));
        }
    })
}

/// Headers that may be set, and the values of those that have only few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

fn headers(http: &Section) -> anyhow::Result<HeaderMap> {
    // HTTP/2 is not offered, whatever stands there.
    http.flag("http2")?;
    let names = HEADERS.map(|(name, _)| name);
    let mut headers = HeaderMap::new();
    let Some(section) = http.section("headers", &names)? else { return Ok(headers) };
    for (name, values) in HEADERS {
        let Some(text) = section.text(name)? else { continue };
        if !values.is_empty() && !values.contains(&&*text.value) {
            return Err(text.unknown(&values.join(" or ")));
        }
        let value = HeaderValue::from_str(&text.value);
        let value = value.map_err(|_| text.wrong("it holds what no header may"))?;
        let name = HeaderName::from_bytes(name.as_bytes()).context("a name of HEADERS")?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn users(root: &Section) -> anyhow::Result<Vec<(String, Text)>> {
    let Some(node) = root.get("basic_auth_users") else { return Ok(Vec::new()) };
    let Value::Map(entries) = &node.value else {
        bail!(
            "line {}: basic_auth_users: give names and the bcrypt hashes of passwords",
            node.line
        );
    };
    let section = Section { path: "basic_auth_users".to_owned(), line: node.line, entries };
    let user = |(name, node): &(String, Node)| {
        let hash = section.text(name)?;
        let hash = hash.with_context(|| format!("line {}: {name}: no hash", node.line))?;
        if name.contains(':') {
            return Err(hash.wrong("a name that holds a colon can not be asked for"));
        }
        Ok((name.clone(), hash))
    };
    entries.iter().map(user).collect()
}

/// A limit of requests, which is not kept to: connections have their places.
fn refuse_limit(limit: &Section) -> anyhow::Result<()> {
    limit.text("burst")?;
    match limit.text("interval")? {
        Some(interval) if !["0", "0s"].contains(&&*interval.value) => Err(interval
            .wrong("requests are not limited by time: leave it out, see --web.max-connections")),
        _ => Ok(()),
    }
}

/// A map of which all keys are known.
struct Section<'n> {
    path: String,
    line: usize,
    entries: &'n [(String, Node)],
}

impl<'n> Section<'n> {
    fn of(node: &'n Node, path: &str, known: &[&str]) -> anyhow::Result<Self> {
        let entries: &[(String, Node)] = match &node.value {
            Value::Null => &[],
            Value::Map(entries) => entries,
            _ if path.is_empty() => bail!("line {}: give {}", node.line, known.join(", ")),
            _ => bail!("line {}: {path}: give {}", node.line, known.join(", ")),
        };
        let section = Self { path: path.to_owned(), line: node.line, entries };
        match entries.iter().find(|(key, _)| !known.contains(&&**key)) {
            Some((key, node)) => {
                bail!(
                    "line {}: {} is not known: give {}",
                    node.line,
                    section.key(key),
                    known.join(", ")
                )
            }
            None => Ok(section),
        }
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What stands there, unless that is nothing.
    fn get(&self, key: &str) -> Option<&'n Node> {
        let (_, node) = self.entries.iter().find(|(known, _)| known == key)?;
        (node.value != Value::Null).then_some(node)
    }

    fn section(&self, key: &str, known: &[&str]) -> anyhow::Result<Option<Section<'n>>> {
        self.get(key).map(|node| Section::of(node, &self.key(key), known)).transpose()
    }

    /// Text that is not empty.
    fn text(&self, key: &str) -> anyhow::Result<Option<Text>> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let text = self.text_of(key, node)?;
        Ok((!text.value.is_empty()).then_some(text))
    }

    fn text_of(&self, key: &str, node: &Node) -> anyhow::Result<Text> {
        let Value::Text(value) = &node.value else {
            bail!("line {}: {}: give one value", node.line, self.key(key));
        };
        Ok(Text { line: node.line, key: self.key(key), value: value.clone() })
    }

    fn list(&self, key: &str) -> anyhow::Result<Vec<Text>> {
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let Value::List(items) = &node.value else {
            bail!("line {}: {}: give a list", node.line, self.key(key));
        };
        items.iter().map(|item| self.text_of(key, item)).collect()
    }

    fn flag(&self, key: &str) -> anyhow::Result<Option<bool>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match &*text.value.to_ascii_lowercase() {
            "true" | "yes" | "on" => Ok(Some(true)),
            "false" | "no" | "off" => Ok(Some(false)),
            _ => Err(text.unknown("true or false")),
        }
    }

    fn source(&self, inline: &str, file: &str) -> anyhow::Result<Option<Source>> {
        match (self.text(inline)?, self.text(file)?) {
            (Some(_), Some(text)) => Err(text.wrong(format_args!("give it or {inline}, not both"))),
            (Some(text), None) => Ok(Some(Source::Inline(text))),
            (None, Some(text)) => Ok(Some(Source::File(text))),
            (None, None) => Ok(None),
        }
    }

    fn missing(&self, what: &str) -> String {
        format!("line {}: {}: give {what}", self.line, self.path)
    }
}
