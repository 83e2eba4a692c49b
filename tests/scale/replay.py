"""Pages of nodes that are not there, made from one page of a real exporter: a pod's series and
a process group's are repeated under other names, and values change as a real one's do."""

import contextlib
import http.server
import random
import re
import threading

LINE = re.compile(r"(\w+)(\{.*\})? (\S+)$")
# Whose series stand for those of every container, process group and unit.
POD = 'namespace="shop",pod="orders-0"'
GROUP = 'namespace="shop",pod="orders-0",container="postgres",group="postgres"'
UNIT = 'unit="containerd.service"'


class Model:
    """The series of a node's page, by whose they are."""

    def __init__(self, page):
        samples = [match.groups(default="") for line in page.splitlines() if (match := LINE.match(line))]
        self.group = [s for s in samples if s[0].startswith("memgap_process_group_") and GROUP in s[1]]
        self.pod = [s for s in samples if POD in s[1] and not s[0].startswith("memgap_process_")]
        self.unit = [s for s in samples if UNIT in s[1]]
        named = ("memgap_container_", "memgap_unit_", "memgap_cgroup_", "memgap_process_", "memgap_finding_", "memgap_pod_")
        self.node = [s for s in samples if not s[0].startswith(named)]
        assert self.group and self.pod and self.unit and self.node, "the page is not that of the captured node"

    def series(self, pods, groups, units):
        """How many series a node has."""
        return len(self.pod) * pods + len(self.group) * groups + len(self.unit) * units + len(self.node)

    def samples(self, node, pods, groups, units):
        """The samples of one node, as the text before each value, and the value."""
        for name, labels, value in self.node:
            yield name + labels, float(value)
        for number in range(pods):
            own = f'namespace="team-{number % 10}",pod="app-{node}-{number}"'
            for name, labels, value in self.pod:
                yield name + labels.replace(POD, own), float(value)
        for number in range(groups):
            own = f'namespace="team-{number % 10}",pod="app-{node}-{number}",container="postgres",group="program-{number}"'
            for name, labels, value in self.group:
                yield name + labels.replace(GROUP, own), float(value)
        for number in range(units):
            for name, labels, value in self.unit:
                yield name + labels.replace(UNIT, f'unit="service-{number}.service"'), float(value)


class Node:
    """One node's page; each time that it is asked for, `changing` of its figures in bytes are others."""

    def __init__(self, samples, changing, seed):
        self.samples = [list(sample) for sample in samples]
        self.random = random.Random(seed)
        self.changing = changing

    def step(self):
        for sample in self.samples:
            if sample[1] >= 4096 and self.random.random() < self.changing:
                sample[1] = max(4096.0, sample[1] + 4096 * self.random.randint(-64, 64))

    def page(self, suffix=""):
        self.step()
        return "".join(f"{text} {value:.17g}{suffix}\n" for text, value in self.samples)


def serve(nodes):
    """A server of all pages, at /node/NUMBER."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = nodes[int(self.path.rsplit("/", 1)[1])].page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle(self):
            # A Prometheus that ends leaves what it asked for.
            with contextlib.suppress(ConnectionError):
                super().handle()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
