//! The parsers of kernel text, over what a Kubernetes node on Linux 6.12 printed.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;

use memgap_kernel::source::{meminfo, memory_stat, smaps, statm, status};
use memgap_ledger::sample::CgroupVersion;
use memgap_reader::endpoint::exposition;
use memgap_reader::{Limits, read_endpoint};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PAGE: u64 = 4096;

/// A text of the captured node: a path below its root.
fn captured(path: &str) -> Vec<u8> {
    let node = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/kubernetes");
    std::fs::read(node.join(path)).expect("the fixture is part of the repository")
}

/// Benches a parser and makes sure that it takes the text.
fn bench<T, E: std::fmt::Debug>(
    c: &mut Criterion,
    name: &str,
    text: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, E>,
) {
    parse(text).expect("the captured text is well formed");
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function(name, |b| b.iter(|| parse(black_box(text))));
    group.finish();
}

/// 100 kB as a server with many routes exposes them.
fn exposition() -> Vec<u8> {
    let route = |n: usize| {
        format!(
            "http_request_duration_seconds_bucket{{method=\"GET\",route=\"/api/v1/items/{n}\",\
             code=\"200\",le=\"0.5\"}} {n}.25e+03\n"
        )
    };
    (0..1000).flat_map(|n| route(n).into_bytes()).collect()
}

fn parsers(c: &mut Criterion) {
    bench(c, "smaps", &captured("proc/219/smaps"), |text| smaps::parse(text, &[]));
    bench(c, "statm", &captured("proc/219/statm"), |text| statm::parse(text, PAGE));
    bench(c, "status", &captured("proc/219/status"), status::parse);
    bench(c, "meminfo", &captured("proc/meminfo"), meminfo::parse);
    let stat = captured("sys/fs/cgroup/system.slice/kubelet.service/memory.stat");
    let scrape = exposition();
    bench(c, "exposition", &scrape, |text| exposition::parse(text, false, |_| Ok(())));
    bench(c, "memory.stat", &stat, |text| memory_stat::parse(text, CgroupVersion::V2, 4096));
}

/// An endpoint that answers with the same text, over loopback, connection and all.
fn endpoint(c: &mut Criterion) {
    let mut text = exposition();
    text.extend(b"go_memstats_heap_inuse_bytes 1.073741824e+09\n");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let endpoint = format!("http://{address}/metrics").parse().expect("an address");
    let length = text.len() as u64;
    std::thread::spawn(move || {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        for mut peer in listener.incoming().flatten() {
            // The whole request is in one packet.
            let _ = peer.read(&mut [0; 1024]);
            let _ = peer.write_all(head.as_bytes()).and_then(|()| peer.write_all(&text));
        }
    });
    let mut group = c.benchmark_group("ask");
    group.throughput(Throughput::Bytes(length));
    let limits = Limits::default();
    group.bench_function("exposition", |b| {
        b.iter(|| read_endpoint(&endpoint, &limits).expect("it answers"));
    });
    group.finish();
}

criterion_group!(benches, parsers, endpoint);
criterion_main!(benches);
