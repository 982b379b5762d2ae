"""The documentation's examples, as they are printed there.

1.1 to 1.28 set parameters: what the configuration makes of each.  1.29 to 1.31 call functions:
tests/script/test_select.py and test_lookup.py.  1.32 is a whole script.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from ds_farm.config import load, resolve
from ds_farm.config.dispatcher import DispatcherConfig
from ds_farm.config.opensips import Blacklist
from ds_farm.dispatch.model import State
from ds_farm.script._request import Request
from tests.dispatch.model import reference_hash
from tests.support.message import Sip
from tests.support.request import CALLER, Script

EXAMPLES: dict[str, list[list[str | int]]] = {
    example["number"]: example["modparams"]
    for example in tomllib.loads(
        (Path(__file__).parent / "data" / "opensips" / "examples.toml").read_text(encoding="utf-8")
    )["example"]
}
PARSED: dict[str, object] = {
    # Parameters whose value is more than a text or number.
    "1.12": (Blacklist("list", (1, 4, 3)), Blacklist("blist2", (2, 10, 6))),
    "1.13": (501, 403),
}
FIELDS = {"ds_probing_threshhold": "ds_probing_threshold"}
"""Documented names -> ours, where they differ."""


def _configuration(file: Path, modparams: list[list[str | int]]) -> DispatcherConfig:
    values: dict[str, list[str | int]] = {}
    for name, value in modparams:
        values.setdefault(str(name), []).append(value)
    values.setdefault("db_url", ["sqlite:////somewhere.sqlite"])
    lines = [
        f"{name} = {json.dumps(found if len(found) > 1 else found[0])}"
        for name, found in values.items()
    ]
    file.write_text("\n".join(["[dispatcher]", *lines, ""]), encoding="utf-8")
    return load(file).dispatcher


def test_all_examples_of_parameters_are_there() -> None:
    assert list(EXAMPLES) == [f"1.{number}" for number in range(1, 29)]


@pytest.mark.parametrize("number", [number for number in EXAMPLES if number != "1.21"])
def test_example_sets_its_parameter(tmp_path: Path, number: str) -> None:
    modparams = EXAMPLES[number]
    name, value = modparams[0]
    config = _configuration(tmp_path / "ds_farm.toml", modparams)
    assert getattr(config, FIELDS.get(str(name), str(name))) == PARSED.get(number, value)


def test_example_1_21_creates_a_partition(tmp_path: Path) -> None:
    config = _configuration(tmp_path / "ds_farm.toml", EXAMPLES["1.21"])
    part2, default = resolve(config)
    assert (part2.name, part2.table_name) == ("part2", "ds_table")
    assert part2.db_url == "mysql://user:passwd@localhost/database"
    assert part2.blacklists == (Blacklist("list2", (4, 6)),)
    assert part2.dst_avp == "$avp(ds_dst_failover_part2)"
    assert (default.name, default.table_name, default.blacklists) == ("default", "dispatcher", ())


# -- example 1.32


def request_route(request: Request) -> None:
    """The script of example 1.32."""
    if not request.mf_process_maxfwd_header("10"):
        request.send_reply("483", "To Many Hops")
        return

    if not request.ds_select_dst("2", "0"):
        request.send_reply("500", "Unable to route")
        return

    request.t_relay()


DESTINATIONS = [f"sip:192.0.2.{number}:5080" for number in range(1, 4)]


def test_example_1_32_forwards_by_call_id() -> None:
    with Script({2: DESTINATIONS}, routes={}) as script:
        for number in range(20):
            message = script.message("INVITE").set("Call-ID", f"call-{number}")
            (_, (datagram, ip, port, _)) = script.route(request_route, message)[1]
            expected = reference_hash(b"call-%d" % number) % len(DESTINATIONS)
            assert (ip, port) == (f"192.0.2.{expected + 1}", 5080)
            assert Sip.read(datagram).one("max-forwards") == b"69"


def test_example_1_32_adds_max_forwards_of_ten() -> None:
    with Script({2: DESTINATIONS}, routes={}) as script:
        message = script.message("INVITE").remove("Max-Forwards")
        (_, (datagram, _, _, _)) = script.route(request_route, message)[1]
        assert Sip.read(datagram).one("max-forwards") == b"10"


def test_example_1_32_answers_483_and_500() -> None:
    with Script({2: DESTINATIONS}, routes={}) as script:
        message = script.message("INVITE").set("Max-Forwards", "0")
        ((answer, *where, _),) = script.route(request_route, message)[1]
        assert Sip.read(answer).start_line == b"SIP/2.0 483 To Many Hops"
        assert tuple(where) == CALLER
        for uri in DESTINATIONS:
            script.set_state(uri, State.INACTIVE, set_id=2)
        ((answer, *where, _),) = script.route(request_route, script.message("INVITE"))[1]
        assert Sip.read(answer).start_line == b"SIP/2.0 500 Unable to route"
        assert tuple(where) == CALLER
