"""Image, compose file, Kubernetes manifest and SQL: valid, and in step with the farm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pymysql
import pytest
import yaml
from compose_spec import PyCompose
from sqlalchemy import inspect

from ds_farm.config import FarmConfig, MetricsConfig
from ds_farm.db import url as urls
from ds_farm.db.schema import NEWEST, Created, create_database
from tests.support import mariadb
from workers.process_table import PROCESS_TABLE
from workers.supervisor import STAGE_S

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = "1.31"


def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def _pod() -> dict[str, Any]:
    manifest = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return pod


def _dockerfile() -> str:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    return text.replace("\\\n", " ")


def test_compose_file_is_of_the_specification() -> None:
    found = PyCompose.from_json(json.dumps(_compose()))
    found.validate()
    assert set(found.service_names()) == {
        "farm", "database", "prometheus", "grafana",
        "destination-1", "destination-2", "destination-3",
    }  # fmt: skip


def test_the_specification_refuses_a_wrong_compose_file() -> None:
    """So that the test above can fail."""
    wrong = _compose()
    wrong["services"]["farm"]["networks"] = 5
    with pytest.raises(ValueError, match="invalid type"):
        PyCompose.from_json(json.dumps(wrong))


def test_every_file_that_compose_mounts_is_there() -> None:
    mounts = [m for s in _compose()["services"].values() for m in s.get("volumes", ())]
    assert len(mounts) > 5
    assert [m for m in mounts if not (DEPLOY / m.partition(":")[0]).exists()] == []


def test_compose_sends_calls_to_the_destinations_that_it_starts() -> None:
    services = _compose()["services"]
    hosts = {
        s["networks"]["sip"]["ipv4_address"] for n, s in services.items() if "destination" in n
    }
    sql = (DEPLOY / "compose" / "destinations.sql").read_text(encoding="utf-8")
    assert set(re.findall(r"sip:([\d.]+):5060", sql)) == hosts
    farm = services["farm"]["networks"]["sip"]["ipv4_address"]
    assert f'"udp:{farm}:5060"' in (DEPLOY / "compose/ds_farm.toml").read_text(encoding="utf-8")


def test_kubernetes_accepts_the_manifest() -> None:
    for each in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")):
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_kubernetes_refuses_an_unknown_key() -> None:
    """So that the test above can fail."""
    wrong = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    wrong["spec"]["template"]["spec"]["hostNetwrk"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_kubernetes_asks_where_the_exporter_answers() -> None:
    pod = _pod()
    (container,) = pod["containers"]
    assert pod["hostNetwork"] is True
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    listen = MetricsConfig().listen
    assert listen is not None
    assert ports["metrics"] == listen.port


def test_containers_wait_for_a_graceful_stop() -> None:
    longest = FarmConfig().stop_timeout_s + max(k.stop_stage for k in PROCESS_TABLE) * STAGE_S
    assert _pod()["terminationGracePeriodSeconds"] > longest
    assert float(_compose()["services"]["farm"]["stop_grace_period"].rstrip("s")) > longest


def test_image_runs_the_supervisor_as_pid_1_without_root() -> None:
    last = _dockerfile().rsplit("\nFROM ", 1)[1]
    assert '\nENTRYPOINT ["ds-farm"]\n' in last  # no shell between
    user = re.search(r"^USER (\d+):", last, re.MULTILINE)
    assert user
    assert int(user[1]) == _pod()["securityContext"]["runAsUser"] > 0
    assert "gcc" not in last


@pytest.fixture
def empty_database() -> Iterator[str]:
    with mariadb.running() as url:
        yield url


def test_sql_makes_what_init_makes(empty_database: str) -> None:
    url = urls.parse(empty_database)
    sql = (DEPLOY / "mysql.sql").read_text(encoding="utf-8")

    def shape() -> dict[str, list[tuple[str, str, bool, str | None]]]:
        engine = urls.engine(url)
        try:
            found = inspect(engine)
            return {
                name: [
                    (c["name"], str(c["type"]), bool(c["nullable"]), c["default"])
                    for c in found.get_columns(name)
                ]
                for name in sorted(found.get_table_names())
            }
        finally:
            engine.dispose()

    def run(*statements: str) -> None:
        with pymysql.connect(
            host=url.host, port=url.port or 3306, user=url.username or "",
            password=str(url.password), database=url.database, autocommit=True,
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            for statement in statements:
                cursor.execute(statement)

    create_database(empty_database)
    of_init = shape()
    run("DROP TABLE dispatcher", "DROP TABLE version")
    statements = [s for s in re.sub(r"^--.*$", "", sql, flags=re.MULTILINE).split(";") if s.strip()]
    for _ in range(2):  # a second time changes nothing
        run(*statements)
    assert list(of_init) == ["dispatcher", "version"]
    assert shape() == of_init
    assert f"('dispatcher', {NEWEST})" in sql
    assert create_database(empty_database) == Created(table=False, version_row=False)
