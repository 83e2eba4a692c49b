//! What the exporter is told: its configuration, the web configuration with its certificates,
//! and messages between its processes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memgap_exporter::access::Access;
use memgap_exporter::access::files::Contents;
use memgap_exporter::channel;
use memgap_exporter::config::file;
use memgap_fuzz::{choose, two};

fuzz_target!(|input: &[u8]| {
    let Some((which, text)) = choose(input, 5) else { return };
    match which {
        0 => settings(text),
        1 | 2 => web(text),
        3 => certificates(text),
        _ => {
            let _ = channel::understand(text);
        }
    }
});

/// Every fault names a line of the file, or none.
fn settings(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let lines = text.split('\n').count();
    match file::parse(text) {
        Ok(entries) => assert!(entries.iter().all(|entry| (1..=lines).contains(&entry.line))),
        Err(faults) => {
            assert!(!faults.is_empty());
            let is_in = |line: &Option<usize>| line.is_none_or(|line| (1..=lines).contains(&line));
            assert!(faults.iter().all(|(line, _)| is_in(line)), "{faults:?}");
        }
    }
}

fn web(text: &[u8]) {
    let contents = Contents { config: text.to_vec(), ..Contents::default() };
    if let Err(error) = Access::of(&contents) {
        assert!(!format!("{error:#}").is_empty());
    }
}

/// A certificate, and after a zero byte a key.
fn certificates(text: &[u8]) {
    let (cert, key) = two(text);
    let config = b"tls_server_config: {cert_file: c, key_file: k, client_ca_file: a, \
        client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [a]}";
    let contents = Contents {
        config: config.to_vec(),
        cert: cert.to_vec(),
        key: key.to_vec(),
        client_ca: cert.to_vec(),
    };
    let _ = Access::of(&contents);
}
