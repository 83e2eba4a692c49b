"""Real Prometheus servers, exporters that they scrape, and what dashboards and rules ask of them."""

import json
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
NODE = ROOT / "tests/fixtures/kubernetes"
# An exporter that reads a captured Kubernetes node.
CAPTURED = [
    f"--path.procfs={NODE}/proc",
    f"--path.cgroupfs={NODE}/sys/fs/cgroup",
    f"--path.container-logs={NODE}/var/log/containers",
]
# Stands for an argument that names the Prometheus that scrapes as an endpoint.
ENDPOINT = object()
RULES = sorted((ROOT / "grafana/rules").glob("*.yml"))
DASHBOARDS = {
    path.stem.removeprefix("memgap-"): json.loads(path.read_text())
    for path in sorted((ROOT / "grafana/dashboards").glob("*.json"))
}
SCOPES = ("container", "unit", "cgroup")

# Which exporter is tested.
binary = ROOT / "target/debug/memgap-exporter"


def wait(what, condition, seconds=60):
    """Waits until the condition holds, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return result


def get(url, tls=None):
    """The answer, also to a bad request, which says why; None while nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=30, context=tls) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        return error.read() if error.code in (400, 422) else None
    except OSError:
        return None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start(stack, log, *command):
    """Starts a process that ends with the stack; returns its pid, and what waits for its answer."""
    output = stack.enter_context(open(log, "wb"))
    process = stack.enter_context(subprocess.Popen(command, stdout=output, stderr=output))
    stack.callback(process.terminate)

    def ready(url, tls):
        if process.poll() is not None:
            raise ChildProcessError(f"{command[0]} ended: {pathlib.Path(log).read_text()[-2000:]}")
        return get(url, tls) is not None

    return process.pid, lambda url, tls=None: wait(f"{command[0]} answers {url}", lambda: ready(url, tls))


class Prometheus:
    """Exporters, each with the arguments of one of the lists, and a Prometheus that scrapes them."""

    def __init__(self, stack, *exporters, scrape=None, labels=None, names=None, tls=None):
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        own, *self.targets = (f"127.0.0.1:{free_port()}" for _ in range(len(exporters) + 1))
        self.address = f"http://{own}"
        job = {"job_name": "memgap", "honor_labels": True}
        names = names or self.targets
        job["static_configs"] = [
            {"targets": [target], "labels": {"instance": name} | (labels or {})}
            for target, name in zip(self.targets, names)
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in RULES],
            "scrape_configs": [job | (scrape or {})],
        }
        # JSON is YAML.
        pathlib.Path(f"{scratch}/prometheus.yml").write_text(json.dumps(config))
        pid, answers = start(
            stack,
            f"{scratch}/prometheus.log",
            "prometheus",
            f"--config.file={scratch}/prometheus.yml",
            f"--storage.tsdb.path={scratch}/data",
            f"--web.listen-address={own}",
        )
        answers(f"{self.address}/-/ready")
        # It is a program of Go's that has an endpoint.
        self.endpoint = f"--endpoint={pid}={self.address}/metrics"
        waits = []
        for number, (target, arguments) in enumerate(zip(self.targets, exporters)):
            asked = [self.endpoint if one is ENDPOINT else one for one in arguments]
            asked += [f"--web.listen-address={target}", "--interval=1s"]
            waits.append(start(stack, f"{scratch}/exporter-{number}.log", binary, *asked)[1])
        for target, ready in zip(self.targets, waits):
            ready(f"{'https' if tls else 'http'}://{target}/readyz", tls)
        everybody = f"count(memgap_host_memory_total_bytes) == {len(exporters)}"
        wait("every host is scraped", lambda: self.query(everybody))

    def query(self, expr, at=None):
        """The result as a list of labels and value; a query that fails raises."""
        result = self.ask("query", {"query": expr} | ({"time": at} if at else {}))
        return [(sample["metric"], float(sample["value"][1])) for sample in result]

    def ask(self, path, asked):
        text = get(f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(asked)}")
        answer = json.loads(text or '{"error": "no answer"}')
        if answer.get("status") != "success":
            raise ValueError(f"{asked}: {answer.get('error')}")
        return answer["data"]["result"]

    def newest(self):
        """When something was scraped last: queries of that time tell of one scrape."""
        return max(value for _, value in self.query("timestamp(memgap_host_memory_total_bytes)"))

    def rules(self):
        """Every rule, once it was looked at."""
        asked = lambda: json.loads(get(f"{self.address}/api/v1/rules"))["data"]["groups"]
        seen = lambda: [rule for group in asked() for rule in group["rules"]]
        return wait("rules are looked at", lambda: (all_ := seen()) and all(r["health"] != "unknown" for r in all_) and all_)

    def alerts(self):
        """Which alerts are pending or firing, with their labels."""
        return [labels for labels, _ in self.query("ALERTS")]

    def exposition(self, accept="text/plain"):
        request = urllib.request.Request(f"http://{self.targets[0]}/metrics", headers={"Accept": accept})
        return get(request)


def opened(text, labels):
    """A query of a dashboard that is opened on the member with the labels given."""
    labels = {"__rate_interval": "5m"} | labels
    return re.sub(r"\$(\w+)", lambda match: labels[match[1]].replace("\\", "\\\\"), text)


def expressions(dashboard, labels):
    """Every query of a dashboard, with the title of its panel."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], opened(target["expr"], labels)
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], opened(annotation["expr"], labels)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            family, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            yield f"${label}", opened(f"group by ({label}) ({family})", labels)


def wholes(dashboard):
    """Panels that sum to a line of theirs: title, queries of the parts, query of the whole."""
    for panel in dashboard["panels"]:
        overrides = panel["fieldConfig"]["overrides"]
        lines = {
            override["matcher"]["options"]
            for override in overrides
            if {"id": "custom.stacking", "value": {"mode": "none"}} in override["properties"]
        }
        of = lambda inside: [t["expr"] for t in panel["targets"] if (t["legendFormat"] in lines) == inside]
        if lines:
            (whole,) = of(True)
            yield panel["title"], of(False), whole


def close(prometheus, dashboard, labels):
    """Checks that what is stacked sums to its whole, byte by byte; returns how many do so."""
    at = prometheus.newest()
    count = 0
    for title, parts, whole in wholes(dashboard):
        values = [value for part in parts for _, value in prometheus.query(opened(part, labels), at)]
        sums = prometheus.query(opened(whole, labels), at)
        if not values and not sums:
            continue
        assert [sum(values)] == [value for _, value in sums], f"{title}: {sum(values)} is not {sums} for {labels}"
        count += 1
    return count
