"""What the exporter's families say, as queries that several dashboards and rules ask."""

REPOSITORY = "https://github.com/memgap/memgap"
# The labels that name a member of each scope beside its node, and the word for it.
SCOPES = {
    "container": (["namespace", "pod", "container"], "container"),
    "unit": (["unit"], "systemd unit"),
    "cgroup": (["cgroup"], "cgroup"),
}
MEMBER = ["instance", "namespace", "pod", "container", "unit", "cgroup"]

# A finding in words. One that does not stand here goes by its id.
FINDINGS = {
    "address-space": "address space that no memory stands behind",
    "ancestor-limit": "a limit further up is met before its own",
    "ballast": "counted as in use and never written",
    "balloon": "held by the hypervisor's balloon",
    "charged-elsewhere": "mapped here, charged to another cgroup",
    "compressed-swap": "swapped out and compressed, in memory",
    "copy-on-write": "shared with those it was forked from: RSS counts it again",
    "fragmentation": "freed, in pages that hold memory in use too",
    "gc-churn": "collects garbage often, far below its limit",
    "hidden-working-set": "live memory that the working set leaves out",
    "huge-pages": "huge pages: given whole for one byte written",
    "idle-huge-pages": "huge pages set aside that no program uses",
    "kernel-memory": "held by the kernel for its programs",
    "lazy-free": "freed already, resident until the kernel needs it",
    "leak-suspected": "what is in use grows evenly: a leak?",
    "limit-near": "little can be allocated before an OOM kill",
    "locked-cache": "files locked in memory: no page cache that goes",
    "moved-charges": "charged here, held by processes elsewhere, or the reverse",
    "no-leak": "grew or stays large, and does not leak",
    "off-heap": "outside of the collected heap: no setting of it bounds this",
    "oom-kill": "the OOM killer ended processes",
    "reclaimable-working-set": "the working set counts what the kernel can take back",
    "retention": "freed, and kept by its allocator or runtime",
    "room-shrinking": "its room ends within hours",
    "several-allocators": "more than one allocator in one process",
    "sockets": "data that waits in sockets",
    "stacks": "stacks of threads",
    "swapped": "swapped out",
    "throttled": "held back at memory.high",
    "tmpfs": "shared memory that no process maps",
}
# Residuals of either sign: they must not cancel out.
UNEXPLAINED = 'sum without (class, account) (abs(memgap_{scope}_ledger_bytes{{class="unknown"{labels}}}))'


def each(family, selector="", of=SCOPES):
    """A family of every scope: its members are all that is charged, once."""
    return " or ".join(f"memgap_{scope}_{family}{braces(selector)}" for scope in of)


def braces(selector):
    return f"{{{selector}}}" if selector else ""


def worst(selector):
    """The gravest finding, 1 to 3."""
    levels = zip((3, 2, 1), ("critical", "warning", "info"))
    return " or ".join(
        f'{level} * group(memgap_finding_bytes{{severity="{severity}",{selector}}})'
        for level, severity in levels
    )


def finding_words():
    """How Grafana shows a finding's id."""
    options = {
        finding: {"text": f"{finding}: {text}", "index": index}
        for index, (finding, text) in enumerate(FINDINGS.items())
    }
    return [{"type": "value", "options": options}]


# From a finding to its page.
FINDING_PAGE = ("What it means, and what to do", f"{REPOSITORY}/blob/main/docs/findings/${{__data.fields.finding}}.md")
# From a row about a member to its dashboard.
MEMBER_PAGES = {
    "container": (
        "What it holds",
        "/d/memgap-container?" + "&".join(f"var-{x}=${{__data.fields.{x}}}" for x in ("namespace", "pod", "container")),
    ),
    "unit": ("What it holds", "/d/memgap-unit?var-instance=${__data.fields.node}&var-unit=${__data.fields.unit}"),
    "cgroup": ("What it holds", "/d/memgap-cgroup?var-instance=${__data.fields.node}&var-cgroup=${__data.fields.cgroup}"),
    "node": ("What the node holds", "/d/memgap-node?var-instance=${__data.fields.node}"),
}


def rate(series):
    return f"rate({series}[$__rate_interval])"
