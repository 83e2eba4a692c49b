//! Who is let in: TLS, certificates and passwords by a web configuration file, and sockets of
//! other kinds.

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/tls.rs"]
mod tls;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use certificates::{Authority, Identity};
use common::daemon::{Daemon, EXPORTER, PATIENCE, Response};
use common::network::{Network, SERVER};
use memgap_tests::rights::{Need, left_out};
use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tls::{ask, client};

const LOCALHOST: &str = "127.0.0.1";

/// "a:secret", as a request names them.
const SECRET: &str = "Authorization: Basic YTpzZWNyZXQ=\r\n";

/// A folder with a web configuration file; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("memgap-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// The file, which asks clients for certificates of the authority and for a password.
    fn write(&self, folder: &str, authority: &Authority, server: &Identity) {
        let folder = self.0.join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        let hash = bcrypt::hash("secret", 4).expect("a hash");
        let config = format!(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  \
             client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n\
             basic_auth_users:\n  a: {hash}\n\
             http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
        );
        for (name, text) in [
            ("web.yml", &config),
            ("server.pem", &server.cert),
            ("server.key", &server.key),
            ("ca.pem", &authority.pem()),
        ] {
            fs::write(folder.join(name), text).expect("a file");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::yield_now();
    }
}

#[test]
fn who_has_certificate_and_password_is_served_and_nobody_else() {
    let folder = Folder::new("mutual");
    let (authority, other) = (Authority::new(), Authority::new());
    folder.write("", &authority, &authority.identity(LOCALHOST));
    let daemon = Daemon::ready(&["--web.config.file", &folder.path("web.yml")]);
    let identity = authority.identity("prometheus");
    let known = client(&authority, Some(&identity));
    let of = |config: &_, path: &str, headers: &str| {
        ask(daemon.connect(), config, LOCALHOST, path, headers)
    };

    let served = of(&known, "/metrics", SECRET).expect("it is let in");
    assert_eq!((served.status, served.header("x-frame-options")), (200, "deny"));
    assert!(served.text().contains("memgap_host_ledger_bytes"));
    let wrong = "Authorization: Basic YTp3cm9uZw==\r\n";
    for (path, headers) in [("/metrics", ""), ("/metrics", wrong), ("/", ""), ("/none", "")] {
        let refused = of(&known, path, headers).expect("an answer");
        assert_eq!((refused.status, refused.header("x-frame-options")), (401, "deny"));
        assert!(refused.header("www-authenticate").starts_with("Basic"));
    }
    let health = of(&known, "/healthz", "").expect("an answer");
    assert_eq!((health.status, &*health.text()), (200, "ok\n"));
    for stranger in [client(&authority, None), client(&authority, Some(&other.identity("x")))] {
        assert!(of(&stranger, "/healthz", SECRET).is_err());
    }
    let mut plain = daemon.connect();
    write!(plain, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is taken");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    wait_until("who was refused is counted", || {
        let text = of(&known, "/metrics", SECRET).expect("it is let in").text();
        text.contains("reason=\"no_handshake\"")
    });
}

#[test]
fn files_that_change_are_read_again_and_what_is_wrong_changes_nothing() {
    let folder = Folder::new("reload");
    let (old, new) = (Authority::new(), Authority::new());
    // As Kubernetes shows a secret: links through one that is replaced.
    folder.write("..1", &old, &old.identity(LOCALHOST));
    symlink("..1", folder.0.join("..data")).expect("a link");
    for name in ["web.yml", "server.pem", "server.key", "ca.pem"] {
        symlink(Path::new("..data").join(name), folder.0.join(name)).expect("a link");
    }
    let swap = |to: &str| {
        symlink(to, folder.0.join("..next")).expect("a link");
        fs::rename(folder.0.join("..next"), folder.0.join("..data")).expect("it is replaced");
    };
    let daemon = Daemon::ready(&["--web.config.file", &folder.path("web.yml")]);
    let (old_client, new_client) = (
        client(&old, Some(&old.identity("prometheus"))),
        client(&new, Some(&new.identity("prometheus"))),
    );
    let status = |config| {
        ask(daemon.connect(), config, LOCALHOST, "/metrics", SECRET).ok().map(|r| r.status)
    };
    assert_eq!((status(&old_client), status(&new_client)), (Some(200), None));

    folder.write("..2", &new, &new.identity(LOCALHOST));
    fs::write(folder.0.join("..2/web.yml"), "tls_server_config:\n  cert: x\n").expect("a file");
    swap("..2");
    let said = daemon.wait_for_line("stays in force");
    assert!(said.contains("line 1: tls_server_config: give key_file"), "{said}");
    assert_eq!((status(&old_client), status(&new_client)), (Some(200), None));

    folder.write("..3", &new, &new.identity(LOCALHOST));
    swap("..3");
    daemon.wait_for_line("is in force");
    assert_eq!((status(&old_client), status(&new_client)), (None, Some(200)));
}

#[test]
fn a_server_that_is_new_lets_in_whom_the_old_one_did() {
    let folder = Folder::new("again");
    let hash = bcrypt::hash("secret", 4).expect("a hash");
    fs::write(folder.0.join("web.yml"), format!("basic_auth_users: {{a: {hash}}}\n")).expect("one");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = port.local_addr().expect("its address").to_string();
    drop(port);
    let config = folder.path("web.yml");
    let daemon = Daemon::ready(&["--web.listen-address", &address, "--web.config.file", &config]);
    let server = daemon.process("memgap-server");
    let pid = i32::try_from(server).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::KILL).expect("it is the exporter's");
    daemon.wait_for_line(&format!("address={address}"));
    let status = |headers| {
        let stream = TcpStream::connect(&address).ok()?;
        Some(Daemon::ask_over(stream, "GET", "/metrics", headers).status)
    };
    assert_eq!(status(""), Some(401));
    wait_until("a new server has a collection", || status(SECRET) == Some(200));
}

#[test]
fn a_file_that_is_wrong_from_the_start_is_one_line() {
    let folder = Folder::new("wrong");
    fs::write(folder.0.join("web.yml"), "basic_auth_users:\n  a: secret\n").expect("a file");
    for (file, expected) in [
        ("web.yml", "web.yml: line 2: basic_auth_users.a: "),
        ("none.yml", "none.yml: can not read "),
    ] {
        let output = Command::new(EXPORTER)
            .args(["--web.listen-address", "127.0.0.1:0", "--web.config.file", &folder.path(file)])
            .env_remove("RUST_BACKTRACE")
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && !said.contains("secret"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// Prometheus' own tool says of each file what the exporter says of it.
#[test]
fn promtool_agrees_on_what_is_right() {
    let folder = Folder::new("promtool");
    let authority = Authority::new();
    folder.write("", &authority, &authority.identity(LOCALHOST));
    let hash = bcrypt::hash("secret", 4).expect("a hash");
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";
    let with = |more: &str| format!("{tls}  {more}\n");
    let header = |more: &str| format!("http_server_config:\n  headers:\n    {more}\n");
    let configs = [
        String::new(),
        "tls_server_config:\n".to_owned(),
        "x\n".to_owned(),
        "x: y\n".to_owned(),
        tls.to_owned(),
        with("cert_filse: x"),
        with("key_file: server.key"),
        with("client_auth_type: x"),
        with("client_auth_type: RequestClientCert"),
        with("client_auth_type: RequireAnyClientCert"),
        with("client_auth_type: VerifyClientCertIfGiven"),
        with("client_ca_file: ca.pem"),
        with("client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert"),
        with("client_ca_file: none\n  client_auth_type: RequireAndVerifyClientCert"),
        with("min_version: TLS10"),
        with("min_version: TLS1"),
        with("max_version: TLS12"),
        with("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]"),
        with("cipher_suites: [TLS_AES_128_GCM_SHA2048]"),
        with("curve_preferences: [CurveP521, X25519]"),
        with("curve_preferences: [x]"),
        with("prefer_server_cipher_suites: off"),
        with("prefer_server_cipher_suites: x"),
        tls.replace("server.key", "none"),
        tls.replace("server.key", "server.pem"),
        tls.replace("server.pem", "''"),
        "tls_server_config:\n  cert_file: server.pem\n".to_owned(),
        header("X-Frame-Options: sameorigin"),
        header("X-Frame-Options: SAMEORIGIN"),
        header("X-XSS-Protection: 1"),
        header("Server: x"),
        "http_server_config:\n  http2: false\n".to_owned(),
        "http_server_config:\n  http3: false\n".to_owned(),
        format!("basic_auth_users:\n  a: {hash}\n"),
        "basic_auth_users:\n  a: secret\n".to_owned(),
        "basic_auth_users: secret\n".to_owned(),
    ];
    let mut paths = Vec::new();
    for (number, config) in configs.iter().enumerate() {
        paths.push(folder.0.join(format!("{number}.yml")));
        fs::write(&paths[number], config).expect("a file");
    }
    let checked = Command::new("promtool").args(["check", "web-config"]).args(&paths).output();
    let checked = checked.expect("promtool starts: install the package prometheus");
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    for (path, config) in paths.iter().zip(&configs) {
        let verdict = said.lines().find(|line| line.starts_with(&*path.to_string_lossy()));
        let is_right = verdict.expect("one for each").ends_with(" SUCCESS");
        let ours = memgap_exporter::access::watch::check(path);
        assert_eq!(ours.is_ok(), is_right, "{config}{verdict:?}: {:?}", ours.err());
    }
}

#[test]
fn handshakes_that_do_not_end_leave_room_for_others() {
    if left_out(Need::Mounts) {
        return;
    }
    let folder = Folder::new("handshakes");
    let authority = Authority::new();
    folder.write("", &authority, &authority.identity(LOCALHOST));
    let network = Network::enter();
    let daemon = Daemon::ready(&["--web.config.file", &folder.path("web.yml")]);
    let address: SocketAddr = daemon.address.parse().expect("an address");
    let known = client(&authority, Some(&authority.identity("prometheus")));
    // The first part of a handshake, to which each adds as much as it likes.
    let name = ServerName::try_from(LOCALHOST).expect("a name");
    let mut hello = Vec::new();
    let mut connection = ClientConnection::new(known.clone(), name).expect("a client");
    connection.write_tls(&mut hello).expect("there is room");
    let stuck: Vec<_> = (0..400)
        .map(|number| {
            let from = Ipv4Addr::new(10, 9, 0, u8::try_from(number % 4).expect("few") + 1);
            let mut stream = network.connect(from, address).expect("it accepts");
            let _ = stream.write_all(&hello[..number * hello.len() / 399]);
            stream
        })
        .collect();
    let scraper = Ipv4Addr::new(10, 9, 1, 1);
    for from in [scraper, SERVER, Ipv4Addr::new(10, 9, 0, 1)].repeat(5) {
        let stream = network.connect(from, address).expect("it accepts");
        let answer = ask(stream, &known, LOCALHOST, "/metrics", SECRET);
        assert_eq!(answer.expect("it is let in").status, 200, "{from}");
    }
    drop(stuck);
}

#[test]
fn it_listens_on_a_socket_in_the_file_system() {
    let folder = Folder::new("socket");
    let path = folder.path("exporter.sock");
    // What one that is gone has left.
    drop(UnixListener::bind(&path).expect("a socket"));
    let daemon = Daemon::start(&["--web.listen-address", &format!("unix:{path}")]);
    daemon.wait_for_line("ready");
    let mut stream = UnixStream::connect(&path).expect("it listens");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert_eq!(Response::read(&answer).status, 200);
    // One that is in use, and what is no socket, stay.
    let file = folder.path("file");
    fs::write(&file, "x").expect("a file");
    for taken in [&path, &file] {
        let output = Command::new(EXPORTER)
            .args(["--web.listen-address", &format!("unix:{taken}")])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(taken.as_str()) && output.status.code() == Some(1), "{said}");
    }
    assert!(UnixStream::connect(&path).is_ok() && fs::read(&file).is_ok());
}

#[test]
fn it_takes_the_sockets_that_systemd_passes_and_its_reader_does_not() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = port.local_addr().expect("its address").to_string();
    drop(port);
    let mut systemd = Command::new("systemd-socket-activate");
    systemd.args(["--listen", &address, EXPORTER, "--web.systemd-socket"]);
    let waker = address.clone();
    // It starts the exporter when somebody connects.
    let woken = std::thread::spawn(move || {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(stream) = TcpStream::connect(&waker) {
                return stream;
            }
            assert!(Instant::now() < end, "nobody listens");
            std::thread::yield_now();
        }
    });
    let daemon = Daemon::start_by(&mut systemd, &[]);
    assert_eq!(daemon.address, address);
    daemon.wait_for_line("ready");
    assert_eq!(daemon.get("/metrics").status, 200);
    drop(woken.join().expect("it connects"));
    let sockets = |process| {
        let folder = format!("/proc/{}/fd", daemon.process(process));
        let files = fs::read_dir(folder).expect("it runs").filter_map(Result::ok);
        let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.map(|target| target.display().to_string()).collect::<Vec<_>>()
    };
    let listening = format!("socket:[{}]", inode(&address));
    assert!(sockets("memgap-server").contains(&listening));
    assert!(!sockets("memgap-reader").contains(&listening));
}

#[test]
fn without_sockets_that_are_passed_it_does_not_start() {
    let output = Command::new(EXPORTER).arg("--web.systemd-socket").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("0 sockets were passed") && output.status.code() == Some(1), "{said}");
}

/// The inode of the socket that listens at an IPv4 address of this machine.
fn inode(address: &str) -> String {
    let address: SocketAddr = address.parse().expect("an address");
    let port = format!(":{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("procfs is mounted");
    let line = table.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // 0A: it listens.
        (words.get(1)?.ends_with(&port) && *words.get(3)? == "0A").then(|| words[9].to_owned())
    });
    line.expect("it listens")
}
