//! A Rust program on jemalloc that says what jemalloc itself says: 64 MiB in
//! small and large pieces, then every second piece freed, then all. While it says
//! so and waits it allocates nothing.

use std::io::Write;
use std::os::fd::AsFd;

use tikv_jemalloc_ctl::{epoch, raw};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Statistics, each with what one of its units has of bytes. All are of type `size_t`
/// (jemalloc(3)), and absent where jemalloc was built without them.
const STATISTICS: [(&str, &[u8], usize); 7] = [
    ("allocated", b"stats.allocated\0", 1),
    ("active", b"stats.active\0", 1),
    ("metadata", b"stats.metadata\0", 1),
    ("resident", b"stats.resident\0", 1),
    ("retained", b"stats.retained\0", 1),
    ("dirty", b"stats.arenas.4096.pdirty\0", 4096),
    ("muzzy", b"stats.arenas.4096.pmuzzy\0", 4096),
];

fn main() {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for size in [512, 8 << 10, 512 << 10, 4 << 20] {
        pieces.extend((0..(16 << 20) / size).map(|_| vec![1; size]));
    }
    ready(&pieces);
    let mut keep = false;
    pieces.retain(|_| {
        keep = !keep;
        keep
    });
    ready(&pieces);
    pieces.clear();
    ready(&pieces);
}

fn ready(pieces: &[Vec<u8>]) {
    // Their buffers are made before the figures are.
    let (input, output) = (std::io::stdin(), std::io::stdout());
    epoch::advance().expect("jemalloc has an epoch");
    let mut text = [0; 512];
    let mut rest = &mut text[..];
    let pieces: usize = pieces.iter().map(Vec::len).sum();
    write!(rest, "ready pieces={pieces}").expect("room for all figures");
    for (name, statistic, unit) in STATISTICS {
        if let Some(count) = read(statistic) {
            write!(rest, " {name}={}", count * unit).expect("room for all figures");
        }
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

#[allow(unsafe_code, reason = "the crate has no safe name for all of them")]
fn read(name: &[u8]) -> Option<usize> {
    // SAFETY: every statistic that is read is of type `size_t`.
    unsafe { raw::read::<usize>(name) }.ok()
}
