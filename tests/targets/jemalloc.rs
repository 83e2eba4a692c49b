//! A Rust program on jemalloc that says what jemalloc itself says: 64 MiB in
//! small and large pieces, then every second piece freed, then all.

use std::io::{BufRead, Write};

use tikv_jemalloc_ctl::{Result, epoch, stats};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for size in [512, 8 << 10, 512 << 10, 4 << 20] {
        pieces.extend((0..(16 << 20) / size).map(|_| vec![1; size]));
    }
    ready();
    let mut keep = false;
    pieces.retain(|_| {
        keep = !keep;
        keep
    });
    ready();
    drop(pieces);
    ready();
}

fn ready() {
    let figures = figures().expect("jemalloc keeps statistics");
    let word = figures.map(|(name, bytes)| format!("{name}={bytes}")).join(" ");
    let mut output = std::io::stdout().lock();
    writeln!(output, "ready {word}").expect("the test listens");
    output.flush().expect("the test listens");
    // At the end of its input it ends: nobody is left to serve.
    if std::io::stdin().lock().read_line(&mut String::new()).is_ok_and(|n| n == 0) {
        std::process::exit(0);
    }
}

fn figures() -> Result<[(&'static str, usize); 4]> {
    epoch::advance()?;
    Ok([
        ("allocated", stats::allocated::read()?),
        ("active", stats::active::read()?),
        ("metadata", stats::metadata::read()?),
        ("resident", stats::resident::read()?),
    ])
}
