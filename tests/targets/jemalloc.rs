//! A Rust program on jemalloc that says what jemalloc itself says: 64 MiB in
//! small and large pieces, then every second piece freed, then all. While it says
//! so and waits it allocates nothing.

use std::io::Write;
use std::os::fd::AsFd;

use tikv_jemalloc_ctl::{Result, epoch, raw, stats};

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
    // Their buffers are made before the figures are.
    let (input, output) = (std::io::stdin(), std::io::stdout());
    let figures = figures().expect("jemalloc keeps statistics");
    let mut text = [0; 512];
    let mut rest = &mut text[..];
    write!(rest, "ready").expect("room for all figures");
    for (name, bytes) in figures {
        write!(rest, " {name}={bytes}").expect("room for all figures");
    }
    writeln!(rest).expect("room for all figures");
    let unused = rest.len();
    let len = text.len() - unused;
    rustix::io::write(output.as_fd(), &text[..len]).expect("the test listens");
    // At the end of its input it ends: nobody is left to serve.
    if rustix::io::read(input.as_fd(), &mut [0; 64]).is_ok_and(|n| n == 0) {
        std::process::exit(0);
    }
}

fn figures() -> Result<[(&'static str, usize); 7]> {
    epoch::advance()?;
    Ok([
        ("allocated", stats::allocated::read()?),
        ("active", stats::active::read()?),
        ("metadata", stats::metadata::read()?),
        ("resident", stats::resident::read()?),
        ("retained", stats::retained::read()?),
        ("dirty", pages(b"stats.arenas.4096.pdirty\0")?),
        ("muzzy", pages(b"stats.arenas.4096.pmuzzy\0")?),
    ])
}

/// Bytes in the pages that a statistic of all arenas counts.
#[allow(unsafe_code, reason = "the crate has no safe name for it")]
fn pages(name: &[u8]) -> Result<usize> {
    // SAFETY: both statistics are of type `size_t` (jemalloc(3)).
    unsafe { raw::read::<usize>(name) }.map(|pages| pages * 4096)
}
