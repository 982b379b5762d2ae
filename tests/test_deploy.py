"""What deploy/ ships is accepted by the programs that it is for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ds_farm.config import FarmConfig
from tests.test_grafana import BY_NAME
from workers.process_table import PROCESS_TABLE
from workers.supervisor import STAGE_S

DEPLOY = Path(__file__).parents[1] / "deploy"
UNIT = DEPLOY / "ds-farm.service"
WORST_EXPOSURE = 3.0
"""Of 10, as `systemd-analyze security` counts; half of it is the network that a farm needs."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the installed command of this environment in place of the one in /opt."""
    command = Path(sys.executable).with_name("ds-farm")
    assert command.exists()
    text = UNIT.read_text(encoding="utf-8")
    assert "=/opt/ds-farm/bin/ds-farm " in text
    made = tmp_path / UNIT.name
    made.write_text(text.replace("/opt/ds-farm/bin/ds-farm", str(command)), encoding="utf-8")
    return made


def _settings() -> dict[str, str]:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w+=", line))


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )


def test_systemd_accepts_the_unit(unit: Path) -> None:
    done = _run("systemd-analyze", "verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_it_well_confined(unit: Path) -> None:
    threshold = f"--threshold={round(10 * WORST_EXPOSURE)}"
    done = _run("systemd-analyze", "security", "--offline=true", "--no-pager", threshold, unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= WORST_EXPOSURE
    assert done.returncode == 0


def test_the_unit_speaks_to_the_supervisor_as_it_listens() -> None:
    settings = _settings()
    assert settings["Type"] == "notify"
    assert settings["ExecReload"].endswith("kill -HUP $MAINPID")
    assert settings["KillMode"] == "mixed"  # TERM to the supervisor alone
    longest = FarmConfig().stop_timeout_s + max(k.stop_stage for k in PROCESS_TABLE) * STAGE_S
    assert float(settings["TimeoutStopSec"]) > longest
    assert int(settings["WatchdogSec"]) > 1


def test_the_user_of_the_unit_is_made() -> None:
    done = _run("systemd-sysusers", "--dry-run", DEPLOY / "ds-farm.sysusers")
    assert (done.returncode, done.stderr.count("rror")) == (0, 0)
    assert f"u {_settings()['User']} " in (DEPLOY / "ds-farm.sysusers").read_text(encoding="utf-8")


def test_the_kernel_gives_the_buffer_that_the_farm_asks_for() -> None:
    text = (DEPLOY / "ds-farm.sysctl").read_text(encoding="utf-8")
    found = re.search(r"^net\.core\.rmem_max = (\d+)$", text, re.MULTILINE)
    assert found
    assert int(found[1]) >= FarmConfig().receive_buffer_bytes


def test_prometheus_accepts_its_configuration() -> None:
    done = _run("promtool", "check", "config", DEPLOY / "prometheus.yml")
    assert done.returncode == 0, done.stderr


def test_alert_rules_fire_when_they_should() -> None:
    """On metrics that exist; the rules' own tests say when."""
    names = set(re.findall(r"\bds_farm_\w+", (DEPLOY / "alerts.yml").read_text(encoding="utf-8")))
    assert names <= BY_NAME.keys()
    done = _run("promtool", "test", "rules", DEPLOY / "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr
