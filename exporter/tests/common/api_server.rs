//! An API server that answers what a test says, over TLS.
#![allow(dead_code, reason = "each that uses it uses a part")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificates::Authority;
use super::common::daemon::PATIENCE;

/// A request, as far as it matters.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub token: String,
}

/// Who is asked.
pub type Client = StreamOwned<ServerConnection, TcpStream>;

type Answer = Arc<dyn Fn(&Request, &mut Client) -> io::Result<()> + Send + Sync>;

/// A running server, and a folder of credentials for it; the folder goes with the value.
pub struct ApiServer {
    pub address: SocketAddr,
    pub credentials: PathBuf,
    asked: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Answer>>,
}

impl ApiServer {
    /// Starts one.
    pub fn start(
        answer: impl Fn(&Request, &mut Client) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (pid, nth) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let credentials = std::env::temp_dir().join(format!("memgap-api-server-{pid}-{nth}"));
        fs::create_dir_all(&credentials).expect("a folder");
        let authority = Authority::new();
        fs::write(credentials.join("ca.crt"), authority.pem()).expect("a file");
        fs::write(credentials.join("token"), "token-1\n").expect("a file");
        let identity = authority.identity("127.0.0.1");
        let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .expect("they fit");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::<Mutex<Vec<Request>>>::default();
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Arc::new(answer)));
        let (asks, answers) = (Arc::clone(&asked), Arc::clone(&answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let (config, asks) = (Arc::clone(&config), Arc::clone(&asks));
                let answers = Arc::clone(&answers);
                thread::spawn(move || serve(stream, config, &asks, &answers));
            }
        });
        Self { address, credentials, asked, answer }
    }

    /// Answers otherwise from the next request on.
    pub fn answer(
        &self,
        answer: impl Fn(&Request, &mut Client) -> io::Result<()> + Send + Sync + 'static,
    ) {
        *self.answer.lock().expect("nobody panics") = Arc::new(answer);
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().expect("nobody panics").clone()
    }

    /// The arguments of an exporter that asks it.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            "--kubernetes.watch".to_owned(),
            "--kubernetes.node=worker-1".to_owned(),
            format!("--kubernetes.server={}", self.address),
            format!("--kubernetes.credentials={}", self.credentials.display()),
        ]
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.credentials);
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    asked: &Mutex<Vec<Request>>,
    answer: &Mutex<Answer>,
) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let connection = ServerConnection::new(config).expect("it is sound");
    let mut client = StreamOwned::new(connection, stream);
    let Ok(request) = read(&mut client) else { return };
    asked.lock().expect("nobody panics").push(request.clone());
    let answer = Arc::clone(&answer.lock().expect("nobody panics"));
    // Who asked may have had enough.
    if answer(&request, &mut client).is_ok() {
        client.conn.send_close_notify();
        let _ = client.flush();
    }
}

fn read(client: &mut Client) -> io::Result<Request> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let token = head.lines().find_map(|line| line.strip_prefix("Authorization: Bearer "));
    Ok(Request { path, token: token.unwrap_or_default().to_owned() })
}

/// Answers with a status and a body.
pub fn whole(client: &mut Client, status: u16, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Begins an answer in chunks.
pub fn begin(client: &mut Client) -> io::Result<()> {
    client.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
}

/// A chunk of one; the empty one ends it.
pub fn chunk(client: &mut Client, text: &str) -> io::Result<()> {
    write!(client, "{:x}\r\n{text}\r\n", text.len())?;
    client.flush()
}

/// Waits until the other side is gone.
pub fn hold(client: &mut Client) -> io::Result<()> {
    client.read_exact(&mut [0])
}
