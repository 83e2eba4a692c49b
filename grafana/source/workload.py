"""The dashboards of one container, unit or other cgroup."""

from families import FINDING_PAGE, SCOPES, UNEXPLAINED, finding_words, rate, worst
from panels import DATASOURCE, equals, graph, page, stat, table, variables, wide, words

VERDICTS = [
    ("nothing is found", "green"),
    ("nothing to do: the findings explain figures", "blue"),
    ("a figure misleads, or something is to be done", "orange"),
    ("an OOM kill is near", "red"),
]


def dashboard(scope):
    own, word = SCOPES[scope]
    labels = own if scope == "container" else ["instance", *own]
    selector = ",".join(equals(label) for label in labels)
    killed = f"increase(memgap_{scope}_oom_kills_total{{{selector}}}[$__rate_interval]) > 0"
    kills = {
        "name": "OOM kills",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": killed,
        "titleFormat": "the OOM killer ended something here",
        "step": "60s",
    }
    return page(
        f"memgap-{scope}",
        f"memgap / Workload: {word}",
        f"Will this {word} be killed, does it leak, and which of its figures is real?",
        "Top left the verdict; the accounts below sum to the usage.",
        variables(f"memgap_{scope}_usage_bytes", labels),
        rows(scope, selector),
        [kills],
    )


def rows(scope, selector):
    """Yields rows of panels, each row with its height."""

    def series(name, more=""):
        return f"memgap_{scope}_{name}{{{selector}{more}}}"

    yield 5, [wide(8, verdict(scope, selector, series)), wide(16, findings(scope, selector))]
    yield 4, headline(series)
    yield 9, [by_account(series), compared(series)]
    yield 8, [by_class(series), room(series), in_use(series)]
    yield 7, [killed(series), limit_events(series), unexplained(scope, selector)]
    yield 8, [by_runtime(series), collections(series), pauses(series)]
    if scope == "container":
        yield 9, processes(selector)


def verdict(scope, selector, series):
    return words(
        "Verdict",
        "The gravest of its findings, which stand beside it. No finding means that the exporter looked and found none.",
        f"{worst(whose(scope, selector))} or 0 * group({series('usage_bytes')})",
        VERDICTS,
    )


def whose(scope, selector):
    # Findings of a container's processes carry its labels and a scope of their own.
    return selector if scope == "container" else f'scope="{scope}",{selector}'


def findings(scope, selector):
    return table(
        "Findings",
        "What applies now; docs/findings/ says for each what it is not and what to do. Empty is good.",
        {"about": f"sort_desc(memgap_finding_bytes{{{whose(scope, selector)}}})"},
        ["severity", "finding", "scope", "group"],
        values={"finding": finding_words()},
        links={"finding": FINDING_PAGE},
    )


def headline(series):
    return [
        stat(
            "Usage",
            "All memory charged, page cache too. It nears the limit on any busy machine, and that is"
            " no alarm.",
            {"usage": series("usage_bytes")},
        ),
        stat(
            "Working set",
            "Usage less inactive_file, as the kubelet and cAdvisor show it. It counts active page"
            " cache, and leaves live memory out that was lazily freed once. Compare it with required.",
            {"working set": series("working_set_bytes")},
        ),
        stat(
            "Required",
            "What a limit has to hold: usage less what the kernel can take back without swapping, at"
            " least and at most. Size limits and alert by the upper figure.",
            {"at least": bound(series, "required_bytes", "low"), "at most": bound(series, "required_bytes", "high")},
        ),
        stat(
            "Hidden from the working set",
            "Live memory that the working set leaves out: freed with MADV_FREE, then written again."
            " Where it is large, the working set promises room that is not there.",
            {"hidden": series("working_set_hidden_bytes")},
        ),
        stat(
            "Limit",
            "The memory limit, and the limit that it needs: what it required at its peak in the last day, with page"
            " cache that was read again, and 5 %. That takes an hour of watching.",
            {"limit": series("limit_bytes"), "needed": series("advised_limit_bytes")},
            absent="none",
        ),
        stat(
            "In use",
            "What the programs have allocated and not freed, by the heap statistics of their allocators and"
            " runtimes. Usage that grows while this does not is no leak of the program.",
            {"in use": series("in_use_bytes")},
            absent="not read",
        ),
    ]


def bound(series, name, which):
    return series(name, f',bound="{which}"')


def by_account(series):
    return graph(
        "Usage by account",
        "The accounts sum to the usage; docs/accounts.md says what each holds. A signed account below"
        " 0 corrects the others.",
        {"{{class}}: {{account}}": f"{series('ledger_bytes')} != 0"},
        stacked=True,
        sum_of=("usage", series("usage_bytes")),
    )


def compared(series):
    return graph(
        "Which figure is real",
        "Where required and working set part, believe required: its distance to the limit counts. What room leaves"
        " may be less than that, where a limit further up is met first.",
        {
            "usage": series("usage_bytes"),
            "working set": series("working_set_bytes"),
            "required, at most": bound(series, "required_bytes", "high"),
            "required and room": f"{bound(series, 'required_bytes', 'high')} + ignoring (bound) {bound(series, 'room_bytes', 'low')}",
            "limit": series("limit_bytes"),
        },
    )


def by_class(series):
    return graph(
        "Usage by class",
        "The classes sum to the usage. Reclaimable memory goes under pressure; the rest has to fit the"
        " limit. A large unknown class means that the exporter may not read more, or that nothing"
        " claims the memory.",
        {"{{class}}": f"sum by (class) ({series('ledger_bytes')})"},
        stacked=True,
        sum_of=("usage", series("usage_bytes")),
    )


def room(series):
    return graph(
        "Room",
        "What can still be allocated before somebody is OOM-killed, at least and at most, by its limit or one"
        " above it. At 0 the kernel kills.",
        {"at least": bound(series, "room_bytes", "low"), "at most": bound(series, "room_bytes", "high")},
    )


def in_use(series):
    return graph(
        "In use and its bounds",
        "In use by heap statistics, and the least and the most that it can be: the most counts all memory of which"
        " none were read. A leak shows here, and not in the usage.",
        {
            "in use": series("in_use_bytes"),
            "at least": bound(series, "in_use_bound_bytes", "low"),
            "at most": bound(series, "in_use_bound_bytes", "high"),
        },
    )


def killed(series):
    return graph(
        "OOM kills in the last hour",
        "Processes that the OOM killer ended. memgap why TARGET, on the node, says who, by whose limit and what held"
        " the memory.",
        {"killed": f"increase({series('oom_kills_total')}[1h])"},
        unit="short",
    )


def limit_events(series):
    return graph(
        "At the limit",
        "How often a minute the limit was met and the kernel took memory back; how often it throttled at memory.high;"
        " the share of time that somebody waited for memory, in percent.",
        {
            "limit met": f"60 * {rate(series('limit_hits_total'))}",
            "throttled": f"60 * {rate(series('throttled_total'))}",
            "waited, %": f"100 * {rate(series('memory_stall_seconds_total'))}",
        },
        unit="short",
    )


def unexplained(scope, selector):
    unknown = UNEXPLAINED.format(scope=scope, labels="," + selector)
    return graph(
        "What is not known",
        "The quality of this page: the share of the usage that nobody accounts for, and the share of anonymous memory"
        " whose heap statistics were read. Where the first is high, give the exporter a profile with more rights.",
        {
            "unexplained": f"{unknown} / memgap_{scope}_usage_bytes{{{selector}}}",
            "heap statistics": f"memgap_{scope}_in_use_coverage_ratio{{{selector}}}",
        },
        unit="percentunit",
    )


def by_runtime(series):
    return graph(
        "In use by runtime",
        "What the heap statistics of each runtime and allocator hold. They sum to what is in use.",
        {"{{runtime}}": series("runtime_in_use_bytes")},
        stacked=True,
        sum_of=("in use", series("in_use_bytes")),
    )


def collections(series):
    cycles = rate(series("gc_cycles_total"))
    meaning = (
        "Garbage collections a minute. One a second or more, far below the limit, spends CPU to save"
        " memory that nobody else may use: see the finding gc-churn."
    )
    return graph("Garbage collections a minute", meaning, {"{{runtime}}": f"60 * {cycles}"}, unit="short")


def pauses(series):
    return graph(
        "Time in pauses of garbage collection",
        "Share of the time for which collections stopped the programs, all processes together.",
        {"{{runtime}}": rate(series("gc_pause_seconds_total"))},
        unit="percentunit",
    )


def processes(selector):
    ledger = f"sum by (class, account) (memgap_process_group_ledger_bytes{{{selector}}})"
    rss = f"sum(memgap_process_group_rss_bytes{{{selector}}})"
    return [
        graph(
            "RSS by process group",
            "Resident memory of the container's processes by their name. Memory that processes share"
            " counts in each, so the sum may exceed the usage.",
            {"{{group}}": f"memgap_process_group_rss_bytes{{{selector}}}"},
            stacked=True,
            sum_of=("RSS of all", rss),
        ),
        graph(
            "RSS of all processes by account",
            "The processes' own ledgers, which sum to their RSS. File and shared memory stand here"
            " where processes map them, whoever is charged for them.",
            {"{{class}}: {{account}}": f"{ledger} != 0"},
            stacked=True,
            sum_of=("RSS of all", rss),
        ),
    ]
