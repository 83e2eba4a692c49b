"""A Prometheus in the cluster's network."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request

from cluster import PARTS, ROOT, wait

ADDRESS = "127.0.0.1:9090"


class Prometheus:
    """Scrapes by those jobs, whose Kubernetes is the cluster, and evaluates grafana/rules."""

    def __init__(self, cluster, jobs):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="memgap-prometheus-"))
        for job in jobs:
            for discovery in job["kubernetes_sd_configs"]:
                # In a pod it would be found by the service account.
                discovery["kubeconfig_file"] = str(cluster.directory / "admin.conf")
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ROOT / "grafana/rules/*.yml")],
            "scrape_configs": jobs,
        }
        # JSON is YAML.
        (self.folder / "prometheus.yml").write_text(json.dumps(config))
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen(
            [
                PARTS / "prometheus/usr/bin/prometheus",
                f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address={ADDRESS}",
            ],
            stderr=self.log,
        )
        try:
            wait("Prometheus is ready", self.is_ready)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)

    def is_ready(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise ChildProcessError(self.log.read()[-2000:])
        try:
            return urllib.request.urlopen(f"http://{ADDRESS}/-/ready", timeout=10).close() is None
        except OSError:
            return False

    def query(self, expr):
        """The labels of what there is now."""
        url = f"http://{ADDRESS}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return [series["metric"] for series in json.load(answer)["data"]["result"]]
