//! A service with a cache, on jemalloc, that tells memgap what it holds. Run it, and
//! `memgap PID` beside it; it ends at the end of its input.

use std::io::Read;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let beacon = memgap_beacon::publish()?;
    let gauge = beacon.gauge("cache_bytes")?;

    let mut cache: Vec<Vec<u8>> = Vec::new();
    for _ in 0..1024 {
        cache.push(vec![1; 64 << 10]);
    }
    gauge.set(cache.iter().map(|entry| entry.len() as u64).sum());
    let reported = beacon.refresh()?;

    println!("memgap {}", std::process::id());
    println!("allocated {} bytes, of which the cache has most", reported.allocated);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
