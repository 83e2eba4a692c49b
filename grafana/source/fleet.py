"""The dashboards of all nodes, and of one."""

from families import FINDING_PAGE, MEMBER, MEMBER_PAGES, SCOPES, UNEXPLAINED, each, finding_words
from panels import graph, page, stat, table, variables, wide

OF_NODE = 'instance="$instance"'
HIGH, LOW = 'bound="high"', 'bound="low"'


def dashboards():
    yield page(
        "memgap-fleet",
        "memgap / Fleet",
        "Who is next to be killed for want of memory, on which node, and where could memory be had back?",
        "Rows lead to the dashboards of what they name.",
        [],
        fleet(),
    )
    yield page(
        "memgap-node",
        "memgap / Node",
        "What holds this machine's memory, how much of it could be had back, and who on it is short?",
        "The accounts sum to MemTotal; containers, units and other cgroups never count twice.",
        variables("memgap_host_memory_total_bytes", ["instance"]),
        node(),
    )


def fleet():
    yield 4, [
        stat("Nodes", "Machines whose exporter answers.", {"nodes": "count(memgap_host_memory_total_bytes)"}, unit="short"),
        stat("Memory", "Of all machines: MemTotal.", {"memory": "sum(memgap_host_memory_total_bytes)"}),
        stat(
            "Free or reclaimable",
            "What machines can hand out without swapping and without killing anybody.",
            {"reclaimable": 'sum(memgap_host_ledger_bytes{class="reclaimable"})'},
        ),
        kept(""),
        *found(""),
    ]
    yield 9, [wide(16, fullest("")), wide(8, fullest_nodes())]
    yield 8, [ending(""), oom_kills("")]
    yield 9, [
        findings_by_kind(),
        graph(
            "Memory of all nodes by class",
            "The classes sum to the memory of all machines.",
            {"{{class}}": "sum by (class) (memgap_host_ledger_bytes)"},
            stacked=True,
            sum_of=("memory", "sum(memgap_host_memory_total_bytes)"),
        ),
    ]
    yield 9, [
        wide(16, misled("")),
        wide(
            8,
            graph(
                "Findings over time",
                "How many findings there are, of each severity.",
                {"{{severity}}": "count by (severity) (memgap_finding_bytes)"},
                unit="short",
            ),
        ),
    ]
    yield 9, [
        wide(16, oversized("")),
        wide(
            8,
            graph(
                "What is not known",
                "The share of what is charged that nobody accounts for: the quality of these pages. Where it is high, give"
                " exporters a profile with more rights.",
                {"unexplained": unexplained("")},
                unit="percentunit",
            ),
        ),
    ]


def fullest_nodes():
    taken = (
        '1 - sum by (instance) (memgap_host_ledger_bytes{class="reclaimable"})'
        " / sum by (instance) (memgap_host_memory_total_bytes)"
    )
    first = f"topk(15, {taken})"
    return table(
        "The fullest nodes",
        "Share of a machine's memory that is neither free nor reclaimable. Near 100 % it swaps or kills.",
        {"taken": first, "memory": f"sum by (instance) (memgap_host_memory_total_bytes) and {first}"},
        ["instance"],
        units={"taken": "percentunit"},
        links={"node": MEMBER_PAGES["node"]},
    )


def node():
    def host(selector=""):
        return f"memgap_host_ledger_bytes{{{OF_NODE}{selector}}}"

    total = f"memgap_host_memory_total_bytes{{{OF_NODE}}}"
    reclaimable = host(',class="reclaimable"')
    yield 4, [
        stat("Memory", "MemTotal.", {"memory": total}),
        stat(
            "Free or reclaimable",
            "What the machine can hand out without swapping and without killing anybody.",
            {"reclaimable": f"sum({reclaimable})"},
        ),
        stat(
            "Charged",
            "What containers, units and other cgroups are charged with.",
            {"charged": f"sum({each('usage_bytes', OF_NODE)})"},
        ),
        kept(OF_NODE),
        *found(OF_NODE),
    ]
    yield 9, [
        graph(
            "Memory by class",
            "The classes sum to MemTotal. Reclaimable is free memory and what the kernel can take back.",
            {"{{class}}": f"sum by (class) ({host()})"},
            stacked=True,
            sum_of=("MemTotal", total),
        ),
        graph(
            "Memory by account",
            "The accounts sum to MemTotal; docs/accounts.md says what each holds.",
            {"{{class}}: {{account}}": f"{host()} != 0"},
            stacked=True,
            sum_of=("MemTotal", total),
        ),
    ]
    yield 10, [members()]
    yield 8, [wide(14, fullest(OF_NODE)), wide(10, ending(OF_NODE))]
    yield 9, [findings_of_node()]
    yield 7, [wide(14, oom_kills(OF_NODE)), wide(10, pods())]
    yield 8, [
        graph(
            "Charged, by what it is",
            "Classes of all that containers, units and other cgroups are charged with.",
            {"{{class}}": f"sum by (class) ({each('ledger_bytes', OF_NODE)})"},
            stacked=True,
            sum_of=("charged", f"sum({each('usage_bytes', OF_NODE)})"),
        ),
        graph(
            "What is not known",
            "The quality of this page: the share of what is charged that nobody accounts for.",
            {"unexplained": unexplained(OF_NODE)},
            unit="percentunit",
        ),
    ]


def pods():
    room = f"memgap_pod_room_bytes{{{OF_NODE},{LOW}}}"
    by = "max by (namespace, pod)"
    first = f"bottomk(15, {by} ({room}))"
    return table(
        "Room of pods",
        "What can still be allocated in a pod before somebody is OOM-killed, at least: the 15 with least.",
        {
            "room": first,
            "required": f"{by} (memgap_pod_required_bytes{{{OF_NODE},{HIGH}}}) and {first}",
        },
        ["namespace", "pod"],
    )


def unexplained(selector):
    labels = f",{selector}" if selector else ""
    unknown = " or ".join(UNEXPLAINED.format(scope=scope, labels=labels) for scope in SCOPES)
    return f"sum({unknown}) / sum({each('usage_bytes', selector)})"


def kept(selector):
    free = f'{selector},account="allocator_free"'.lstrip(",")
    return stat(
        "Kept by allocators",
        "Freed by programs and kept by their allocators and runtimes, where their heap statistics are read: what"
        " tuning could have back. Findings of the kind retention say where.",
        {"kept": f"sum({each('ledger_bytes', free)})"},
        absent="not read",
    )


def found(selector):
    comma = f",{selector}" if selector else ""
    yield stat(
        "Findings",
        "Critical ones say that a kill is near, warnings that something is to be done or a figure misleads.",
        {
            severity: f'count(memgap_finding_bytes{{severity="{severity}"{comma}}}) or vector(0)'
            for severity in ("critical", "warning")
        },
        unit="short",
    )
    kills = " or ".join(f"increase(memgap_{scope}_oom_kills_total{braced(selector)}[1h])" for scope in SCOPES)
    yield stat(
        "OOM kills in the last hour",
        "Processes that the OOM killer ended.",
        {"killed": f"sum({kills})"},
        unit="short",
    )


def braced(selector):
    return f"{{{selector}}}" if selector else ""


def with_bound(selector, bound):
    return f"{selector},{bound}".lstrip(",")


def fullest(selector):
    """Required by limit, most first, beside both."""
    ratio = " or ".join(
        f"memgap_{scope}_required_bytes{{{with_bound(selector, HIGH)}}}"
        f" / ignoring (bound) memgap_{scope}_limit_bytes{braced(selector)}"
        for scope in SCOPES
    )
    first = f"topk(15, {by_member(ratio)})"
    return table(
        "The fullest limits",
        "What a limit has to hold, by the limit: at 100 % the kernel kills. Page cache does not count, for it goes first."
        " Room may be less than what the limit leaves, where one further up is met first.",
        {
            "full": first,
            "limit": beside(each("limit_bytes", selector), first),
            "room": beside(each("room_bytes", with_bound(selector, LOW)), first),
        },
        MEMBER,
        units={"full": "percentunit"},
        absent="",
        links=MEMBER_PAGES,
    )


def by_member(expr, function="max"):
    return f"{function} by ({', '.join(MEMBER)}) ({expr})"


def beside(expr, first):
    """Figures of the members that another query has chosen."""
    return f"{by_member(expr)} and {first}"


def ending(selector):
    lasts = each("room_lasts_seconds", with_bound(selector, LOW))
    return table(
        "Room that ends",
        "For how long the room lasts at least, at the rate of the last hour or half of it; nobody stands here whose room does"
        " not shrink evenly. It takes half an hour of watching. Empty is good.",
        {"lasts": f"bottomk(15, {by_member(lasts, 'min')})"},
        MEMBER,
        units={"lasts": "s"},
        links=MEMBER_PAGES,
    )


def findings_by_kind():
    return table(
        "What is found",
        "Findings by kind: of how many members and processes, and how much memory they are about. Memory of a process is part"
        " of its container's: the sum tells which kind is worth looking at first, no more.",
        {
            "of": "sort_desc(count by (severity, finding) (memgap_finding_bytes))",
            "about": "sum by (severity, finding) (memgap_finding_bytes)",
        },
        ["severity", "finding"],
        units={"of": "short"},
        values={"finding": finding_words()},
        links={"finding": FINDING_PAGE},
    )


def findings_of_node():
    return table(
        "Findings",
        "What applies on this node, and what it is about: the 50 largest.",
        {"about": f"sort_desc(topk(50, memgap_finding_bytes{{{OF_NODE}}}))"},
        ["severity", "finding", "namespace", "pod", "container", "unit", "cgroup", "group"],
        values={"finding": finding_words()},
        links={"finding": FINDING_PAGE} | {key: MEMBER_PAGES[key] for key in ("container",)},
    )


def oom_kills(selector):
    kills = " or ".join(f"increase(memgap_{scope}_oom_kills_total{braced(selector)}[6h])" for scope in SCOPES)
    return table(
        "OOM kills in the last six hours",
        "Whose processes the OOM killer ended. memgap why TARGET, on the node, says who, by whose limit and what held the"
        " memory. Empty is good.",
        {"killed": f"topk(15, {by_member(kills)} > 0)"},
        MEMBER,
        units={"killed": "short"},
        links=MEMBER_PAGES,
    )


def oversized(selector):
    more = " or ".join(
        f"memgap_{scope}_limit_bytes{braced(selector)} - memgap_{scope}_advised_limit_bytes{braced(selector)}"
        for scope in SCOPES
    )
    first = f"topk(15, {by_member(more)} > 0)"
    return table(
        "Limits larger than needed",
        "By how much a limit exceeds the one that its peaks in the last day need. It takes an hour of watching.",
        {
            "to be had back": first,
            "limit": beside(each("limit_bytes", selector), first),
            "needed": beside(each("advised_limit_bytes", selector), first),
        },
        MEMBER,
        links=MEMBER_PAGES,
    )


def misled(selector):
    wrong = " or ".join(
        f"abs(memgap_{scope}_required_bytes{{{with_bound(selector, HIGH)}}}"
        f" - ignoring (bound) memgap_{scope}_working_set_bytes{braced(selector)})"
        for scope in SCOPES
    )
    first = f"topk(15, {by_member(wrong)} > 1048576)"
    return table(
        "Working sets that mislead",
        "Where the working set is furthest from what a limit has to hold, by 1 MiB or more. Larger than required: it counts what the kernel can take"
        " back, and alerts on it fire for nothing. Smaller: it hides live memory.",
        {
            "off by": first,
            "working set": beside(each("working_set_bytes", selector), first),
            "required": beside(each("required_bytes", with_bound(selector, HIGH)), first),
        },
        MEMBER,
        links=MEMBER_PAGES,
    )


def members():
    first = f"topk(20, {by_member(each('usage_bytes', OF_NODE))})"
    return table(
        "Who holds most",
        "The 20 containers, units and other cgroups that are charged with most, which never contain one another.",
        {
            "usage": first,
            "working set": beside(each("working_set_bytes", OF_NODE), first),
            "required": beside(each("required_bytes", with_bound(OF_NODE, HIGH)), first),
            "in use": beside(each("in_use_bytes", OF_NODE), first),
            "limit": beside(each("limit_bytes", OF_NODE), first),
            "room": beside(each("room_bytes", with_bound(OF_NODE, LOW)), first),
        },
        MEMBER[1:],
        absent="",
        links=MEMBER_PAGES,
    )
