"""The dashboard of the exporter itself."""

from families import rate
from panels import graph, page, stat, table, variables

OWN = 'instance="$instance"'


def dashboard():
    return page(
        "memgap-exporter",
        "memgap / Exporter",
        "Is this exporter well: what does it take, does it keep up, and what can it not read?",
        "What its budgets leave out is shown again from before, and counted here.",
        variables("memgap_exporter_build_info", ["instance"]),
        rows(),
    )


def series(name, more=""):
    return f"memgap_exporter_{name}{{{OWN}{more}}}"


def process(name):
    """A figure that other programs at the same address have by the same name."""
    return f"{name}{{{OWN}}} and on (instance, job) {series('build_info')}"


def a_minute(name, by=""):
    made = f"60 * {rate(series(name))}"
    return f"sum by ({by}) ({made})" if by else made


def rows():
    """Yields rows of panels, each row with its height."""
    yield 4, [
        stat("Runs since", "When it started.", {"since": f"1000 * ({process('process_start_time_seconds')})"}, unit="dateTimeFromNow"),
        stat(
            "CPU",
            "As a share of one processor.",
            {"CPU": f"rate(process_cpu_seconds_total{{{OWN}}}[$__rate_interval]) and on (instance, job) {series('build_info')}"},
            unit="percentunit",
        ),
        stat(
            "Own memory",
            "Resident memory of its processes; the limit that binds it, and what of that is used and can not be taken back.",
            {
                "resident": process("process_resident_memory_bytes"),
                "used": series("cgroup_used_bytes"),
                "limit": series("cgroup_limit_bytes"),
            },
        ),
        stat(
            "Given up",
            "How many steps were taken for want of memory of its own: 1 keeps no files open, 2 makes no walks, 3 reads no heap"
            " statistics, 4 shows no process groups.",
            {"steps": f"max({series('degraded')})"},
            unit="short",
        ),
        stat(
            "Series",
            "Series of the last collection. --max-series bounds them.",
            {"series": f"sum({series('series')})"},
            unit="short",
        ),
        stat("Last collection as text", "Bytes of the last collection but one.", {"text": series("encoded_bytes")}),
    ]
    yield 8, [cpu(), left_out(), age()]
    yield 5, [stuck(), costly()]
    yield 8, [
        graph(
            "Time a collection takes",
            "The mean of each part. Together they have to fit the interval of collections.",
            {"{{stage}}": mean("collection_seconds")},
            stacked=True,
            unit="s",
        ),
        graph(
            "Series by scope",
            "Beyond --max-series members are folded into other, which conserves the sums.",
            {"{{scope}}": series("series")},
            stacked=True,
            unit="short",
            sum_of=("all", f"sum({series('series')})"),
        ),
        graph(
            "Own memory by its allocator",
            "Memory of the process that reads.",
            {"{{stat}}": series("jemalloc_bytes")},
        ),
    ]
    yield 8, [
        graph(
            "Could not be read, a minute",
            "Readings and heap statistics that failed, by what was read and how. A runtime that is there and does not keep the"
            " rules that a probe knows is refused, not guessed.",
            {
                "{{source}}: {{kind}}": a_minute("errors_total"),
                "{{probe}}: {{kind}}": a_minute("probe_errors_total"),
                "did not answer in time": a_minute("target_timeouts_total"),
            },
            unit="short",
        ),
        graph(
            "Scrapes and connections a minute",
            "Answers to scrapers by status, answers of endpoints, connections that were closed, by reason.",
            {
                "scrapes, {{code}}": a_minute("scrapes_total"),
                "{{endpoint}}: {{outcome}}": a_minute("endpoint_scrapes_total"),
                "closed, {{reason}}": a_minute("connections_closed_total"),
            },
            unit="short",
        ),
        graph(
            "Mapped files a minute",
            "Files that were met when processes were looked at: known already (hit), or not (miss).",
            {"{{result}}": a_minute("probe_files_total", "result")},
            unit="short",
        ),
    ]


def mean(name):
    return f"{rate(series(name + '_sum'))} / {rate(series(name + '_count'))}"


def cpu():
    return graph(
        "CPU by stage",
        "CPU that the parts of a collection take, as a share of one. Walks and heap statistics have a budget"
        " each, 0.5 % unless told otherwise.",
        {"{{stage}}": rate(series("cpu_seconds_total"))},
        stacked=True,
        unit="percentunit",
    )


def left_out():
    return graph(
        "Left out a minute",
        "What the budgets did not cover: heap statistics that were shown again instead of read, walks that were due, members"
        " that were folded. Above 0 for long, figures are older than a collection: raise --probe.budget or --walk.budget.",
        {
            "heap statistics": a_minute("probes_skipped_total"),
            "walks, {{reason}}": a_minute("walks_left_out_total"),
            "folded, {{scope}}": a_minute("shed_members_total"),
        },
        unit="short",
    )


def age():
    return graph(
        "Age of the oldest heap statistics",
        "How old the oldest heap statistics of a runtime or allocator are that are shown.",
        {"oldest": series("heap_statistics_oldest_seconds")},
        unit="s",
    )


def stuck():
    return table(
        "Targets that do not answer",
        "Processes for which a worker waits: they hold their memory map, or a file system that they map does not answer."
        " Empty is good.",
        {"processes": series("stuck_targets")},
        ["name"],
        units={"processes": "short"},
    )


def costly():
    return table(
        "Targets that cost too much",
        "Processes of which something is not read because it would cost more than one process may. Empty is good.",
        {"processes": series("costly_targets")},
        ["name", "unread"],
        units={"processes": "short"},
    )
