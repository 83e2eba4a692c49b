"""What the exporter tells of the pods of a real node, by each profile of deploy/kubernetes.

Called by tests/kubernetes/run, which sets MEMGAP_EXPORTER, HELM and KUSTOMIZE.
"""

import datetime
import json
import os
import pathlib
import re
import unittest
import urllib.error
import urllib.request

import yaml

from cluster import HERE, ROOT, Cluster, is_ready, output, statuses, wait
from exporter import Watch
from prometheus import Prometheus
from workloads import Workloads

MIB = 1 << 20
PROFILES = ROOT / "deploy/kubernetes"
IS_V1 = not pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
# Who is ready at its first probe, or a second later, is so long before this. The period of
# a probe that came too early is 10 s.
READY_SECONDS = 8

cluster = None
# What is added to the names of profiles that run as uid 0, where they need another mount.
fit = ""


def setUpModule():
    global cluster, fit
    cluster = Cluster(os.environ["MEMGAP_EXPORTER"])
    unittest.addModuleCleanup(cluster.stop)
    if IS_V1 and not mounts_below():
        fit = "-cgroup-v1"


def mounts_below():
    """Whether the container runtime makes also read-only what is mounted below."""
    status = json.loads(cluster.get("/api/v1/nodes/node"))["status"]
    handlers = status.get("runtimeHandlers", ())
    return any(handler.get("features", {}).get("recursiveReadOnlyMounts") for handler in handlers)


def apply(*arguments):
    cluster.kubectl("apply", *arguments)


def exporter_pod():
    """The exporter's pod, once there is one that runs."""

    def running():
        pods = [p for p in cluster.pods("memgap").values() if "deletionTimestamp" not in p["metadata"]]
        pods = [pod for pod in pods if pod["status"].get("podIP")]
        return pods[0] if len(pods) == 1 else None

    return wait("the exporter's pod", running)


def time(text):
    return datetime.datetime.fromisoformat(text)


class Profiles(unittest.TestCase):
    """Each profile as it stands in deploy/kubernetes."""

    def deploy(self, profile):
        """Applies a profile and watches its exporter from the start."""
        apply("-k", PROFILES / profile)
        pod = exporter_pod()
        watch = Watch(pod["status"]["podIP"])
        self.addCleanup(watch.stop)
        self.addCleanup(cluster.kubectl, "delete", "-k", PROFILES / profile)
        cluster.kubectl("-n", "memgap", "rollout", "status", "daemonset/memgap-exporter", "--timeout=180s")
        return watch, cluster.pods("memgap")["memgap", pod["metadata"]["name"]]

    def check(self, profile):
        watch, pod = self.deploy(profile)
        self.assertTrue(is_ready(pod))
        (status,) = pod["status"]["containerStatuses"]
        (ready,) = [c for c in pod["status"]["conditions"] if c["type"] == "Ready"]
        took = time(ready["lastTransitionTime"]) - time(status["state"]["running"]["startedAt"])
        self.assertLess(took.total_seconds(), READY_SECONDS)
        self.assertEqual(status["restartCount"], 0)

        own = dict(namespace="memgap", pod=pod["metadata"]["name"])
        told = lambda: watch.value("memgap_container_usage_bytes", container="memgap-exporter", **own)
        wait("it tells of itself", told)
        log = self.write(profile)
        self.assertIn("tried", log)
        self.assertNotIn("written", log)
        self.assertNotIn("writable below", self.log(pod))
        watch.stop()
        # It was one of few pods, and never another.
        self.assertEqual({name for name in watch.pods if name[0] == "memgap"}, {tuple(own.values())})
        self.check_names(watch)

    def check_names(self, watch):
        """From the first scrape on all were told of by their names, or not at all."""
        known = set(cluster.pods())
        self.assertGreater(watch.scrapes, 0)
        self.assertLessEqual(watch.pods - {("", "")}, known)
        for id, names in watch.names.items():
            self.assertEqual(len(names), 1, (id, names))
            ((namespace, pod, container),) = names
            self.assertIn((namespace, pod), known)
            self.assertIn(container, statuses(cluster.pods()[namespace, pod]))

    def log(self, pod):
        return cluster.kubectl("-n", "memgap", "logs", pod["metadata"]["name"])

    def write(self, profile):
        """Has a program in the exporter's place write what is there of a cgroup again, and
        returns what it says."""
        rendered = yaml.safe_load_all(output(os.environ["KUSTOMIZE"], "build", PROFILES / profile))
        (spec,) = [r["spec"]["template"]["spec"] for r in rendered if r["kind"] == "DaemonSet"]
        script = (
            "for name in memory.soft_limit_in_bytes memory.high; do"
            " for file in $(find /host/sys/fs/cgroup/ -path */kubepods/$name); do"
            " value=$(cat $file); echo read $file;"
            " echo $value >$file && echo written; done; done; echo tried"
        )
        (container,) = spec["containers"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            container.pop(probe)
        container |= dict(name="writer", image="memgap.test/busybox:1", args=["sh", "-c", script])
        container["securityContext"].pop("appArmorProfile", None)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "writer", "namespace": "default"},
            "spec": spec | {"restartPolicy": "Never"},
        }
        apply_text = lambda verb: cluster.kubectl(verb, "-f", "-", input=json.dumps(pod))
        apply_text("apply")
        try:
            ended = lambda: "terminated" in statuses(
                cluster.pods("default")["default", "writer"]
            ).get("writer", {}).get("state", {})
            wait("it has tried", ended)
            log = cluster.kubectl("logs", "writer")
        finally:
            apply_text("delete")
        self.assertIn("read /host/sys/fs/cgroup/", log)
        return log

    def test_cgroup(self):
        self.check("base")

    def test_process(self):
        self.check(f"overlays/process{fit}")

    def test_probe(self):
        self.check(f"overlays/probe{fit}")

    def test_what_is_writable_below_is_told(self):
        if not fit:
            self.skipTest("here nothing is writable below")
        _, pod = self.deploy("overlays/probe")
        self.assertIn("writable below /host/sys/fs/cgroup", self.log(pod))
        self.assertIn("written", self.write("overlays/probe"))


class Pods(Profiles):
    """Pods of every kind, as the profile with the most rights tells of them."""

    test_cgroup = test_process = test_probe = test_what_is_writable_below_is_told = None

    def setUp(self):
        self.watch, _ = self.deploy(f"overlays/probe{fit}")

    def usage(self, pod, container, namespace="shop"):
        labels = dict(namespace=namespace, pod=pod, container=container)
        return self.watch.value("memgap_container_usage_bytes", **labels)

    def test_what_is_told_is_of_whom_it_is(self):
        watch = self.watch
        (cluster.directory / "manifests/static.yaml").write_text((HERE / "static.yaml").read_text())
        apply("-f", HERE / "pods.yaml")
        self.addCleanup(cluster.kubectl, "delete", "-f", HERE / "pods.yaml", "--wait=false")
        for pod, container in [
            ("web", "sidecar"),
            ("web", "nginx"),
            ("scratch", "writer"),
            ("limited", "one"),
            ("eater", "eater"),
        ]:
            wait(f"{pod}/{container} is told of", lambda: self.usage(pod, container))
        has_batch = lambda: any(s.labels.get("pod", "").startswith("batch-") for s in watch.last)
        wait("the job is told of", has_batch)
        wait("the static pod is told of", lambda: self.usage("static-node", "main", "default"))
        debug = ["debug", "web", "--image=memgap.test/busybox:1", "--container=debugger"]
        cluster.kubectl("-n", "shop", *debug, "--profile=general", "--", "busybox", "sleep", "100000")
        wait("the ephemeral container is told of", lambda: self.usage("web", "debugger"))

        with self.subTest("a file system in memory"):
            labels = dict(pod="scratch", container="writer", account="shmem")
            shmem = watch.value("memgap_container_ledger_bytes", **labels)
            self.assertEqual(shmem, 8 * MIB)
        with self.subTest("a pod's limit"):
            for container in ("one", "two"):
                labels = dict(pod="limited", container=container)
                self.assertEqual(watch.value("memgap_container_limit_bytes", **labels), 64 * MIB)
                room = watch.value("memgap_container_room_bytes", bound="low", **labels)
                pod = watch.value("memgap_pod_room_bytes", bound="low", pod="limited")
                self.assertEqual(room, pod)
                self.assertLess(room, 64 * MIB)
        with self.subTest("kills"):
            kills = lambda: watch.value("memgap_container_oom_kills_total", pod="eater")
            wait("a kill is counted", kills)
        with self.subTest("restarts"):
            crasher = lambda: cluster.pods("shop")["shop", "crasher"]["status"]["containerStatuses"][0]
            wait("it is started anew", lambda: crasher()["restartCount"] >= 1)
            reason = lambda: crasher().get("lastState", {}).get("terminated", {}).get("reason")
            self.assertEqual(wait("the kubelet says why", reason), "OOMKilled")
            pod = lambda: watch.value("memgap_pod_usage_bytes", pod="crasher")
            wait("its pod is told of", pod)
        with self.subTest("a job that ends"):
            wait("it is gone", lambda: not has_batch())
        with self.subTest("sandboxes"):
            groups = {s.labels["group"] for s in watch.values("memgap_process_group_rss_bytes")}
            self.assertNotIn("pause", groups)
            self.assertTrue(watch.values("memgap_pod_usage_bytes", pod="web"))
        with self.subTest("the kubelet's own figures"):
            self.check_cadvisor({"sidecar", "nginx", "one", "two", "main", "debugger"})
        watch.stop()
        self.check_names(watch)

    def check_cadvisor(self, containers):
        """Usage and working set of containers at rest are the kubelet's, each at some time."""
        line = re.compile(r'^container_memory_(usage|working_set)_bytes{container="(\w+)",id=".*/(\w+)".* (\S+) \d+$', re.MULTILINE)
        differ = {}

        def are_equal():
            text = cluster.get("/api/v1/nodes/node/proxy/metrics/cadvisor")
            for figure, container, id, value in line.findall(text):
                if container in containers:
                    own = {s.labels["container_id"]: s for s in self.watch.values("memgap_container_info")}
                    names = own[id].labels if id in own else {}
                    labels = {k: names.get(k) for k in ("namespace", "pod", "container")}
                    ours = self.watch.value(f"memgap_container_{figure}_bytes", **labels)
                    if ours == float(value):
                        differ[container, figure] = None
                    elif differ.get((container, figure), "") is not None:
                        differ[container, figure] = (ours, float(value))
            return len(differ) == 2 * len(containers) and not any(differ.values())

        try:
            wait("the kubelet's figures are ours", are_equal)
        except TimeoutError:
            self.fail(f"ours and the kubelet's: { {k: v for k, v in differ.items() if v} }")


class Watched(Workloads, Profiles):
    """Pods of every kind of workload. The last by name: its pods take a while to end, and others would see them."""

    test_cgroup = test_process = test_probe = test_what_is_writable_below_is_told = None
    cluster = property(lambda self: cluster)

    def test_what_pods_are_of(self):
        self.start(f"overlays/probe{fit}")
        self.check_workloads()


class Scraped(unittest.TestCase):
    """A Prometheus that finds the exporter as those in clusters do."""

    # The target has the labels of the exporter's pod, as in the examples of many.
    COMMON = {
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": [
            {
                "source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"],
                "regex": "memgap-exporter",
                "action": "keep",
            },
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        ],
    }

    def test_every_pod_has_its_own_memory(self):
        apply("-k", PROFILES / "base")
        self.addCleanup(cluster.kubectl, "delete", "-k", PROFILES / "base")
        apply("-f", HERE / "pods.yaml")
        self.addCleanup(cluster.kubectl, "delete", "-f", HERE / "pods.yaml", "--wait=false")
        own = exporter_pod()["metadata"]["name"]
        (job,) = yaml.safe_load((ROOT / "deploy/prometheus/scrape.yaml").read_text())
        common = {"job_name": "common", **self.COMMON}
        honoured = {"job_name": "honoured", "honor_labels": True, **self.COMMON}
        prometheus = Prometheus(cluster, [job, common, honoured])
        self.addCleanup(prometheus.stop)

        usage = lambda job: f'memgap_container_usage_bytes{{job="{job}"}}'
        names = lambda series: (series.get("namespace"), series.get("pod"), series.get("container"))
        sidecar = ("shop", "web", "sidecar")
        for name in (job["job_name"], "honoured"):
            told = lambda: sidecar in map(names, prometheus.query(usage(name)))
            wait(f"{name} has the sidecar", told)
        self.assertLessEqual(
            {names(series)[:2] for series in prometheus.query(usage(job["job_name"]))},
            set(cluster.pods()),
        )
        # What is nobody's stays so also where the target has names.
        for name in (job["job_name"], "honoured"):
            groups = f'memgap_process_group_rss_bytes{{job="{name}",group="containerd"}}'
            self.assertEqual([names(s) for s in prometheus.query(groups)], [(None, None, None)])
        (host,) = prometheus.query(f'memgap_host_memory_total_bytes{{job="{job["job_name"]}"}}')
        self.assertEqual((host.get("pod"), host["node"], host["instance"]), (None, "node", "node"))

        # What the job is for: another takes all memory for the exporter's, and an alert says so.
        taken = wait("the common job", lambda: prometheus.query(usage("common")))
        self.assertEqual({names(series)[:2] for series in taken}, {("memgap", own)})
        alerts = lambda: {s["job"] for s in prometheus.query('ALERTS{alertname="LabelsOverwritten"}')}
        self.assertEqual(wait("the alert", alerts), {"common"})


class Chart(unittest.TestCase):
    """The chart of deploy/helm, by helm itself."""

    def helm(self, *arguments):
        kubeconfig = f"--kubeconfig={cluster.directory / 'admin.conf'}"
        return output(os.environ["HELM"], kubeconfig, "--namespace=memgap", *arguments)

    def pod(self):
        pod = exporter_pod()
        self.assertTrue(is_ready(pod))
        return pod

    def api(self, path):
        address = self.pod()["status"]["podIP"]
        try:
            with urllib.request.urlopen(f"http://{address}:9877/api/v1/{path}", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code

    def test_it_is_installed_upgraded_rolled_back_and_removed(self):
        chart = ROOT / "deploy/helm/memgap-exporter"
        more = ["--set=profile=probe", f"--set=cgroupV1={str(bool(fit)).lower()}", "--set=extraArgs={--web.api}"]
        notes = self.helm("install", "memgap", chart, "--create-namespace", "--wait", *more)
        self.addCleanup(cluster.kubectl, "delete", "namespace", "memgap")
        self.assertIn("honor_labels", notes)
        apply("-f", HERE / "pods.yaml")
        self.addCleanup(cluster.kubectl, "delete", "-f", HERE / "pods.yaml", "--wait=false")

        def last_ledgers():
            """Whose ledgers there are of before something of theirs was killed. One that was
            read before the node told its name has none."""
            kills = self.api("oom-kills")["items"]
            return [kill["ledger"]["scope"]["identity"].get("names") for kill in kills]

        names = {"namespace": "shop", "pod": "eater", "container": "eater"}
        wait("a last ledger", lambda: names in last_ledgers())

        self.helm("upgrade", "memgap", chart, "--wait", "--set=profile=cgroup")
        self.assertEqual(self.pod()["spec"]["securityContext"]["runAsUser"], 65534)
        self.assertEqual(self.api("oom-kills"), 404)
        self.helm("rollback", "memgap", "1", "--wait")
        self.assertEqual(self.pod()["spec"]["securityContext"]["runAsUser"], 0)
        self.assertIn("items", self.api("oom-kills"))
        self.helm("uninstall", "memgap", "--wait")
        wait("nothing is left", lambda: not cluster.pods("memgap"))
        left = json.loads(cluster.kubectl("-n", "memgap", "get", "daemonset,networkpolicy", "-o", "json"))
        self.assertEqual(left["items"], [])
