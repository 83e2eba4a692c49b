"""Recording rules, and alerts."""

import json
import textwrap

from families import REPOSITORY, SCOPES, UNEXPLAINED, each

REQUIRED = 'memgap_{scope}_required_bytes{{bound="high"}}'
RECORDED = [
    (
        "{scope}:memgap_required_per_limit:ratio",
        "How full the limit really is. At 1 the kernel kills.",
        f"{REQUIRED} / ignoring (bound) memgap_{{scope}}_limit_bytes",
    ),
    (
        "{scope}:memgap_unexplained_per_usage:ratio",
        "Share of the usage of which it is not known what it is.",
        UNEXPLAINED.replace("{labels}", "") + " / memgap_{scope}_usage_bytes",
    ),
    (
        "{scope}:memgap_required_less_working_set:bytes",
        "By how much the working set is wrong: above 0 it hides memory that the limit has to hold,"
        " below 0 it counts memory that the kernel can take back.",
        f"{REQUIRED} - ignoring (bound) memgap_{{scope}}_working_set_bytes",
    ),
]
OF_NODES = [
    (
        "instance:memgap_reclaimable_per_memory:ratio",
        "Share of a machine's memory that is free or can be taken back.",
        'sum by (instance) (memgap_host_ledger_bytes{class="reclaimable"})'
        " / sum by (instance) (memgap_host_memory_total_bytes)",
    ),
]

# Whom an alert is about.
WHO = (
    "{{ if $labels.container }}{{ $labels.namespace }}/{{ $labels.pod }}/{{ $labels.container }}"
    "{{ else }}{{ $labels.unit }}{{ $labels.cgroup }}{{ end }} on {{ $labels.instance }}"
)
TIME, BYTES = "{{ $value | humanizeDuration }}", "{{ $value | humanize1024 }}B"
KILLS = "memgap_{scope}_oom_kills_total"
PODS = "memgap_pod_oom_kills_total"
FOUND = 'memgap_finding_bytes{{scope=~"{scopes}",finding="{finding}"{more}}}'
# Who has been an exporter within a day, whatever its job is called.
KNOWN = "last_over_time(memgap_exporter_build_info[1d])"


def found(finding, severity=None):
    more = f',severity="{severity}"' if severity else ""
    return FOUND.format(scopes="|".join(SCOPES), finding=finding, more=more)


def happened(series):
    """In the last ten minutes. What is first seen above 0 was counted since the exporter started, too; a gap in what was
    scraped makes nothing new."""
    return f"(increase({series}[10m]) > 0 or ({series} > 0 unless last_over_time({series}[6h] offset 10m)))"


def kept_much():
    """A quarter of the usage and 256 MiB."""
    for scope, (own, _) in SCOPES.items():
        by = f"max by ({', '.join(['instance', *own])})"
        kept = f'{by} (memgap_finding_bytes{{scope="{scope}",finding="retention"}})'
        yield f"({kept} > 268435456) > 0.25 * {by} (memgap_{scope}_usage_bytes)"


def alerts():
    """Name, why it is told apart from others of that name, severity, for how long it has to hold, query, summary."""
    least, most = (each("room_lasts_seconds", f'bound="{bound}"') for bound in ("low", "high"))
    near = "Less than a twentieth can still be allocated before somebody is OOM-killed: {who}"
    ends = "Room ends within {time}{more}: {who}"
    yield "RoomNear", "now", "critical", "5m", found("limit-near", "critical"), near.format(who=WHO)
    yield "RoomNear", "forecast", "critical", "5m", f"({most}) < 3600", ends.format(time=TIME, more=" at most", who=WHO)
    yield "RoomNear", "forecast", "warning", "15m", f"({least}) < 4 * 3600", ends.format(time=TIME, more=" perhaps", who=WHO)
    yield "LeakSuspected", "", "warning", "5m", found("leak-suspected"), f"What is in use grows evenly: {WHO}"
    hides = f"The working set leaves out {BYTES} of live memory"
    hidden = "hidden-working-set"
    yield "WorkingSetHidesLiveMemory", "", "info", "1h", found(hidden, "warning"), f"{hides}: {WHO}"
    yield "WorkingSetHidesLiveMemory", "", "warning", "10m", found(hidden, "critical"), f"{hides}, and the limit is near: {WHO}"
    kept = " or ".join(kept_much())
    yield "RetentionLarge", "", "info", "1h", kept, f"Allocators keep {BYTES} that could be given back: {WHO}"
    kills = " or ".join(happened(KILLS.format(scope=scope)) for scope in SCOPES)
    yield "OOMKilled", "", "warning", "0m", kills, f"The OOM killer ended processes of {WHO}"
    of_pods = f"{happened(PODS)} unless on (instance, namespace, pod) {happened(KILLS.format(scope='container'))}"
    gone = "The OOM killer ended processes of a container of {{ $labels.namespace }}/{{ $labels.pod }} that is gone, on {{ $labels.instance }}"
    yield "OOMKilled", "of-a-pod", "warning", "0m", of_pods, gone
    yield from of_exporters()


def of_exporters():
    here = "on {{ $labels.instance }}"
    stuck = f"{{{{ $labels.name }}}} does not answer, and its memory is not read, {here}"
    yield "TargetStuck", "", "warning", "15m", "memgap_exporter_stuck_targets > 0", stuck
    for reason, expr, what in [
        ("memory", "memgap_exporter_degraded > 0", "The exporter has too little memory and has given up {{ $value }} of 4 things"),
        ("heap-statistics", "memgap_exporter_heap_statistics_oldest_seconds > 300", f"Heap statistics are {TIME} old"),
        ("series", "increase(memgap_exporter_shed_members_total[15m]) > 0", "{{ $labels.scope }}s are folded into other: too many series"),
        ("walks", 'increase(memgap_exporter_walks_left_out_total{reason="over_budget"}[15m]) > 0', "Walks that are due are not made"),
    ]:
        yield "ExporterBudget", reason, "warning", "30m", expr, f"{what}, {here}"
    down = f"up == 0 and on (job, instance) {KNOWN}"
    yield "ExporterDown", "", "warning", "5m", down, f"The exporter does not answer {here}: nothing is known of its memory"
    none = "absent_over_time(memgap_exporter_build_info[15m])"
    yield "ExporterDown", "all", "warning", "0m", none, "No exporter was scraped for a quarter of an hour"
    overwritten = " or ".join(
        f'{family}{{{label}!=""}}'
        for family in ("memgap_container_usage_bytes", "memgap_process_group_rss_bytes")
        for label in ("exported_namespace", "exported_pod", "exported_container")
    )
    blamed = "Labels of job {{ $labels.job }} are overwritten: memory of all is blamed on one pod. Set honor_labels: true"
    yield "LabelsOverwritten", "", "critical", "5m", f"count by (job) ({overwritten})", blamed


def recording():
    lines = ["# Written by grafana/generate.", "groups:"]
    groups = {"memgap": [(name, meaning, expr) for name, meaning, expr in OF_NODES]}
    for scope in SCOPES:
        groups[f"memgap-{scope}"] = [(n.format(scope=scope), m, e.format(scope=scope)) for n, m, e in RECORDED]
    for group, rules in groups.items():
        lines += [f"  - name: {group}", "    rules:"]
        for name, meaning, expr in rules:
            lines += [f"      # {line}" for line in textwrap.wrap(meaning, 80)]
            lines += [f"      - record: {name}", f"        expr: {expr}"]
    return "\n".join(lines) + "\n"


def page_of(alert):
    """`OOMKilled` has its page at oom-killed."""
    words, capitals = "", alert.replace("OOM", "Oom")
    for letter in capitals:
        words += f"-{letter.lower()}" if letter.isupper() else letter
    return words.lstrip("-")


def alerting():
    lines = ["# Written by grafana/generate.", "groups:", "  - name: memgap-alerts", "    rules:"]
    for name, reason, severity, held, expr, summary in alerts():
        runbook = f"{REPOSITORY}/blob/main/docs/runbooks/{page_of(name)}.md"
        lines += [
            f"      - alert: {name}",
            f"        expr: {json.dumps(expr)}",
            f"        for: {held}",
            f"        labels: {{severity: {severity}{f', reason: {reason}' if reason else ''}}}",
            "        annotations:",
            f"          summary: {json.dumps(summary)}",
            f"          runbook_url: {runbook}",
        ]
        if name == "OOMKilled":
            lines.append(f"          post_mortem: {json.dumps(POST_MORTEM)}")
    return "\n".join(lines) + "\n"


# Who asks on the node, or over HTTP where the exporter has --web.api.
POST_MORTEM = (
    "memgap why {{ if $labels.pod }}pod/{{ $labels.namespace }}/{{ $labels.pod }}{{ else if $labels.unit }}unit/{{ $labels.unit }}"
    "{{ else }}cgroup:{{ $labels.cgroup }}{{ end }}"
)
