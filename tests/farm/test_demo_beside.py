"""The demo beside a farm that has the name and the addresses of the same configuration."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.support.command import ds_farm
from tests.support.farm import Farm
from tests.support.net import free_port, own_host


def test_it_takes_another_name_and_free_ports(tmp_path: Path) -> None:
    host = own_host()
    rows = [f"sip:{host}:{free_port(host)}" for _ in range(3)]
    farm = Farm(tmp_path, rows)
    try:
        farm.start()
        before = farm.config.read_text()
        demo = ds_farm("demo", "--seconds", "2", "--rate", "100", cwd=tmp_path)
        assert demo.returncode == 0, demo
        assert f"farm {farm.name}-demo-" in demo.stdout
        for uri in rows:
            assert uri in demo.stdout
        ports = {int(port) for port in re.findall(r"(?:udp:|http://)[\d.]+:(\d+)", demo.stdout)}
        own = {farm.sip[1], farm.metrics_address[1], farm.mi_address[1]}
        assert len(ports) == 3
        assert not ports & own
        assert farm.config.read_text() == before
        assert farm.pid, "the farm goes on"
        with socket.create_connection(farm.metrics_address, timeout=5.0):
            pass
    finally:
        farm.close()
