"""What deploy/ promises, checked on the rendered manifests, on the exporter in a
pod's surroundings, and on the unit.

Called by tests/deploy/run, which sets KUSTOMIZE and MEMGAP_EXPORTER.
"""

import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import tomllib
import unittest
import urllib.request

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
EXPORTER = os.environ["MEMGAP_EXPORTER"]

# The oldest release that knows every field, and the newest with a schema.
SCHEMAS = ("1.31.0", kubernetes_validate.latest_version())
# Bits of linux/capability.h.
CAPABILITIES = {2: "DAC_READ_SEARCH", 19: "SYS_PTRACE"}
MOUNTS = {"/proc", "/sys/fs/cgroup", "/var/log/containers"}


def left_out(why):
    """Leaves a test out that needs root and has none; tests/run names it at its end."""

    def decorate(test):
        if os.geteuid() == 0:
            return test

        @functools.wraps(test)
        def skip(self):
            if list := os.environ.get("MEMGAP_LEFT_OUT"):
                with open(list, "a") as file:
                    file.write(f"{self.id()}: {why}\n")
            self.skipTest(why)

        return skip

    return decorate


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wait_ready(process, url, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(url, timeout=10).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"{url} is not ready") from error
        time.sleep(0.05)


def metrics(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def value(text, family, labels=""):
    """The sum of a family's samples, of those whose labels match."""
    samples = re.findall(rf"^{family}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return sum(float(number) for found, number in samples if re.search(labels, found))


def children(parent):
    return map(int, pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split())


def effective(parent):
    """The capabilities that the only child of a process can use."""
    (child,) = children(parent)
    status = pathlib.Path(f"/proc/{child}/status").read_text()
    bits = int(re.search(r"^CapEff:\s*(\w+)$", status, re.MULTILINE)[1], 16)
    return {CAPABILITIES.get(bit, bit) for bit in range(64) if bits >> bit & 1}


class Profile:
    """The tests of one privilege profile."""

    directory: str
    uid: int
    capabilities: set
    mounts = MOUNTS

    @classmethod
    def setUpClass(cls):
        text = output(os.environ["KUSTOMIZE"], "build", DEPLOY / "kubernetes" / cls.directory)
        cls.resources = {resource["kind"]: resource for resource in yaml.safe_load_all(text)}
        cls.template = cls.resources["DaemonSet"]["spec"]["template"]
        cls.pod = cls.template["spec"]
        (cls.container,) = cls.pod["containers"]

    def test_the_schemas_hold(self):
        for resource in self.resources.values():
            for version in SCHEMAS:
                kubernetes_validate.validate(resource, version, strict=True)

    def test_there_is_no_access_to_the_api(self):
        self.assertEqual(set(self.resources), {"DaemonSet", "Namespace", "NetworkPolicy"})
        self.assertIs(self.pod["automountServiceAccountToken"], False)
        self.assertNotIn("serviceAccountName", self.pod)

    def test_no_namespace_of_the_host_is_entered(self):
        for field in ("hostPID", "hostIPC", "hostNetwork", "initContainers"):
            self.assertNotIn(field, self.pod)

    def test_the_host_is_mounted_read_only(self):
        paths = {}
        for volume in self.pod["volumes"]:
            self.assertEqual(volume["hostPath"]["type"], "Directory")
            paths[volume["name"]] = volume["hostPath"]["path"]
        self.assertEqual(set(paths.values()), self.mounts)
        expected = [
            dict(name=name, mountPath=f"/host{path}", readOnly=True, recursiveReadOnly="IfPossible")
            for name, path in paths.items()
        ]
        self.assertCountEqual(self.container["volumeMounts"], expected)

    def test_the_privileges_are_those_of_the_profile(self):
        context = self.container["securityContext"]
        self.assertNotIn("privileged", context)
        self.assertIs(context["allowPrivilegeEscalation"], False)
        self.assertIs(context["readOnlyRootFilesystem"], True)
        self.assertEqual(context["capabilities"]["drop"], ["ALL"])
        self.assertEqual(set(context["capabilities"].get("add", ())), self.capabilities)
        self.assertEqual("appArmorProfile" in context, bool(self.capabilities))
        whole = self.pod["securityContext"]
        self.assertEqual((whole["runAsUser"], whole["runAsGroup"]), (self.uid, self.uid))
        self.assertEqual(whole["runAsNonRoot"], self.uid != 0)
        self.assertEqual(whole["seccompProfile"], {"type": "RuntimeDefault"})

    def test_the_arguments_fit_the_exporter_and_the_pod(self):
        known = set(re.findall(r"--[a-z.-]+", output(EXPORTER, "--help")))
        flags = dict(argument.split("=", 1) for argument in self.container["args"])
        self.assertLessEqual(set(flags), known)
        (port,) = self.container["ports"]
        self.assertEqual(flags.pop("--web.listen-address"), f":{port['containerPort']}")
        # A cgroup controller of v1 is looked for below where v2 would be.
        mounted = {mount["mountPath"] for mount in self.container["volumeMounts"]}
        self.assertEqual(set(flags.values()), {re.sub("/memory$", "", path) for path in mounted})

    def test_it_is_ready_as_soon_as_it_can_be(self):
        startup, readiness = (self.container[f"{name}Probe"] for name in ("startup", "readiness"))
        self.assertEqual(startup["httpGet"], readiness["httpGet"])
        self.assertEqual(startup["periodSeconds"], 1)

    def test_the_image_is_this_version(self):
        workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
        tag = self.container["image"].rsplit(":", 1)[1]
        self.assertEqual(tag, workspace["package"]["version"])

    def test_it_is_scraped_by_jobs_that_know_it_alone(self):
        self.assertNotIn("prometheus.io", str(self.template["metadata"]))
        (job,) = yaml.safe_load((DEPLOY / "prometheus/scrape.yaml").read_text())
        monitor = yaml.safe_load((DEPLOY / "prometheus/podmonitor.yaml").read_text())
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        self.assertIs(job["honor_labels"], True)
        self.assertIs(endpoint["honorLabels"], True)
        (port,) = self.container["ports"]
        self.assertEqual(endpoint["port"], port["name"])
        labels = monitor["spec"]["selector"]["matchLabels"]
        self.assertEqual(labels, self.template["metadata"]["labels"])
        self.assertEqual(monitor["metadata"]["namespace"], self.resources["Namespace"]["metadata"]["name"])
        self.assertEqual(job["relabel_configs"][0]["regex"], ";".join([*labels.values(), port["name"]]))

    @left_out("it mounts file systems")
    def test_it_works_with_no_more_than_that(self):
        text = metrics(self.enterContext(self.running()))
        total = value(text, "memgap_host_memory_total_bytes")
        self.assertGreater(total, 0)
        self.assertEqual(value(text, "memgap_host_ledger_bytes"), total)
        # Processes are found in their cgroups, though those are named from within
        # a cgroup namespace.
        ledger = r"memgap_(?:cgroup|unit|container)_ledger_bytes"
        self.assertGreater(value(text, ledger, r'account="(?:heap_unprobed|unreadable)"'), 0)

    @contextlib.contextmanager
    def running(self):
        """The address of the exporter in a pod of this profile, with the pod's arguments."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
        arguments = [a for a in self.container["args"] if not a.startswith("--web.listen")]
        capabilities = "".join(f",+{name.lower()}" for name in sorted(self.capabilities))
        with tempfile.TemporaryDirectory() as root:
            command = ["unshare", "--mount", "--pid", "--ipc", "--cgroup", "--fork"]
            command += [ROOT / "tests/deploy/pod", root, str(self.uid), capabilities, EXPORTER]
            command += [f"--web.listen-address={address}", "--log.level=warn", *arguments]
            with subprocess.Popen(command) as process:
                try:
                    wait_ready(process, f"http://{address}/readyz")
                    self.assertEqual(effective(process.pid), self.capabilities)
                    yield f"http://{address}/metrics"
                finally:
                    if process.poll() is None:
                        for child in children(process.pid):
                            os.kill(child, signal.SIGKILL)
                        process.kill()


class Cgroup(Profile, unittest.TestCase):
    directory, uid, capabilities = "base", 65534, set()


class Process(Profile, unittest.TestCase):
    directory, uid, capabilities = "overlays/process", 0, {"SYS_PTRACE"}


class Probe(Profile, unittest.TestCase):
    directory, uid, capabilities = "overlays/probe", 0, {"SYS_PTRACE", "DAC_READ_SEARCH"}


class OnCgroupV1(Profile):
    mounts = MOUNTS - {"/sys/fs/cgroup"} | {"/sys/fs/cgroup/memory"}
    # tests/deploy/pod mounts what the other profiles do.
    test_it_works_with_no_more_than_that = None


class ProcessOnCgroupV1(OnCgroupV1, unittest.TestCase):
    directory, uid, capabilities = "overlays/process-cgroup-v1", 0, {"SYS_PTRACE"}


class ProbeOnCgroupV1(OnCgroupV1, unittest.TestCase):
    directory = "overlays/probe-cgroup-v1"
    uid, capabilities = 0, {"SYS_PTRACE", "DAC_READ_SEARCH"}


class Sbom(unittest.TestCase):
    def test_it_names_what_is_linked(self):
        text = output(DEPLOY / "sbom")
        self.assertEqual(output(DEPLOY / "sbom"), text)
        bom = json.loads(text)
        self.assertEqual(bom["metadata"]["component"]["name"], "memgap-exporter")
        crates = {crate["name"]: crate for crate in bom["components"]}
        # What serves and what is read by are in it; what tests and macros need is not.
        self.assertLessEqual({"tokio", "rustix", "memgap-ledger"}, set(crates))
        self.assertEqual(set(crates) & {"criterion", "proptest", "syn", "ratatui"}, set())
        for name, crate in crates.items():
            with self.subTest(crate=name):
                self.assertTrue(crate["licenses"])
                self.assertEqual("hashes" in crate, not name.startswith("memgap-"))


class Systemd(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        text = (DEPLOY / "systemd/memgap-exporter.service").read_text()
        self.unit = pathlib.Path(scratch.name, "memgap-exporter.service")
        # The unit names an installed program, which need not be there.
        self.unit.write_text(text.replace("/usr/local/bin/memgap-exporter", EXPORTER))

    def test_the_unit_is_valid_in_each_profile(self):
        dropin = self.unit.parent / "memgap-exporter.service.d/profile.conf"
        dropin.parent.mkdir()
        for profile in (Cgroup, Process, Probe):
            name = profile.__name__.lower()
            with self.subTest(profile=name):
                if profile.capabilities:
                    text = (DEPLOY / f"systemd/memgap-exporter.service.d/{name}.conf").read_text()
                    dropin.write_text(text)
                    expected = {f"CAP_{capability}" for capability in profile.capabilities}
                    for field in ("CapabilityBoundingSet", "AmbientCapabilities"):
                        (line,) = re.findall(rf"^{field}=(.*)$", text, re.MULTILINE)
                        self.assertEqual(set(line.split()), expected)
                command = ["systemd-analyze", "verify", self.unit]
                check = subprocess.run(command, capture_output=True, text=True)
                self.assertEqual((check.returncode, check.stderr), (0, ""))

    def test_the_unit_is_hardened(self):
        dropin = self.unit.parent / "memgap-exporter.service.d/profile.conf"
        dropin.parent.mkdir()
        readme = (DEPLOY / "README.md").read_text()
        for profile in ("cgroup", "process", "probe"):
            if profile != "cgroup":
                shutil.copy(DEPLOY / f"systemd/memgap-exporter.service.d/{profile}.conf", dropin)
            said = re.search(rf"\b(\d\.\d) as `{profile}`", readme)[1]
            # In tenths of systemd's scale.
            most = int(said.replace(".", ""))
            output("systemd-analyze", "security", "--offline=yes", f"--threshold={most}", self.unit)
