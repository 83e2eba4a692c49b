//! TLS as the configuration wants it. Names of versions, suites and curves are Go's.

use std::sync::Arc;

use rustls::crypto::ring::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::clients;
use super::config::{Source, Text, Tls};
use super::files::Contents;

/// Sessions that clients may come back to. One holds the client's certificates.
const SESSIONS: usize = 64;

/// Makes it. `notes` gets what is known and not offered.
pub fn server(
    tls: &Tls,
    contents: &Contents,
    notes: &mut Vec<String>,
) -> anyhow::Result<ServerConfig> {
    let versions = versions(tls, notes)?;
    let provider = CryptoProvider {
        cipher_suites: suites(tls, &versions, notes)?,
        kx_groups: curves(&tls.curves, notes)?,
        ..ring::default_provider()
    };
    let provider = Arc::new(provider);
    let roots = tls.client_ca.as_ref().map(|ca| certificates(ca, &contents.client_ca));
    let verifier = clients::verifier(tls, roots.transpose()?.unwrap_or_default(), &provider)?;
    let chain = certificates(&tls.cert, &contents.cert)?;
    let key = PrivateKeyDer::from_pem_slice(bytes(&tls.key, &contents.key));
    let key = key.map_err(|_| tls.key.text().wrong("no private key in PEM is there"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| tls.key.text().wrong(format_args!("it is not used: {error}")))?;
    config.ignore_client_order = tls.prefers_own_order;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(config)
}

/// The bytes that a source stands for, where its file's are given.
fn bytes<'b>(source: &'b Source, file: &'b [u8]) -> &'b [u8] {
    match source {
        Source::Inline(text) => text.value.as_bytes(),
        Source::File(_) => file,
    }
}

fn certificates(source: &Source, file: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(bytes(source, file));
    let all: Result<Vec<_>, _> = all.collect();
    let all = all.map_err(|error| source.text().wrong(error))?;
    if all.is_empty() {
        return Err(source.text().wrong("no certificate in PEM is there"));
    }
    Ok(all)
}

/// Go's names of versions, by their age.
const VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];

fn versions(
    tls: &Tls,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<&'static SupportedProtocolVersion>> {
    let age = |text: &Text| {
        let place = VERSIONS.iter().position(|name| *name == text.value);
        place.ok_or_else(|| {
            text.wrong(format_args!("unknown TLS version: give {}", VERSIONS.join(", ")))
        })
    };
    let oldest = tls.min_version.as_ref().map_or(Ok(2), age)?;
    let newest = tls.max_version.as_ref().map_or(Ok(3), age)?;
    let offered = [(2, &TLS12), (3, &TLS13)].into_iter();
    let offered = offered.filter(|(age, _)| (oldest..=newest).contains(age));
    let offered: Vec<_> = offered.map(|(_, version)| version).collect();
    if let Some(text) = tls.max_version.as_ref().or(tls.min_version.as_ref())
        && offered.is_empty()
    {
        return Err(text.wrong("no version that is offered is left: TLS12 and TLS13 are"));
    }
    if let Some(text) = tls.min_version.as_ref().filter(|_| oldest < 2) {
        notes.push(format!(
            "line {}: {} is not offered, TLS12 is the oldest",
            text.line, text.value
        ));
    }
    Ok(offered)
}

/// Suites that Go knows beside those of TLS 1.2 that are offered: of TLS 1.3, which are offered
/// whatever stands there, and older ones without an authenticated cipher.
const OTHER_SUITES: [&str; 7] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

fn suites(
    tls: &Tls,
    versions: &[&'static SupportedProtocolVersion],
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<SupportedCipherSuite>> {
    let Some(first) = tls.cipher_suites.first() else {
        return Ok(ring::DEFAULT_CIPHER_SUITES.to_vec());
    };
    let mut suites: Vec<_> =
        ring::DEFAULT_CIPHER_SUITES.iter().filter(|s| s.tls13().is_some()).copied().collect();
    for text in &tls.cipher_suites {
        let has_name = |s: &&SupportedCipherSuite| s.suite().as_str() == Some(&*text.value);
        if let Some(suite) = ring::DEFAULT_CIPHER_SUITES.iter().find(has_name) {
            suites.push(*suite);
        } else if !OTHER_SUITES.contains(&&*text.value) {
            return Err(text.wrong(format_args!("unknown cipher suite {:?}", text.value)));
        } else if text.value.ends_with("_CBC_SHA") {
            notes.push(format!("line {}: {} is not offered", text.line, text.value));
        }
    }
    let usable = |suite: &SupportedCipherSuite| versions.contains(&suite.version());
    if !suites.iter().any(usable) {
        return Err(first.wrong("none of these suites is offered with this max_version"));
    }
    Ok(suites)
}

fn curves(
    names: &[Text],
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<&'static dyn SupportedKxGroup>> {
    let Some(first) = names.first() else { return Ok(ring::ALL_KX_GROUPS.to_vec()) };
    let mut groups = Vec::new();
    for text in names {
        match &*text.value {
            "X25519" => groups.push(kx_group::X25519),
            "CurveP256" => groups.push(kx_group::SECP256R1),
            "CurveP384" => groups.push(kx_group::SECP384R1),
            "CurveP521" => notes.push(format!("line {}: CurveP521 is not offered", text.line)),
            _ => return Err(text.wrong(format_args!("unknown curve {:?}", text.value))),
        }
    }
    if groups.is_empty() {
        return Err(first.wrong("none is offered: X25519, CurveP256 and CurveP384 are"));
    }
    Ok(groups)
}
