//! The table: one entry a runtime or allocator, with what tells it. What stands in it was
//! seen in programs of Debian 12, npm, PyPI and crates.io; signs of others are as their
//! sources have them.

use super::Sign::{File, Mapping, Section, Symbol};
use super::{Heap, Rule, Sign, Text};

/// What is named where no probe reads it.
pub const RULES: &[Rule] = &[
    // Allocators.
    Rule {
        is_tried: true,
        ..own(
            "tcmalloc",
            "tcmalloc of gperftools",
            &[
                Symbol("MallocExtension_GetNumericProperty"),
                text("tcmalloc.aggressive_memory_decommit"),
                File("libtcmalloc"),
            ],
        )
    },
    own("tcmalloc", "Google's tcmalloc", &[text("tcmalloc.per_cpu_caches_active")]),
    Rule {
        // Python 3.13 and later have it built in, and use it without the global lock alone.
        unless: &[Symbol("PyObject_Malloc")],
        is_tried: true,
        ..own("mimalloc", "mimalloc", &[text("mimalloc: warning: "), text("mimalloc: error: ")])
    },
    own(
        "mimalloc",
        "mimalloc of Python without the global lock",
        &[File("libpython3.13t"), File("libpython3.14t"), File("python3.13t"), File("python3.14t")],
    ),
    Rule { is_tried: true, ..own("jemalloc", "jemalloc", &[text("<jemalloc>: ")]) },
    own("mozjemalloc", "Firefox's allocator", &[Symbol("jemalloc_stats_internal")]),
    own("partition_alloc", "Chromium's PartitionAlloc", &[text("partition_alloc/partitions/")]),
    own(
        "snmalloc",
        "snmalloc",
        &[text("Failed to initialise snmalloc."), Symbol("sn_rust_alloc"), File("libsnmallocshim")],
    ),
    own("rpmalloc", "rpmalloc", &[Symbol("rpmalloc_initialize"), File("librpmalloc")]),
    own("scudo", "LLVM's scudo", &[text("Scudo ERROR: "), Mapping("[anon:scudo:")]),
    own("tbbmalloc", "oneTBB's allocator", &[Symbol("scalable_allocation_mode")]),
    own(
        "sanitizer",
        "a sanitizer's allocator and shadow memory",
        &[
            text("AddressSanitizer: attempting to call "),
            text("ThreadSanitizer: unexpected memory mapping"),
            text("MemorySanitizer: use-of-uninitialized-value"),
            Symbol("__hwasan_init"),
            Symbol("__asan_init"),
            Symbol("__tsan_init"),
            Symbol("__msan_init"),
            Symbol("__lsan_init"),
        ],
    ),
    // Runtimes.
    Rule { is_tried: true, ..own("v8", "V8", &[text("Fatal JavaScript invalid size error")]) },
    own(
        "javascriptcore",
        "JavaScriptCore",
        &[
            text("JavaScriptCore/heap/LocalAllocator"),
            Symbol("JSGetMemoryUsageStatistics"),
            File("libjavascriptcoregtk"),
        ],
    ),
    own(
        "spidermonkey",
        "SpiderMonkey",
        &[text("js::gcstats::Statistics::initialize"), File("libmozjs-")],
    ),
    own(
        "wasmtime",
        "wasmtime, with the memory of its modules",
        &[Symbol("wasmtime_engine_new"), Symbol("wasmtime_store_new")],
    ),
    Rule {
        is_tried: true,
        ..own("beam", "Erlang's BEAM", &[Symbol("erts_alloc_init"), File("beam.smp")])
    },
    own("ruby", "Ruby", &[Symbol("rb_gc_latest_gc_info")]),
    Rule {
        is_tried: true,
        ..own(
            "zend",
            "PHP's Zend memory manager",
            &[
                Symbol("_zend_mm_alloc"),
                text("zend_mm_heap corrupted"),
                Mapping("[anon:zend_alloc"),
            ],
        )
    },
    Rule {
        unless: &[Symbol("mono_gc_get_used_size")],
        ..own(
            "dotnet",
            ".NET's CoreCLR",
            &[
                Symbol("coreclr_initialize"),
                Symbol("DotNetRuntimeInfo"),
                Symbol("DotNetRuntimeContractDescriptor"),
                Symbol("DotNetRuntimeDebugHeader"),
                Mapping("/memfd:doublemapper"),
            ],
        )
    },
    own("mono", "Mono", &[Symbol("mono_gc_get_used_size"), text("--gc=[sgen,boehm]")]),
    own("openj9", "OpenJ9", &[Symbol("J9_CreateJavaVM"), File("libj9gc")]),
    own("graalvm", "a native image of GraalVM", &[Section(".svm_heap")]),
    own("dart", "Dart", &[Symbol("Dart_ClassLibrary"), Symbol("Dart_InitializeParams")]),
    own(
        "luajit",
        "LuaJIT",
        &[Symbol("luaJIT_setmode"), text("unknown or malformed optimization flag")],
    ),
    own(
        "ghc",
        "Haskell's GHC",
        &[text("stg_sig_install: bad spi"), Symbol("hs_lock_stable_ptr_table"), File("libHSrts")],
    ),
    Rule {
        unless: &[Symbol("caml_alloc_for_heap")],
        ..own("ocaml", "OCaml 5", &[Symbol("caml_alloc_shr"), text("OCAMLRUNPARAM")])
    },
    own("sbcl", "SBCL", &[Symbol("allocate_lisp_dynamic_space"), text("GC control variables:")]),
    own("chez", "Chez Scheme", &[Symbol("Scompact_heap")]),
    own(
        "boehm",
        "the Boehm collector",
        &[Symbol("GC_get_heap_usage_safe"), text("GC_INITIAL_HEAP_SIZE")],
    ),
    own("julia", "Julia", &[Symbol("jl_gc_collect"), Symbol("ijl_gc_collect")]),
    own(
        "ggc",
        "the collector of GCC's compilers",
        &[Symbol("_Z11ggc_collect11ggc_collect"), Symbol("_Z11ggc_collectv")],
    ),
    // Memory of machines, and pools of one program.
    own(
        "qemu",
        "QEMU: memory of the guest, translated code",
        &[text("cannot set up guest memory"), text("Disassembler disagrees with TCG over")],
    ),
    own("innodb", "InnoDB's buffer pool", &[text("InnoDB: Initializing buffer pool")]),
    // Runtimes whose heaps lie in malloc's.
    within_malloc(
        "lua",
        "Lua",
        &[Symbol("lua_newstate")],
        &[Symbol("luaJIT_setmode"), text("unknown or malformed optimization flag")],
    ),
    within_malloc("ocaml", "OCaml 4", &[Symbol("caml_alloc_for_heap")], &[]),
    within_malloc("pypy", "PyPy", &[Symbol("PyPyBaseObject_Type"), File("libpypy")], &[]),
    within_malloc("r", "R", &[Symbol("R_gc_torture")], &[]),
    within_malloc("quickjs", "QuickJS", &[Symbol("JS_ComputeMemoryUsage")], &[]),
];

const fn own(name: &'static str, about: &'static str, signs: &'static [Sign]) -> Rule {
    Rule { name, about, is_tried: false, heap: Heap::Own, signs, unless: &[] }
}

const fn within_malloc(
    name: &'static str,
    about: &'static str,
    signs: &'static [Sign],
    unless: &'static [Sign],
) -> Rule {
    Rule { name, about, is_tried: false, heap: Heap::Malloc, signs, unless }
}

const fn text(plain: &'static str) -> Sign {
    Sign::Text(Text::of(plain))
}
