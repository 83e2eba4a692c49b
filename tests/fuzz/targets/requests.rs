//! Bytes of a client: each is answered or the connection closed, and a refusal is one of HTTP.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use libfuzzer_sys::fuzz_target;
use memgap_exporter::access::files::Contents;
use memgap_exporter::access::{Access, Visitor};
use memgap_exporter::routes::{self, Answers};
use memgap_fuzz::choose;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// The longest head of a request, as the server has it.
const MAX_HEAD: usize = 16 << 10;

/// More than the answers to all requests that fit an input.
const ROOM: usize = 1 << 20;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("an event loop"));

/// Without users, and with one whose password nobody knows.
static ACCESS: LazyLock<[Arc<Access>; 2]> = LazyLock::new(|| {
    let hash = "$2b$04$......................O1s4k9FbJ0s4S5g1CkAt6l5eRjyLbV2";
    let users = format!("basic_auth_users: {{alice: \"{hash}\"}}");
    let of = |text: &str| {
        let contents = Contents { config: text.as_bytes().to_vec(), ..Contents::default() };
        Arc::new(Access::of(&contents).expect("it is in form"))
    };
    [of(""), of(&users)]
});

fuzz_target!(|input: &[u8]| {
    let Some((which, bytes)) = choose(input, 2) else { return };
    let answer = RUNTIME.block_on(converse(bytes, Arc::clone(&ACCESS[which])));
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{answer:?}");
});

async fn converse(bytes: &[u8], access: Arc<Access>) -> Vec<u8> {
    let (_publish, published) = watch::channel(None);
    let (_set, interval) = watch::channel(Duration::from_secs(15));
    let (_publish, documents) = watch::channel(None);
    let documents = Some(documents);
    let answers = Answers { published, documents, started: Instant::now(), interval };
    let routers = routes::routers(answers, "/metrics");
    let tower = TowerToHyperService::new(routers.full);
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let visitor = Visitor { address, access, passwords: None };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(visitor.clone());
        tower.call(request)
    });
    let (mut client, server) = tokio::io::duplex(ROOM);
    let sent = client.write_all(bytes).await.and(client.shutdown().await);
    let connection = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(server), service)
        .await;
    let _ = (sent, connection);
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    answer
}
