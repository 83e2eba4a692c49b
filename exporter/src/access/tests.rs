use std::collections::BTreeSet;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio_rustls::TlsConnector;

use super::*;
use certificates::{Authority, Identity};

#[path = "../../tests/common/certificates.rs"]
mod certificates;

/// What a configuration makes, with a server's certificate and an authority in its files.
fn access(authority: &Authority, config: &str) -> anyhow::Result<Access> {
    let server = authority.identity("localhost");
    Access::of(&Contents {
        config: config.as_bytes().to_vec(),
        cert: server.cert.into_bytes(),
        key: server.key.into_bytes(),
        client_ca: authority.pem().into_bytes(),
    })
}

const TLS: &str = "tls_server_config:\n  cert_file: a\n  key_file: b\n";

#[test]
fn what_is_right_is_taken() {
    let authority = Authority::new();
    let hash = bcrypt::hash("secret", 4).expect("a hash");
    for config in [
        String::new(),
        "# nothing\n".to_owned(),
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\n".to_owned(),
        TLS.to_owned(),
        format!("{TLS}  min_version: TLS13\n  max_version: TLS13\n"),
        format!("{TLS}  client_auth_type: VerifyClientCertIfGiven\n"),
        format!("{TLS}  client_auth_type: RequireClientCert\n"),
        format!(
            "{TLS}  curve_preferences: [CurveP256, X25519]\n  prefer_server_cipher_suites: no\n"
        ),
        format!(
            "{TLS}  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n"
        ),
        format!("{TLS}http_server_config:\n  http2: false\n"),
        format!("basic_auth_users:\n  a: {hash}\n  b: '{}'\n", hash.replacen("2b", "2y", 1)),
        "rate_limit:\n  interval: 0\n  burst: 0\n".to_owned(),
    ] {
        let taken = access(&authority, &config).map(|access| access.notes);
        assert_eq!(taken.expect(&config), Vec::<String>::new(), "{config}");
    }
}

#[test]
fn what_is_known_and_not_offered_is_said() {
    let config = format!(
        "{TLS}  min_version: TLS10\n  curve_preferences: [CurveP521, CurveP256]\n  \
         cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_AES_128_GCM_SHA256]\n"
    );
    let notes = access(&Authority::new(), &config).expect("it is right").notes;
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn what_is_wrong_is_refused_by_line_and_key() {
    let authority = Authority::new();
    let user = |hash: &str| format!("basic_auth_users:\n  a: {hash}\n");
    let with = |more: &str| format!("{TLS}  {more}\n");
    for (config, line, key) in [
        ("TLS".to_owned(), 1, "tls_server_config"),
        ("tls_server_config: x\n".to_owned(), 1, "tls_server_config"),
        ("tls_server_confg:\n  cert_file: a\n".to_owned(), 1, "tls_server_confg"),
        ("\ntls_server_config:\n  cert_filse: a\n".to_owned(), 3, "tls_server_config.cert_filse"),
        ("tls_server_config:\n  cert_file: ''\n  key_file: b\n".to_owned(), 1, "cert_file"),
        ("tls_server_config:\n  cert_file: a\n  key_file: \"\"\n".to_owned(), 1, "key_file"),
        ("tls_server_config:\n  min_version: TLS13\n".to_owned(), 1, "cert_file"),
        (with("cert: x"), 2, "cert_file"),
        (with("cert_file: c"), 4, "cert_file"),
        (with("client_auth_type: x"), 4, "client_auth_type"),
        (with("client_auth_type: RequireAndVerifyClientCert"), 1, "client_ca_file"),
        (with("client_ca_file: c"), 4, "client_ca_file"),
        (with("client_allowed_sans: [a]"), 1, "client_auth_type"),
        (with("client_allowed_sans: a"), 4, "client_allowed_sans"),
        (with("min_version: TLS111"), 4, "min_version"),
        (with("max_version: TLS11"), 4, "max_version"),
        (with("min_version: TLS13\n  max_version: TLS12"), 5, "max_version"),
        (with("cipher_suites:\n  - TLS_X"), 5, "cipher_suites"),
        (with("max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]"), 5, "cipher_suites"),
        (with("curve_preferences: [CurveP257]"), 4, "curve_preferences"),
        (with("curve_preferences: [CurveP521]"), 4, "curve_preferences"),
        (with("prefer_server_cipher_suites: maybe"), 4, "prefer_server_cipher_suites"),
        ("http_server_config:\n  headers:\n    Content-Type: a\n".to_owned(), 3, "Content-Type"),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: a\n".to_owned(),
            3,
            "X-Frame-Options",
        ),
        (
            "http_server_config:\n  headers:\n    X-XSS-Protection: \"a\\nb\"\n".to_owned(),
            3,
            "X-XSS-Protection",
        ),
        (user("doe"), 2, "basic_auth_users.a"),
        (user(""), 2, "a"),
        (user(&format!("$2b$31${}", ".".repeat(53))), 2, "basic_auth_users.a"),
        (user(&format!("$2b$03${}", ".".repeat(53))), 2, "basic_auth_users.a"),
        ("basic_auth_users: [a]\n".to_owned(), 1, "basic_auth_users"),
        ("rate_limit:\n  interval: 1s\n".to_owned(), 2, "rate_limit.interval"),
    ] {
        let error = access(&authority, &config).err().unwrap_or_else(|| panic!("taken: {config}"));
        let error = format!("{error:#}");
        assert!(error.starts_with(&format!("line {line}: ")) && error.contains(key), "{error}");
    }
}

#[test]
fn pem_that_is_none_is_refused_by_the_key_that_names_it() {
    let authority = Authority::new();
    let (ours, others) = (authority.identity("localhost"), authority.identity("localhost"));
    let config = format!("{TLS}  client_ca_file: c\n  client_auth_type: VerifyClientCertIfGiven\n");
    let good = Contents {
        config: config.into_bytes(),
        cert: ours.cert.clone().into_bytes(),
        key: ours.key.into_bytes(),
        client_ca: authority.pem().into_bytes(),
    };
    assert!(Access::of(&good).is_ok());
    let (cert, key) = (ours.cert.into_bytes(), others.key.into_bytes());
    for (bad, what) in [
        (Contents { cert: Vec::new(), ..good.clone() }, "line 2: tls_server_config.cert_file: "),
        (Contents { cert: b"x".to_vec(), ..good.clone() }, "line 2: "),
        (Contents { key: cert, ..good.clone() }, "line 3: tls_server_config.key_file: "),
        (Contents { key, ..good.clone() }, "line 3: "),
        (Contents { client_ca: Vec::new(), ..good.clone() }, "line 4: "),
    ] {
        let error = format!("{:#}", Access::of(&bad).err().expect(what));
        assert!(error.starts_with(what), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
}

#[test]
fn files_are_found_beside_the_configuration_and_have_bounds() {
    let folder = std::env::temp_dir().join(format!("memgap-access-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let config = folder.join("web.yml");
    let server = Authority::new().identity("localhost");
    std::fs::write(&config, TLS).expect("a file");
    std::fs::write(folder.join("a"), &server.cert).expect("a file");
    let lacking = Contents::read(&config).err().expect("no key").to_string();
    std::fs::write(folder.join("b"), &server.key).expect("a file");
    let whole = Contents::read(&config).map(|contents| Access::of(&contents).is_ok());
    std::fs::write(folder.join("b"), vec![b'x'; (1 << 20) + 1]).expect("a file");
    let large = Contents::read(&config).err().expect("too large").to_string();
    std::fs::remove_dir_all(&folder).expect("it is ours");
    assert!(lacking.starts_with("line 3: tls_server_config.key_file: can not read "), "{lacking}");
    assert!(whole.expect("both are there"));
    assert!(large.contains("holds more than"), "{large}");
    assert!(Contents::read(&config).err().expect("it is gone").to_string().contains("web.yml"));
}

/// Whether a server with this configuration takes a client.
async fn takes(
    authority: &Authority,
    config: &str,
    client: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> bool {
    let access = access(authority, config).expect("it is right");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM"))
        .expect("one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let builder = builder.expect("versions").with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(Identity { cert, key }) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(vec![cert], key).expect("they fit")
        }
    };
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").expect("a name");
    let (accepted, _) =
        tokio::join!(access.tls.expect("it has TLS").accept(ours), connector.connect(name, theirs));
    accepted.is_ok()
}

#[tokio::test]
async fn clients_are_asked_for_what_the_type_says() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (known, foreign) = (authority.identity("client"), other.identity("client"));
    let ca = "client_ca_file: c";
    for (auth, more, expected) in [
        ("NoClientCert", "", [true, true, true]),
        ("RequestClientCert", "", [true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true]),
        ("VerifyClientCertIfGiven", ca, [true, true, false]),
        ("VerifyClientCertIfGiven", "", [true, false, false]),
        ("RequireAndVerifyClientCert", ca, [false, true, false]),
    ] {
        let config = format!("{TLS}  client_auth_type: {auth}\n  {more}\n");
        for version in [&TLS12, &TLS13] {
            let clients = [None, Some(&known), Some(&foreign)];
            for (client, expected) in clients.into_iter().zip(expected) {
                let taken = takes(&authority, &config, client, &[version]).await;
                assert_eq!(taken, expected, "{config}{}", client.map_or("none", |c| &c.cert));
            }
        }
    }
}

#[tokio::test]
async fn a_client_may_have_the_very_certificate_that_is_trusted() {
    let authority = Authority::new();
    let itself = authority.itself();
    for auth in ["VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] {
        let config = format!("{TLS}  client_auth_type: {auth}\n  client_ca_file: c\n");
        assert!(takes(&authority, &config, Some(&itself), &[&TLS12]).await);
        assert!(takes(&authority, &config, Some(&itself), &[&TLS13]).await);
        let other = Authority::new().itself();
        assert!(!takes(&authority, &config, Some(&other), &[&TLS13]).await);
    }
}

#[tokio::test]
async fn clients_have_one_of_the_names() {
    let authority = Authority::new();
    let config = |names: &str| {
        format!(
            "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: c\n  \
             client_allowed_sans: [{names}]\n"
        )
    };
    let named = authority.identity("prometheus.example");
    let address = authority.identity("fd00::1");
    for (client, names, expected) in [
        (&named, "a, prometheus.example", true),
        (&named, "a, example, '*.example'", false),
        (&address, "'FD00:0::1'", true),
        (&address, "'fd00::2'", false),
    ] {
        let taken = takes(&authority, &config(names), Some(client), &[&TLS13]).await;
        assert_eq!(taken, expected, "{names}");
    }
}

#[tokio::test]
async fn versions_are_those_that_stand_there() {
    let authority = Authority::new();
    for (config, expected) in [
        ("", [true, true]),
        ("min_version: TLS13", [false, true]),
        ("max_version: TLS12", [true, false]),
    ] {
        let config = format!("{TLS}  {config}\n");
        for (version, expected) in [&TLS12, &TLS13].into_iter().zip(expected) {
            assert_eq!(takes(&authority, &config, None, &[version]).await, expected, "{config}");
        }
    }
}

#[tokio::test]
async fn who_has_the_password_is_let_in_and_remembered() {
    use axum::http::HeaderValue;
    use axum::http::header::AUTHORIZATION;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    let hash = bcrypt::hash("se:cret", 4).expect("a hash");
    let access = access(&Authority::new(), &format!("basic_auth_users:\n  a: {hash}\n"));
    let passwords = Passwords::start(|| Ok(())).expect("a thread");
    let mut visitor = Visitor {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        access: Arc::new(access.expect("it is right")),
        passwords: Some(passwords),
    };
    let with = |value: String| {
        let value = HeaderValue::from_str(&value).expect("a header");
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    };
    let basic = |pair: &str| with(format!("Basic {}", STANDARD.encode(pair)));
    let right = basic("a:se:cret");
    assert_eq!(visitor.admit(&right).await, Ok(()));
    let wrong = ["a:se", "a:", "b:se:cret", ":se:cret", "a"].map(basic);
    for headers in &wrong {
        assert_eq!(visitor.admit(headers).await, Err(Refused::Unknown));
    }
    for bad in ["", "Basic", "Basic ***", "Bearer YTpzZTpjcmV0"] {
        assert_eq!(visitor.admit(&with(bad.to_owned())).await, Err(Refused::Unknown), "{bad}");
    }
    assert_eq!(visitor.admit(&HeaderMap::new()).await, Err(Refused::Unknown));
    // What is remembered needs nobody who compares.
    visitor.passwords = None;
    assert_eq!(visitor.admit(&right).await, Ok(()));
    assert_eq!(visitor.admit(&wrong[0]).await, Err(Refused::Unknown));
    assert_eq!(visitor.admit(&basic("a:new")).await, Err(Refused::Busy));
}

#[tokio::test]
async fn a_client_that_guesses_leaves_room_in_the_queue() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    // A thread that compares nothing yet.
    let wait = move || {
        let _ = held.recv();
        Ok(())
    };
    let passwords = Passwords::start(wait).expect("a thread");
    let hash = bcrypt::hash("x", 4).expect("a hash");
    let client = |last: u8| IpAddr::from([10, 0, 0, last]);
    let ask = |last: u8| {
        let (passwords, hash) = (passwords.clone(), hash.clone());
        tokio::spawn(async move { passwords.is(client(last), b"x", &hash).await })
    };
    let guesses: Vec<_> = (0..8).map(|_| ask(1)).collect();
    let others: Vec<_> = (2..20).map(ask).collect();
    tokio::task::yield_now().await;
    drop(release);
    let mut answers = Vec::new();
    for asked in guesses.into_iter().chain(others) {
        answers.push(asked.await.expect("no panic"));
    }
    let served = |answers: &[_]| answers.iter().filter(|a: &&Result<_, _>| a.is_ok()).count();
    // Two of the one that guesses, and as many others as the queue has room for.
    assert_eq!((served(&answers[..8]), served(&answers[8..])), (2, 14));
    let found: BTreeSet<_> = answers.iter().flatten().collect();
    assert_eq!(found, BTreeSet::from([&true]));
}
