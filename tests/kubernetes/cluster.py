"""The cluster of tests/kubernetes/up, with images of the exporter and of busybox."""

import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
API = "https://127.0.0.1:6443"
PARTS = HERE.parent / ".cache/kubernetes"
CLONE_NEWNET = 0x40000000


def wait(what, condition, seconds=180):
    """Waits until the condition holds, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.1)
    return result


def output(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def images(folder, exporter):
    """What the pods run. The exporter stands beside the libraries that it is linked to: the
    Dockerfile's is static, which would take another build."""
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    pause, stripped = folder / "pause", folder / "memgap-exporter"
    output("musl-gcc", "-static", "-Os", "-o", pause, HERE / "pause.c")
    output("strip", "-o", stripped, exporter)
    libraries = re.findall(r"(/\S+) \(0x", output("ldd", exporter))
    for name, entry, files in [
        ("memgap.test/pause:1", "/pause", {"/pause": pause}),
        ("memgap.test/busybox:1", "/bin/busybox", {"/bin/busybox": "/bin/busybox"}),
        (
            f"ghcr.io/memgap/memgap-exporter:{version}",
            "/memgap-exporter",
            {"/memgap-exporter": stripped} | {path: path for path in libraries},
        ),
    ]:
        file = folder / f"{entry.rsplit('/', 1)[1]}.tar"
        output(HERE / "image", file, name, entry, *(f"{path}={of}" for path, of in files.items()))
        yield file


class Cluster:
    """It is taken down by `stop`, and where this process ends otherwise, by itself."""

    def __init__(self, exporter):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="memgap-kubernetes-"))
        self.directory = self.folder / "cluster"
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        try:
            tars = list(images(self.folder, exporter))
            command = [HERE / "up", "--while", str(os.getpid()), self.directory, *tars]
            subprocess.run(command, check=True)
            self.enter()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if self.directory.exists():
            subprocess.run([HERE / "down", self.directory], check=True)
        shutil.rmtree(self.folder)

    def enter(self):
        """Has this process and those that it starts from now on see the pods' network."""
        outer = (self.directory / "pid").read_text().strip()
        inner = pathlib.Path(f"/proc/{outer}/task/{outer}/children").read_text().strip()
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/proc/{inner}/ns/net") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        pki = self.directory / "pki"
        self.tls = ssl.create_default_context(cafile=pki / "ca.crt")
        self.tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def kubectl(self, *arguments, **more):
        return output(self.directory / "kubectl", *arguments, **more)

    def run_in(self, *command):
        """Runs a command among the cluster's processes."""
        output(self.directory / "in", *command)

    def wait_ready(self):
        """Waits until the API server answers."""

        def answers():
            try:
                return self.get("/readyz")
            except OSError:
                return None

        wait("the API server", answers)

    def get(self, path):
        """What the API server answers; None where it has no such thing."""
        try:
            with urllib.request.urlopen(f"{API}{path}", timeout=30, context=self.tls) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def pods(self, namespace=None):
        """All pods, or those of a namespace, by namespace and name."""
        place = f"/namespaces/{namespace}" if namespace else ""
        items = json.loads(self.get(f"/api/v1{place}/pods"))["items"]
        return {(pod["metadata"]["namespace"], pod["metadata"]["name"]): pod for pod in items}


def statuses(pod):
    """What the kubelet says of each container of a pod, by name."""
    kinds = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    all = [status for kind in kinds for status in pod["status"].get(kind, ())]
    return {status["name"]: status for status in all}


def is_ready(pod):
    conditions = pod["status"].get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
