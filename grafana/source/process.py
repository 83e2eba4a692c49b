"""The dashboard of the processes of one name."""

from families import FINDING_PAGE, finding_words, rate
from panels import equals, graph, page, stat, table, variables

LABELS = ["instance", "namespace", "pod", "container", "group"]
# Processes outside containers have none of these.
OPTIONAL = ["namespace", "pod", "container"]
SELECTOR = ",".join(equals(label, OPTIONAL) for label in LABELS)


def dashboard():
    return page(
        "memgap-process",
        "memgap / Process",
        "Of what this program's processes hold, what is in use, what did they free and keep, what is not read, and is garbage"
        " collection at work?",
        "Processes of one name stand together, as groups; where they are many, the largest have a name of their own.",
        variables("memgap_process_group_rss_bytes", LABELS, OPTIONAL),
        rows(),
    )


def series(name):
    return f"memgap_process_group_{name}{{{SELECTOR}}}"


def total(name):
    return f"sum({series(name)})"


def account(*names):
    return f"sum(memgap_process_group_ledger_bytes{{{SELECTOR},account=~\"{'|'.join(names)}\"}})"


def rows():
    """Yields rows of panels, each row with its height."""
    yield 4, [
        stat("RSS", "Resident memory; what processes share counts in each.", {"RSS": total("rss_bytes")}),
        stat(
            "In use",
            "What the programs have allocated and not freed, by the heap statistics of their allocators and runtimes.",
            {"in use": total("in_use_bytes")},
            absent="not read",
        ),
        stat(
            "Freed and kept",
            "Resident memory that the program freed and its allocator or runtime keeps.",
            {"kept": account("allocator_free")},
            absent="not read",
        ),
        stat(
            "Freed lazily",
            "Freed with MADV_FREE, and resident until the kernel needs it.",
            {"lazy": account("lazy_free")},
            absent="not known",
        ),
        stat(
            "Not read",
            "Memory of which no heap statistics were read, that nobody claims, or that may not be read.",
            {"not read": account("heap_unprobed", "unexplained", "unreadable")},
            absent="not known",
        ),
        stat("Processes", "How many there are.", {"processes": total("processes")}, unit="short"),
    ]
    yield 9, [
        graph(
            "RSS by account",
            "The accounts sum to the RSS; docs/accounts.md says what each holds.",
            {"{{class}}: {{account}}": f"sum by (class, account) ({series('ledger_bytes')}) != 0"},
            stacked=True,
            sum_of=("RSS", total("rss_bytes")),
        ),
        findings(),
    ]
    yield 8, [
        graph(
            "In use by runtime",
            "What the heap statistics of each runtime and allocator hold. They sum to what is in use, resident or not.",
            {"{{runtime}}": by_runtime("runtime_in_use_bytes")},
            stacked=True,
            sum_of=("in use", total("in_use_bytes")),
        ),
        graph(
            "Kept free",
            "What runtimes and allocators keep free, what of it they gave back to the kernel, what of that stays resident"
            " until the kernel needs it, and what more they could give back.",
            {
                "{{runtime}}: free": by_runtime("runtime_free_bytes"),
                "{{runtime}}: given back": by_runtime("runtime_released_bytes"),
                "{{runtime}}: given back lazily": by_runtime("runtime_lazily_freed_bytes"),
                "{{runtime}}: could be given back": by_runtime("runtime_trimmable_bytes"),
            },
        ),
        graph(
            "Address space and RSS",
            "VSZ counts address space too that no memory stands behind.",
            {"VSZ": total("vsz_bytes"), "RSS": total("rss_bytes")},
        ),
    ]
    yield 8, [
        graph(
            "Garbage collections a minute",
            "One a second or more spends CPU: see the finding gc-churn.",
            {"{{runtime}}": f"60 * sum by (runtime) ({rate(series('gc_cycles_total'))})"},
            unit="short",
        ),
        graph(
            "Time in pauses of garbage collection",
            "Share of the time for which collections stopped the programs, all processes together.",
            {"{{runtime}}": f"sum by (runtime) ({rate(series('gc_pause_seconds_total'))})"},
            unit="percentunit",
        ),
        graph(
            "What an endpoint says more",
            "In use by the word of its endpoint or beacon, less that of its heap statistics. Far from 0 one of them is wrong.",
            {"{{runtime}}": by_runtime("runtime_endpoint_difference_bytes")},
        ),
    ]


def by_runtime(name):
    return f"sum by (runtime) ({series(name)})"


def findings():
    return table(
        "Findings",
        "What applies to these processes; docs/findings/ says for each what it is not and what to do. Empty is good.",
        {"about": f"sort_desc(memgap_finding_bytes{{scope=~\"process.*\",{SELECTOR}}})"},
        ["severity", "finding", "namespace", "pod", "container"],
        values={"finding": finding_words()},
        links={"finding": FINDING_PAGE},
    )
