"""Programs with known faults, each in a container of its own, and what dashboards, rules and
alerts make of them."""

import contextlib
import hashlib
import os
import pathlib
import re
import subprocess
import tempfile
import unittest
import uuid

from served import CAPTURED, DASHBOARDS, ENDPOINT, ROOT, Prometheus, close, expressions, wait

MIB = 1 << 20
TARGETS = ROOT / "tests/targets"
# On a disk, which not every /tmp is.
DISK = ROOT / "tests/.cache"

# Families that may be empty for all of the workloads, and why.
LATER = {
    "room_lasts_seconds": "a room is told to end after half an hour",
    "advised_limit_bytes": "a limit is advised after an hour",
}
ON_V2 = {
    "throttled_total": "cgroup v1 has no memory.high",
    "memory_stall_seconds_total": "cgroup v1 tells no pressure",
}
NOTHING_WRONG = {
    "exporter_stuck_targets": "every process answers",
    "exporter_costly_targets": "no process is too large",
    "exporter_shed_members_total": "there is room for every series",
    "exporter_walks_left_out_total": "walks are within their budget",
    "exporter_errors_total": "everything is readable",
    "exporter_probe_errors_total": "everything is readable",
    "exporter_target_timeouts_total": "every process answers",
    "exporter_connections_closed_total": "nobody is closed",
    "exporter_cgroup_limit_bytes": "the test may run where nothing is limited",
    "exporter_cgroup_used_bytes": "the test may run where nothing is limited",
}


def home():
    """The directory of a cgroup that others may be made in, and whether it is of v2: there, the
    nearest one that hands the memory controller on."""
    own = None
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return pathlib.Path(f"/sys/fs/cgroup/memory{path}"), False
        if not controllers:
            own = pathlib.PurePosixPath(path)
    for path in [own, *own.parents] if own else []:
        directory = pathlib.Path(f"/sys/fs/cgroup{path}")
        if "memory" in (directory / "cgroup.subtree_control").read_text().split():
            return directory, True
    raise OSError("no cgroup above ours hands a memory controller on")


class Machine:
    """Cgroups that look like those of a node, below one of the test's own."""

    def __init__(self, stack):
        self.stack = stack
        self.scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.logs = self.scratch / "containers"
        self.logs.mkdir()
        parent, self.v2 = home()
        self.root = self.make(parent / f"memgap-test-prometheus-{os.getpid()}")

    def make(self, directory):
        directory.mkdir()
        self.stack.callback(lambda: wait(f"{directory} is empty", lambda: removed(directory)))
        if self.v2:
            (directory / "cgroup.subtree_control").write_text("+memory")
        return directory

    def leaf(self, directory):
        directory.mkdir()
        self.stack.callback(lambda: wait(f"{directory} is empty", lambda: removed(directory)))
        return directory

    def container(self, namespace, pod, name):
        """As a runtime makes it: its names are told by the link to its log."""
        uid = uuid.uuid5(uuid.NAMESPACE_DNS, f"{pod}.{namespace}")
        digits = hashlib.sha256(f"{uid}/{name}".encode()).hexdigest()
        (self.logs / f"{pod}_{namespace}_{name}-{digits}.log").symlink_to(
            f"/var/log/pods/{namespace}_{pod}_{uid}/{name}/0.log"
        )
        return self.leaf(self.make(self.root / f"pod{uid}") / digits)

    def limit(self, directory, size):
        (directory / ("memory.max" if self.v2 else "memory.limit_in_bytes")).write_text(str(size))

    def usage(self, directory):
        return int((directory / ("memory.current" if self.v2 else "memory.usage_in_bytes")).read_text())

    def run(self, directory, *command, **more):
        """Starts a program in a cgroup; it ends with the test, if not before."""
        enter = lambda: (directory / "cgroup.procs").write_text("0")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        child = subprocess.Popen(command, preexec_fn=enter, **pipes, **more)

        def end():
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()

        self.stack.callback(end)
        return child


def removed(directory):
    try:
        directory.rmdir()
    except OSError:
        return False
    return True


def says(child, word):
    line = child.stdout.readline()
    assert line.startswith(word), f"{child.args}: {line!r}"


def step(child):
    child.stdin.write(b"\n")
    child.stdin.flush()


def compiled(scratch):
    """The programs that are made for this."""
    subprocess.run(["cc", "-O1", "-o", scratch / "lazyfree", TARGETS / "lazyfree.c"], check=True)
    subprocess.run(["javac", "--release", "11", "-d", scratch, TARGETS / "Busy.java"], check=True)
    plain = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOENV": "off"}
    subprocess.run(["go", "build", "-o", scratch / "goes", "."], cwd=TARGETS / "go", env=plain, check=True)


def java(machine, directory):
    """At its -Xmx, which a tenth more than it would fit into the limit."""
    flags = ["-Xmx64m", "-Xms64m", "-XX:+UseSerialGC", "-XX:+AlwaysPreTouch", "-cp", str(machine.scratch)]
    child = machine.run(directory, "java", *flags, "Busy", "44")
    says(child, b"ready")
    machine.limit(directory, machine.usage(directory) * 8 // 7)


def files(machine, directory):
    """Page cache to 97 % of the limit."""
    file = pathlib.Path(tempfile.mkstemp(dir=DISK, prefix="memgap-cached-")[1])
    machine.stack.callback(file.unlink)
    writes = f"dd if=/dev/zero of={file} bs=1M count=48 conv=fsync 2>/dev/null; echo ready; read x"
    says(machine.run(directory, "sh", "-c", writes), b"ready")
    machine.limit(directory, machine.usage(directory) * 100 // 97)


def hidden(machine, directory):
    """Memory that is freed lazily, and written again in part."""
    child = machine.run(directory, machine.scratch / "lazyfree")
    says(child, b"ready")
    for _ in range(2):
        step(child)
        says(child, b"ready")
    machine.limit(directory, 256 * MIB)


def killed(machine, directory):
    """One of its processes meets the limit and is ended; it lives on."""
    machine.limit(directory, 24 * MIB)
    child = machine.run(directory, "sh", "-c", "echo ready; read go; tail /dev/zero; echo gone; read x", stderr=subprocess.DEVNULL)
    says(child, b"ready")
    return child


def goes(machine, directory):
    """64 MiB that live, and much that was freed."""
    child = machine.run(directory, machine.scratch / "goes", env={"STEPS": "steady drop"})
    says(child, b"ready")
    # Its pod's, which is met first.
    machine.limit(directory.parent, 1024 * MIB)


def redis(machine, directory):
    where = machine.scratch / "redis"
    where.mkdir()
    flags = ["--port", "0", "--unixsocket", str(where / "socket"), "--save", ""]
    machine.run(directory, "redis-server", *flags, cwd=where)
    wait("redis listens", lambda: (where / "socket").exists())
    asked = ["redis-cli", "-s", str(where / "socket"), "debug", "populate", "100000", "key", "200"]
    subprocess.run(asked, check=True, capture_output=True)
    subprocess.run([*asked[:3], "flushall", "sync"], check=True, capture_output=True)


KINDS = {"java": java, "files": files, "hidden": hidden, "killed": killed, "goes": goes, "redis": redis}
# Those that are not in a container only.
ELSEWHERE = ("java", "files", "killed")


class Workloads(unittest.TestCase):
    # Settings of the scrape job and names of the nodes, where others draw what is made here.
    scrape, names = None, None

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            with open(os.environ.get("MEMGAP_LEFT_OUT", os.devnull), "a") as list_:
                list_.write("the workloads of tests/prometheus/run: they make cgroups\n")
            raise unittest.SkipTest("they make cgroups")
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.machine = machine = Machine(stack)
        compiled(machine.scratch)
        places = {"container": {}, "unit": {}, "cgroup": {}}
        for kind in KINDS:
            places["container"][kind] = machine.container("shop", f"{kind}-0", "main")
        for kind in ELSEWHERE:
            places["unit"][kind] = machine.leaf(machine.root / f"memgap-test-{kind}.service")
            places["cgroup"][kind] = machine.leaf(machine.root / kind)
        started = {(scope, kind): KINDS[kind](machine, there[kind]) for scope, there in places.items() for kind in there}
        # What is small or new would have to wait where the machine has much else to do.
        here = [f"--path.container-logs={machine.logs}", "--process-groups=500", "--probe.budget=0.2", ENDPOINT]
        cls.prometheus = Prometheus(stack, here, CAPTURED, scrape=cls.scrape, names=cls.names)
        cls.node = cls.prometheus.targets[0]
        # The OOM killer comes when everybody looks.
        for scope in places:
            step(started[scope, "killed"])
            says(started[scope, "killed"], b"gone")
            killed_once = f"increase(memgap_{scope}_oom_kills_total[10m]) > 0"
            wait(f"a kill in a {scope}", lambda: cls.prometheus.query(killed_once))

    def members(self, scope):
        """The labels that each dashboard of a scope is opened on."""
        root = str(self.machine.root).removeprefix("/sys/fs/cgroup").removeprefix("/memory")
        of = {
            "container": lambda kind: {"namespace": "shop", "pod": f"{kind}-0", "container": "main"},
            "unit": lambda kind: {"unit": f"memgap-test-{kind}.service"},
            "cgroup": lambda kind: {"cgroup": f"{root}/{kind}"},
        }[scope]
        for kind in KINDS if scope == "container" else ELSEWHERE:
            yield {"instance": self.node} | of(kind)

    def check(self, name, members):
        """Each query is answered for one of them at least, or it is known why it is not; each stack closes."""
        dashboard = DASHBOARDS[name]
        known = LATER | NOTHING_WRONG | ({} if self.machine.v2 else ON_V2)
        asked = [list(expressions(dashboard, labels)) for labels in members]
        for same in zip(*asked):
            title, expr = same[0]
            with self.subTest(dashboard=name, panel=title, expr=expr):
                answered = lambda: any(self.prometheus.query(expr) for _, expr in same)
                if not any(re.search(rf"{family}\b", expr) for family in known):
                    wait(expr, answered, 15)
                else:
                    answered()
        stacks = [close(self.prometheus, dashboard, labels) for labels in members]
        self.assertGreater(sum(stacks), 0, f"nothing was stacked in {name}")

    def test_the_dashboards_of_workloads_answer(self):
        for scope in ("container", "unit", "cgroup"):
            self.check(scope, list(self.members(scope)))

    def test_the_dashboards_of_nodes_answer(self):
        self.check("fleet", [{}])
        self.check("node", [{"instance": node} for node in self.prometheus.targets])

    def test_the_dashboard_of_processes_answers(self):
        anywhere = {"namespace": ".*", "pod": ".*", "container": ".*"}
        groups = ("java", "goes", "redis-server", "lazyfree", "prometheus")
        self.check("process", [{"instance": self.node, "group": group} | anywhere for group in groups])

    def test_the_dashboard_of_the_exporter_answers(self):
        self.check("exporter", [{"instance": self.node}])

    def test_alerts_name_who_was_killed_and_nobody_whose_limit_is_full_of_cache(self):
        killed_now = lambda: [a for a in self.prometheus.alerts() if a["alertname"] == "OOMKilled"]
        alerts = wait("all three are told", lambda: len(killed_now()) >= 3 and killed_now())
        whose = {(a.get("pod"), a.get("unit"), "cgroup" in a) for a in alerts}
        self.assertEqual(whose, {("killed-0", None, False), (None, "memgap-test-killed.service", False), (None, None, True)})
        harmless = [a for a in self.prometheus.alerts() if a.get("pod") in ("files-0", "java-0", "redis-0")]
        self.assertEqual(harmless, [])
        hides = 'ALERTS{alertname="WorkingSetHidesLiveMemory",pod="hidden-0"}'
        wait("what hides live memory is told", lambda: self.prometheus.query(hides))
