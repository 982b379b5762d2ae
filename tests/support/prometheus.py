"""Debian's Prometheus on loopback, scraping a farm each second."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.net import free_port, own_host
from tests.support.peer import Address
from tests.support.wait import until


class Prometheus:
    """One server with these rules; a context manager."""

    def __init__(self, directory: Path, target: Address, rules: str) -> None:
        program = shutil.which("prometheus")
        assert program, "prometheus is missing: `make test` installs it (Debian package prometheus)"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "rules.yml").write_text(rules)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {
                    "job_name": "ds_farm",
                    "static_configs": [{"targets": [f"{target[0]}:{target[1]}"]}],
                }
            ],
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        host = own_host()
        self._address = f"{host}:{free_port(host, socket.SOCK_STREAM)}"
        self._log = directory / "prometheus.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={directory}/prometheus.yml",
                    f"--storage.tsdb.path={directory}/data",
                    f"--web.listen-address={self._address}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
            )

    def __enter__(self) -> Self:
        try:
            until(self._is_ready, "Prometheus", 30.0)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(self._log.read_text(errors="replace")[-3000:])
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5.0) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        url = f"http://{self._address}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=10.0) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """What an expression gives now: labels and values."""
        return [
            (one["metric"], float(one["value"][1]))
            for one in self._get("query", query=expr)["result"]
        ]

    def alerts(self) -> set[tuple[str, str]]:
        """Alerts that fire: name, and destination if it has one."""
        return {
            (one["labels"]["alertname"], one["labels"].get("destination", ""))
            for one in self._get("alerts")["alerts"]
            if one["state"] == "firing"
        }

    def rules(self) -> dict[str, str]:
        """Alert rules: name to expression."""
        groups = self._get("rules")["groups"]
        return {one["name"]: one["query"] for group in groups for one in group["rules"]}
