//! A Rust program that tells its figures by memgap-beacon: 16 MiB, then twice as much.

use std::io::Write;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let beacon = memgap_beacon::publish().expect("statistics are on");
    let gauge = beacon.gauge("cache_bytes").expect("a name");
    let mut cache = Vec::new();
    for _ in 0..2 {
        cache.extend(vec![1u8; 16 << 20]);
        gauge.set(cache.len() as u64);
        let reported = beacon.refresh().expect("statistics are on");
        let (held, bytes) = (reported.allocated, cache.len());
        println!("ready allocated={held} active={} cache={bytes}", reported.active);
        std::io::stdout().flush().expect("the test listens");
        if std::io::stdin().read_line(&mut String::new()).is_ok_and(|n| n == 0) {
            return;
        }
    }
}
