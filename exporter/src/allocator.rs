//! The allocator, configured to keep nothing: the exporter's work comes in one burst a
//! collection, by one thread. Between two bursts any memory kept would lie idle for
//! longer than a decay lasts, and be given back just before it is needed again.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc reads when it starts: a pointer to a C string by this name.
// SAFETY: jemalloc declares the symbol as `const char *`. A reference to an array
// is such a pointer, the array ends with NUL and lives as long as the program. The
// name is jemalloc's own, prefixed as this build of it is, so it hides no other.
#[allow(unsafe_code, reason = "jemalloc takes its static options from a symbol")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static CONFIGURATION: &[u8; 68] =
    b"narenas:1,background_thread:false,dirty_decay_ms:0,muzzy_decay_ms:0\0";

#[cfg(test)]
mod tests {
    #[test]
    fn jemalloc_has_read_the_options() {
        assert_eq!(tikv_jemalloc_ctl::opt::narenas::read().expect("narenas"), 1);
    }
}
