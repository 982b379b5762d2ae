"""The benches as a user runs them: they end, their counts add up, the result file is as README.md
says, and nothing stays behind.  No number here depends on how fast the machine is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kamailio import find_kamailio
from benchmarks.routes_bench import STATEMENTS
from tests.support.process import alive, title
from tests.support.wait import until

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 90
MACHINE = {
    "date",
    "processor",
    "cores",
    "cores_of_workers",
    "cores_of_load",
    "load_average",
    "kernel",
    "python",
    "ds_farm",
    "commit",
}


def _bench(name: str, path: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run a bench with --quick; its result file and what it has printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}_bench", "--quick", "--json", path, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    assert result["bench"] == name
    assert result["machine"].keys() == MACHINE
    assert str(path) in done.stdout
    return result, done.stdout


def _check_requests(counts: dict[str, Any]) -> None:
    """Every request has one end; none of ours is refused."""
    assert counts["sent"] == counts["answered"] + counts["rejected"] + counts["lost"]
    assert counts["rejected"] == 0
    assert 0 < counts["done"] <= counts["answered"]


def _check_order(values: dict[str, Any], unit: str) -> None:
    names = ("p50", "p90", "p99", "p999", "max")
    ordered = [values[f"{name}_{unit}"] for name in names if f"{name}_{unit}" in values]
    assert ordered == sorted(ordered)


def test_farm_bench(tmp_path: Path) -> None:
    names = ["reflector", "farm", "kamailio", "farm-10k", "farm-2w", "farm-tm"]
    names += ["kamailio-tm", "reflector-invite", "farm-tm-invite"]
    options = [word for name in names for word in ("--only", name)]
    result, printed = _bench("farm", tmp_path / "farm.json", *options)
    if find_kamailio() is None:
        names = [name for name in names if not name.startswith("kamailio")]
        assert any("kamailio is not installed" in remark for remark in result["remarks"])
    cases = {case["name"]: case for case in result["cases"]}
    assert list(cases) == names
    assert {name: (case["workers"], case["destinations"]) for name, case in cases.items()} == {
        name: (2 if name.endswith("-2w") else 1, 10_000 if "10k" in name else 4) for name in names
    }
    for name, case in cases.items():
        assert name in printed
        assert len(case["rounds"]) == result["settings"]["rounds"]
        for each in case["rounds"]:
            load = each["load"]
            _check_requests(load)
            _check_order(load, "us")
            if case["method"] == "INVITE":
                continue  # a call is several requests
            assert load["answered"] <= sum(load["destinations"]) <= load["sent"]
            if case["kind"] == "farm" and sum(load["destinations"]) == load["sent"]:
                # Round robin, exact over all workers, whatever the number of destinations is.
                assert max(load["destinations"]) - min(load["destinations"]) <= 1
            cpu_us = load["cpu"]["ns"] / 1000 / load["done"]
            assert each["cpu_us"] == pytest.approx(cpu_us, abs=0.001)
            assert each["cpu_us"] == pytest.approx(each["user_us"] + each["system_us"], abs=0.002)
    _check_ratios(cases)


def _check_ratios(cases: dict[str, Any]) -> None:
    """Made of the same round's numbers, and of the right pairs."""
    expected = {
        ("farm", "reflector"): "reflector",
        ("farm", "kamailio"): "kamailio",
        ("farm-10k", "reflector"): "reflector",
        ("farm-10k", "few"): "farm",
        ("farm-2w", "one_worker"): "farm",
        ("farm-tm", "reflector"): "reflector",
        ("farm-tm", "kamailio"): "kamailio-tm",
        ("farm-tm-invite", "reflector"): "reflector-invite",
        ("kamailio", "reflector"): "reflector",
    }
    found = {
        (name, ratio): one["to"]
        for name, case in cases.items()
        for ratio, one in case["ratios"].items()
    }
    assert (
        found.items()
        >= {key: to for key, to in expected.items() if key[0] in cases and to in cases}.items()
    )
    for (name, ratio), to in found.items():
        rounds = zip(cases[name]["rounds"], cases[to]["rounds"], strict=True)
        each = [mine["cpu_us"] / its["cpu_us"] for mine, its in rounds]
        one = cases[name]["ratios"][ratio]
        assert one["least"] == pytest.approx(min(each), rel=0.01)
        assert one["greatest"] == pytest.approx(max(each), rel=0.01)
        assert one["least"] <= one["median"] <= one["greatest"]


def test_farm_bench_names_an_unknown_case() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.farm_bench", "--only", "frm"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 1
    assert "frm" in done.stderr
    assert "farm-10k-2w" in done.stderr


def test_ctrl_c_ends_all_that_was_started() -> None:
    bench = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.farm_bench", "--only", "farm", "--only", "reflector"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert bench.stderr is not None
        for line in bench.stderr:
            if "round 1" in line:
                break
        # Its farm has its number in the name; generator and reflector have addresses made of it.
        marks = (f"bench-{bench.pid}-", f"127.{64 + bench.pid // 250 % 64}.{1 + bench.pid % 250}.")
        assert _started(marks)
        bench.send_signal(signal.SIGINT)
        out, complaint = bench.communicate(timeout=TIMEOUT_S)
    finally:
        bench.kill()
        bench.communicate()
    assert bench.returncode == 130
    assert (out, "interrupted" in complaint) == ("", True)
    until(lambda: not _started(marks), "the end of all that the bench has started")
    assert not [path.name for path in Path("/dev/shm").iterdir() if marks[0] in path.name]


def _started(marks: tuple[str, ...]) -> list[str]:
    """Titles of living processes that have one of these in them."""
    titles = {int(each.name): title(int(each.name)) for each in Path("/proc").glob("[0-9]*")}
    return [
        text for pid, text in titles.items() if any(mark in text for mark in marks) and alive(pid)
    ]


def test_probe_bench(tmp_path: Path) -> None:
    result, printed = _bench("probe", tmp_path / "probe.json")
    (look,) = result["rounds"]
    assert len(look["probes"]) == result["settings"]["interval"]
    assert 0 < sum(look["probes"]) <= result["settings"]["destinations"]
    assert look["cpu_share"] > 0
    assert " ".join(map(str, look["probes"])) in printed


def test_reload_bench(tmp_path: Path) -> None:
    result, printed = _bench("reload", tmp_path / "reload.json")
    _check_requests(result["requests"])
    cycles = result["cycles"]
    assert len(cycles) == result["settings"]["reloads"]
    for window in ("quiet", "reload"):
        assert result[window]["requests"] == sum(cycle[window]["requests"] for cycle in cycles)
        assert result[window]["max_ms"] == max(cycle[window]["max_ms"] for cycle in cycles)
        for each in (result[window], *(cycle[window] for cycle in cycles)):
            _check_order(each, "ms")
    assert result["quiet"]["requests"] + result["reload"]["requests"] <= result["requests"]["done"]
    added = [cycle["added_ms"] for cycle in cycles]
    assert (result["added_ms"]["least"], result["added_ms"]["greatest"]) == (min(added), max(added))
    for cycle in cycles:
        late = cycle["reload"]["max_ms"] - cycle["quiet"]["max_ms"]
        assert cycle["added_ms"] == pytest.approx(late, abs=0.001)
    assert f"{result['requests']['lost']} lost" in printed


def test_routes_bench(tmp_path: Path) -> None:
    result, _ = _bench("routes", tmp_path / "routes.json")
    assert [one["line"] for one in result["lines"]] == list(STATEMENTS)
    assert all(one["ns"] > 0 for one in result["lines"])
    simplest = next(one for one in result["lines"] if one["line"] == result["reference"])
    assert (simplest["ratio"], simplest["least"], simplest["greatest"]) == (1, 1, 1)


def test_scan_bench(tmp_path: Path) -> None:
    result, _ = _bench("scan", tmp_path / "scan.json")
    torture = {path.stem: path.stat().st_size for path in (ROOT / "tests/data/torture").iterdir()}
    sizes = {one["name"]: one["bytes"] for one in result["messages"]}
    assert len(torture) == 49
    assert sizes.items() >= {f"RFC 4475 {name}": size for name, size in torture.items()}.items()
    assert {"OPTIONS", "INVITE with SDP", "RFC 4475, all in turn"} <= sizes.keys()
    assert all(one["ns"] > 0 and one["ratio"] > 0 for one in result["messages"])


def _calls_bench(command: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.calls_bench", command, "--quick", "--json", path],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(path.read_text())
    assert (result["bench"], result["machine"].keys()) == (command, MACHINE)
    assert str(path) in done.stdout
    return result


def test_calls_bench_survive(tmp_path: Path) -> None:
    result = _calls_bench("survive", tmp_path / "survive.json")
    load = result["load"]
    assert load["made"] == load["successful"] == 300
    assert result["kills"] > 0
    assert result["tunings"] > 0
    assert result["open"] == 0


def test_calls_bench_endure(tmp_path: Path) -> None:
    result = _calls_bench("endure", tmp_path / "endure.json")
    for load in result["loads"]:
        kind = load["kind"]
        assert load["made"] == load["successful"] > 0
        assert result["counted"][kind] == result["heard"][kind]
        # OPTIONS that SIPp repeats is a request more; those of calls go by dialog.
        repeated = load["retransmissions"] if kind == "options" else 0
        assert 0 <= result["counted"][kind] - load["made"] <= repeated
    assert result["open"] == 0
    assert result["reloads"] > 1
    assert {"worker 0", "worker 1", "loader", "timer"} <= result["memory_kib"].keys()


def test_scrape_bench(tmp_path: Path) -> None:
    result, printed = _bench("scrape", tmp_path / "scrape.json")
    assert [part["scraped"] for part in result["parts"]] == [False, True]
    quiet, scraped = result["parts"]
    assert not quiet["scrapes_s"]
    assert scraped["scrapes_s"]
    assert scraped["bytes"] > 200 * 1000
    assert "scraped / undisturbed" in printed
