"""The exporter's pod, and everything that it has told since it began."""

import collections
import re
import threading
import urllib.request

from cluster import wait

SAMPLE = re.compile(r"^(\w+)(?:{(.*)})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Sample = collections.namedtuple("Sample", ["name", "labels", "value"])


def scrape(address):
    """All samples; None while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}:9877/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    return [Sample(n, dict(LABEL.findall(l or "")), float(v)) for n, l, v in SAMPLE.findall(text)]


class Watch:
    """Scrapes an exporter without a break from before its first collection on."""

    def __init__(self, address):
        self.address, self.last = address, []
        # Whose each container was said to be, by its id, and all pods that were told of.
        self.names, self.pods, self.scrapes = collections.defaultdict(set), set(), 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ended.wait(0.1):
            samples = scrape(self.address)
            if not samples:
                continue
            self.scrapes += 1
            for name, labels, _ in samples:
                if name.startswith(("memgap_pod_", "memgap_container_")) or labels.get("pod"):
                    self.pods.add((labels.get("namespace"), labels.get("pod")))
                if name == "memgap_container_info":
                    names = (labels["namespace"], labels["pod"], labels["container"])
                    self.names[labels["container_id"]].add(names)
            self.last = samples

    def stop(self):
        self.ended.set()
        self.thread.join()

    def values(self, name, **labels):
        """The samples of a family that have those labels, in the last scrape."""
        return [
            sample
            for sample in self.last
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name, **labels):
        """The one sample of those labels; None where there is none."""
        found = self.values(name, **labels)
        if len(found) > 1:
            raise ValueError(f"{name} {labels}: {found}")
        return found[0].value if found else None

    def wait(self, what, condition):
        return wait(what, condition)
