"""What pods are of, as the real API server tells the exporter.

A base of a test of check.py, which gives it the cluster.
"""

import collections
import json
import os
import pathlib
import tempfile

import yaml

from cluster import HERE, ROOT, wait

COMPONENTS = ROOT / "deploy/kubernetes"
# There is no kube-proxy: the address of the service leads nowhere.
SERVER = "10.88.0.1:6443"
ACCOUNT = "system:serviceaccount:memgap:memgap-exporter"


def kustomization(folder, profile):
    """A profile with the component, as deploy/README.md says, and the address."""
    place = lambda path: os.path.relpath(COMPONENTS / path, folder)
    env = [dict(name="MEMGAP_KUBERNETES_SERVER", value=SERVER)]
    containers = [dict(name="memgap-exporter", env=env)]
    patch = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "memgap-exporter", "namespace": "memgap"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }
    whole = {
        "resources": [place(profile)],
        "components": [place("components/workloads")],
        "patches": [{"patch": yaml.safe_dump(patch)}],
    }
    (pathlib.Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(whole))


class Workloads:
    """`deploy` of check.py's profiles is there, and `cluster`."""

    def start(self, profile):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        kustomization(os.path.realpath(folder), profile)
        self.watch, _ = self.deploy(os.path.realpath(folder))

    def told(self, namespace="owned"):
        """What each workload is said to be, and of how many pods."""
        series = self.watch.values("memgap_pod_workload_info", namespace=namespace)
        words = ("workload_kind", "workload", "known_by")
        return collections.Counter(tuple(s.labels[word] for word in words) for s in series)

    def pods_told(self):
        return {s.labels["pod"] for s in self.watch.values("memgap_pod_workload_info", namespace="owned")}

    def age(self):
        return self.watch.value("memgap_exporter_kubernetes_age_seconds")

    def check_workloads(self):
        kubectl = self.cluster.kubectl
        (self.cluster.directory / "manifests/static.yaml").write_text((HERE / "static.yaml").read_text())
        kubectl("apply", "-f", HERE / "owned.yaml")
        self.addCleanup(kubectl, "delete", "-f", HERE / "owned.yaml", "--wait=false")
        kubectl("-n", "owned", "create", "job", "--from=cronjob/nightly", "by-hand")
        expected = {
            ("Deployment", "front", "owner"): 2,
            ("StatefulSet", "store", "owner"): 1,
            ("DaemonSet", "agent", "owner"): 1,
            ("Job", "once", "owner"): 1,
            ("CronJob", "nightly", "owner"): 1,
            ("Pod", "alone", "owner"): 1,
        }
        self.wait_for(expected)
        wait("a static pod", lambda: self.told("default")["Node", "node", "owner"])
        wait("itself", lambda: self.told("memgap")["DaemonSet", "memgap-exporter", "owner"])
        with self.subTest("a rollout"):
            before = self.pods_told()
            kubectl("-n", "owned", "rollout", "restart", "deployment/front")
            kubectl("-n", "owned", "rollout", "status", "deployment/front", "--timeout=120s")
            left = lambda: {pod for pod in self.pods_told() & before if pod.startswith("front-")}
            wait("the old ones are gone", lambda: not left())
            self.wait_for(expected)
        with self.subTest("no API server"):
            self.check_server_away(expected)
        with self.subTest("no right to ReplicaSets"):
            self.check_less_rights(expected)

    def wait_for(self, expected):
        try:
            wait("all are told", lambda: self.told() == expected)
        except TimeoutError:
            self.assertEqual(self.told(), expected)

    def check_server_away(self, expected):
        held = self.cluster.directory / "apiserver.held"
        held.touch()
        try:
            kill = ["pkill", "-KILL", "-f", "cluster [k]ube-apiserver"]
            self.cluster.run_in(*kill)
            wait("it is away", lambda: self.age() > 20)
            self.assertEqual(self.told(), expected)
        finally:
            held.unlink()
        wait("it is back", lambda: self.age() < 5)
        self.cluster.wait_ready()
        deployment = ["create", "deployment", "later", "--image=memgap.test/busybox:1"]
        self.cluster.kubectl("-n", "owned", *deployment, "--", "busybox", "sleep", "100000")
        self.wait_for(expected | {("Deployment", "later", "owner"): 1})

    def check_less_rights(self, expected):
        kubectl = self.cluster.kubectl
        role = json.loads(kubectl("get", "clusterrole", "memgap-exporter", "-o", "json"))
        role["rules"] = [rule for rule in role["rules"] if rule["resources"] == ["pods"]]
        kubectl("replace", "-f", "-", input=json.dumps(role))
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        of = dict(group="apps", resource="replicasets", verb="get", namespace="owned")
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        review["spec"] = {"user": ACCOUNT, "resourceAttributes": of}

        def may():
            answer = kubectl("create", "--raw", path, "-f", "-", input=json.dumps(review))
            return json.loads(answer)["status"]["allowed"]

        wait("the right is gone", lambda: not may())
        deployment = ["create", "deployment", "last", "--image=memgap.test/busybox:1"]
        kubectl("-n", "owned", *deployment, "--", "busybox", "sleep", "100000")
        later = {("Deployment", "later", "owner"): 1, ("Deployment", "last", "name"): 1}
        self.wait_for(expected | later)
