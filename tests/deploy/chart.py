"""What deploy/helm renders is what deploy/kubernetes does.

Called by tests/deploy/run, which sets KUSTOMIZE and HELM.
"""

import json
import os
import pathlib
import subprocess
import unittest

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/memgap-exporter"
NEWEST = kubernetes_validate.latest_version()


def helm(*arguments, check=True):
    command = [os.environ["HELM"], *arguments]
    return subprocess.run(command, check=check, capture_output=True, text=True)


def rendered(*settings):
    """The resources by kind and name."""
    values = [f"--set={setting}" for setting in settings]
    done = helm("template", "memgap", CHART, "--namespace=memgap", "--kube-version=1.34", *values)
    return by_name(done.stdout)


def kustomized(directory):
    command = [os.environ["KUSTOMIZE"], "build", ROOT / "deploy/kubernetes" / directory]
    return by_name(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def by_name(text):
    resources = [resource for resource in yaml.safe_load_all(text) if resource]
    return {(r["kind"], r["metadata"]["name"]): in_order(r) for r in resources}


def in_order(value):
    """Lists of what has a name, as of volumes, in the order of names: it has no meaning."""
    if isinstance(value, dict):
        return {key: in_order(of) for key, of in value.items()}
    if isinstance(value, list):
        members = [in_order(of) for of in value]
        is_named = all(isinstance(of, dict) and "name" in of for of in members)
        return sorted(members, key=lambda of: of["name"]) if is_named else members
    return value


class Chart(unittest.TestCase):
    maxDiff = None

    def test_each_profile_is_that_of_kustomize(self):
        for directory, *settings in [
            ("base",),
            ("base", "cgroupV1=true"),
            ("overlays/process", "profile=process"),
            ("overlays/probe", "profile=probe"),
            ("overlays/probe-workloads", "profile=probe", "workloads.enabled=true"),
            ("overlays/process-cgroup-v1", "profile=process", "cgroupV1=true"),
            ("overlays/probe-cgroup-v1", "profile=probe", "cgroupV1=true"),
        ]:
            with self.subTest(directory=directory, settings=settings):
                expected = kustomized(directory)
                # Helm makes the namespace that it installs into itself.
                expected.pop(("Namespace", "memgap"))
                self.assertEqual(rendered(*settings), expected)

    def test_the_monitor_is_that_of_the_readme(self):
        resources = rendered("podMonitor.enabled=true")
        expected = by_name((ROOT / "deploy/prometheus/podmonitor.yaml").read_text())
        self.assertEqual(resources["PodMonitor", "memgap-exporter"], *expected.values())

    def test_rules_and_dashboards_are_those_of_grafana(self):
        resources = rendered("prometheusRule.enabled=true", "dashboards.enabled=true")
        rules = [of["spec"] for (kind, _), of in resources.items() if kind == "PrometheusRule"]
        files = (ROOT / "grafana/rules").glob("*.yml")
        expected = [in_order(yaml.safe_load(file.read_text())) for file in sorted(files)]
        self.assertCountEqual(rules, expected)
        maps = [of["data"] for (kind, _), of in resources.items() if kind == "ConfigMap"]
        data = {name: json.loads(text) for of in maps for name, text in of.items()}
        files = (ROOT / "grafana/dashboards").glob("*.json")
        self.assertEqual(data, {file.name: json.loads(file.read_text()) for file in files})

    def test_every_value_makes_a_difference_and_is_valid(self):
        plain = rendered()
        for setting in (
            "image.repository=registry.test/memgap",
            "image.tag=9.9.9",
            "image.pullPolicy=Always",
            "imagePullSecrets[0].name=secret",
            "extraArgs[0]=--interval=30s",
            "resources.limits.memory=128Mi",
            "tolerations=null",
            "nodeSelector.disk=ssd",
            "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key=a,"
            "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator=Exists",
            "priorityClassName=system-node-critical",
            "updateStrategy.rollingUpdate.maxUnavailable=1",
            "podAnnotations.a=b",
            "podLabels.a=b",
            "networkPolicy.enabled=false",
            "workloads.enabled=true",
        ):
            with self.subTest(setting=setting):
                resources = rendered(setting)
                self.assertNotEqual(resources, plain)
                for resource in resources.values():
                    kubernetes_validate.validate(resource, NEWEST, strict=True)

    def test_a_wrong_value_is_named(self):
        for setting, named in [
            ("profil=probe", "profil"),
            ("profile=root", "/profile"),
            ("cgroupV1=1", "/cgroupV1"),
            ("image.name=x", "name"),
            ("extraArgs[0]=interval", "/extraArgs/0"),
            ("workloads.enabled=please", "/workloads/enabled"),
            ("podMonitor.enabled=please", "/podMonitor/enabled"),
        ]:
            with self.subTest(setting=setting):
                done = helm("template", "memgap", CHART, f"--set={setting}", check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(f"'{named}'", done.stderr)

    def test_it_is_in_form(self):
        done = helm("lint", "--strict", CHART)
        self.assertIn("0 chart(s) failed", done.stdout)

    def test_its_versions_are_the_exporters(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        image = kustomized("base")["DaemonSet", "memgap-exporter"]["spec"]["template"]["spec"]["containers"][0]["image"]
        self.assertEqual(image.rsplit(":", 1)[1], chart["appVersion"])
        self.assertEqual(chart["version"], chart["appVersion"])
