"""A web configuration file between Prometheus and the exporter."""

import contextlib
import json
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import unittest

from served import Prometheus, get, wait

# Whom a web configuration file lets in: name, password, and the hash that libxcrypt makes of it.
USER, PASSWORD = "prometheus", "secret"
HASH = "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"


def certificates(folder):
    """A new authority, and what it makes for an exporter and for a Prometheus."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    signed = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key"]
    signed += ["-addext", "basicConstraints=CA:FALSE"]
    for name, more in [
        ("ca", ["-addext", "basicConstraints=critical,CA:TRUE"]),
        ("server", signed + ["-addext", "subjectAltName=IP:127.0.0.1"]),
        ("client", signed + ["-addext", "subjectAltName=DNS:prometheus.test"]),
    ]:
        files = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"]
        command = ["openssl", "req", "-x509", "-days", "2", "-subj", f"/CN={name}", *key, *files, *more]
        subprocess.run(command, check=True, capture_output=True)


def hand_out(folder, to, name):
    """Gives one of both its files, the key last: its certificate alone does not fit the old one."""
    for file in ("ca.pem", f"{name}.pem", f"{name}.key"):
        shutil.copy(folder / file, to / file)


class Guarded(unittest.TestCase):
    def test_prometheus_scrapes_with_certificate_and_password(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for own in ("exporter", "prometheus"):
            (folder / own).mkdir()
        web = folder / "exporter/web.yml"
        web.write_text(
            "tls_server_config:\n"
            "  cert_file: server.pem\n"
            "  key_file: server.key\n"
            "  client_auth_type: RequireAndVerifyClientCert\n"
            "  client_ca_file: ca.pem\n"
            "  client_allowed_sans: [prometheus.test]\n"
            f"basic_auth_users:\n  {USER}: {HASH}\n"
        )
        certificates(folder)
        hand_out(folder, folder / "exporter", "server")
        hand_out(folder, folder / "prometheus", "client")
        files = {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"}
        files = {key: str(folder / "prometheus" / name) for key, name in files.items()}
        tls = ssl.create_default_context(cafile=files["ca_file"])
        strangers = ssl.create_default_context(cafile=files["ca_file"])
        tls.load_cert_chain(files["cert_file"], files["key_file"])
        prometheus = Prometheus(
            stack,
            [f"--web.config.file={web}"],
            scrape={
                "scheme": "https",
                "tls_config": files,
                "basic_auth": {"username": USER, "password": PASSWORD},
            },
            tls=tls,
        )
        self.assertEqual([value for _, value in prometheus.query("up")], [1])
        health, metrics = (f"https://{prometheus.targets[0]}/{path}" for path in ("healthz", "metrics"))
        self.assertIsNotNone(get(health, tls))
        self.assertIsNone(get(metrics, tls), "without a password")
        self.assertIsNone(get(health, strangers), "without a certificate")

        # Another authority: the exporter knows it first, then Prometheus does.
        certificates(folder)
        hand_out(folder, folder / "exporter", "server")
        wait("the new authority is in force", lambda: prometheus.query("up == 0"))
        targets = json.loads(get(f"{prometheus.address}/api/v1/targets"))["data"]["activeTargets"]
        self.assertRegex(targets[0]["lastError"], "tls|x509")
        hand_out(folder, folder / "prometheus", "client")
        wait("Prometheus has what it takes", lambda: prometheus.query("up == 1"))
