"""The MI commands on a segment of their own, without processes (semantics section 6.4)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ds_farm.config import Config
from ds_farm.dispatch.model import Address, Destination, DestinationSet, State
from ds_farm.dispatch.registry import Registry
from ds_farm.mi.commands import ALIASES, COMMANDS, call
from ds_farm.mi.events import DISPATCHER_STATUS, Event
from ds_farm.mi.farm import Farm
from ds_farm.mi.jsonrpc import Json, MiError, Params
from shm.layout import Role
from shm.segment import Segment, remove_leftovers

FULL = Destination(
    "sip:b@[::1]:7002;transport=udp",
    weight=3,
    priority=9,
    state=State.PROBING,
    attrs="x=y",
    socket="udp:127.0.0.1:5060",
    description="second",
    addresses=(Address("::1", 7002),),
)
SETS = [
    DestinationSet(
        "default",
        1,
        (
            Destination("sip:127.0.0.1:7001", addresses=(Address("127.0.0.1", 7001),)),
            FULL,
            Destination("sip:nowhere.example"),
        ),
    ),
    DestinationSet("default", 20, (Destination("sip:127.0.0.1:7001"),)),
    DestinationSet("part2", 1, (Destination("sip:127.0.0.1:7009", state=State.INACTIVE),)),
]


@pytest.fixture
def farm() -> Iterator[Farm]:
    name = f"test-mi-{os.getpid()}"
    segment = Segment.create(name, max_workers=2, max_sets=8, max_destinations=16)
    registry = Registry(segment)
    registry.publish(SETS)
    config = Config.model_validate(
        {
            "dispatcher": {
                "db_url": "sqlite:////nowhere",
                "partition": ["part2 : table_name = two", "empty : table_name = three"],
            }
        }
    )
    yield Farm(config, segment, registry, lambda *_: "", lambda: 1000.0)
    segment.unlink()
    remove_leftovers(name)
    segment.close()


def error(farm: Farm, method: str, params: Params) -> tuple[int, str, str]:
    with pytest.raises(MiError) as caught:
        call(farm, method, params)
    return caught.value.code, caught.value.message, caught.value.data


def partition(listed: Json, name: str) -> Json:
    return next(each for each in listed["PARTITIONS"] if each["name"] == name)


def test_list_shows_partitions_sets_and_destinations(farm: Farm) -> None:
    listed = call(farm, "ds_list", [])
    assert [each["name"] for each in listed["PARTITIONS"]] == ["part2", "empty", "default"]
    assert partition(listed, "empty") == {"name": "empty"}
    second, first = partition(listed, "default")["SETS"]  # semantics 1.3: the last one first
    assert (first["id"], second["id"]) == (1, 20)
    assert first["Destinations"] == [
        {
            "URI": "sip:127.0.0.1:7001",
            "state": "Active",
            "first_hit_counter": 0,
            "resolved_addresses": ["127.0.0.1:7001"],
        },
        {
            "URI": "sip:b@[::1]:7002;transport=udp",
            "state": "Probing",
            "first_hit_counter": 0,
            "socket": "udp:127.0.0.1:5060",
            "attr": "x=y",
            "resolved_addresses": ["[::1]:7002"],
        },
        {
            "URI": "sip:nowhere.example",
            "state": "Active",
            "first_hit_counter": 0,
            "resolved_addresses": [],
        },
    ]
    assert partition(listed, "part2")["SETS"][0]["Destinations"][0]["state"] == "Inactive"


@pytest.mark.parametrize("params", [[1], ["1"], {"full": 1}, {"full": "1", "partition": "default"}])
def test_full_list_has_weight_priority_description(farm: Farm, params: Params) -> None:
    listed = partition(call(farm, "ds_list", params), "default")
    destination = listed["SETS"][-1]["Destinations"][1]
    assert list(destination) == [
        *("URI", "state", "first_hit_counter", "socket", "attr"),
        *("weight", "priority", "description", "resolved_addresses"),
    ]
    assert (destination["weight"], destination["priority"]) == (3, 9)
    assert destination["description"] == "second"


def test_list_of_one_partition(farm: Farm) -> None:
    listed = call(farm, "ds_list", {"partition": "part2"})
    assert [each["name"] for each in listed["PARTITIONS"]] == ["part2"]
    assert error(farm, "ds_list", [0, "part3"]) == (500, "ERROR Unknown partition", "")


def test_list_counts_the_picks_of_all_workers(farm: Farm) -> None:
    slot = farm.registry.table().sets[0].destinations[0].slot
    for rank in (0, 1):
        farm.segment.process(rank).role = Role.WORKER
        farm.segment.process(rank).starts = 1
        farm.segment.reserve_counters(rank, 3, 5)
        farm.segment.counters(rank, slot).selected = 70_000
    shown = partition(call(farm, "ds_list", []), "default")["SETS"][-1]["Destinations"][0]
    assert shown["first_hit_counter"] == 140_000


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        *(("a", State.ACTIVE), ("A", State.ACTIVE), ("1", State.ACTIVE), ("active", State.ACTIVE)),
        *(("i", State.INACTIVE), ("I", State.INACTIVE), ("0", State.INACTIVE)),
        *(("p", State.PROBING), ("P", State.PROBING), ("2", State.PROBING), (2, State.PROBING)),
    ],
)
def test_set_state_by_first_character(farm: Farm, state: str | int, wanted: State) -> None:
    slot = farm.registry.table().sets[0].destinations[2].slot
    farm.registry.set_state(slot, State.INACTIVE if wanted is State.ACTIVE else State.ACTIVE)
    assert call(farm, "ds_set_state", [state, "1", "sip:nowhere.example"]) == "OK"
    assert farm.registry.state(slot) is wanted


@pytest.mark.parametrize("group", ["part2:1", "part2 : 1", " part2:1 "])
def test_set_state_in_a_partition_ignores_case_of_the_address(farm: Farm, group: str) -> None:
    assert call(farm, "ds_set_state", ["a", group, "SIP:127.0.0.1:7009"]) == "OK"
    assert farm.registry.state(farm.registry.table().sets[2].destinations[0].slot) is State.ACTIVE


def test_set_state_changes_one_set_only(farm: Farm) -> None:
    call(farm, "ds_set_state", {"state": "i", "group": 20, "address": "sip:127.0.0.1:7001"})
    sets = farm.registry.table().sets
    assert farm.registry.state(sets[1].destinations[0].slot) is State.INACTIVE
    assert farm.registry.state(sets[0].destinations[0].slot) is State.ACTIVE


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        (["x", "1", "sip:nowhere.example"], 500, "Bad state value"),
        (["", "1", "sip:nowhere.example"], 500, "Bad state value"),
        (["a", "one", "sip:nowhere.example"], 500, "bad group value"),
        (["a", "-1", "sip:nowhere.example"], 500, "bad group value"),
        (["a", "", "sip:nowhere.example"], 500, "bad group value"),
        (["a", "9" * 5000, "sip:nowhere.example"], 500, "bad group value"),
        (["a", "part3:1", "sip:nowhere.example"], 404, "ERROR Unknown partition"),
        (["a", "2", "sip:nowhere.example"], 404, "destination not found"),
        (["a", "1", "sip:elsewhere.example"], 404, "destination not found"),
    ],
)
def test_set_state_refuses(farm: Farm, params: list[str], code: int, message: str) -> None:
    assert error(farm, "ds_set_state", params) == (code, message, "")


@pytest.mark.parametrize(
    ("method", "params", "data"),
    [
        ("ds_set_state", [], "Too few or too many parameters"),
        ("ds_set_state", ["a", "1", "sip:x", "more"], "Too few or too many parameters"),
        ("version", ["more"], "Too few or too many parameters"),
        ("ds_set_state", {"state": "a", "group": "1"}, "Named parameters do not match"),
        ("ds_list", {"fuller": 1}, "Named parameters do not match"),
        ("ds_list", ["x"], "Bad type for parameter 'full'"),
        ("ds_list", ["9" * 5000], "Bad type for parameter 'full'"),
        ("ds_list", [None], "Bad type for parameter 'full'"),
        ("ds_list", [True], "Bad type for parameter 'full'"),
        ("ds_list", [1.5], "Bad type for parameter 'full'"),
        ("ds_list", {"partition": ["default"]}, "Bad type for parameter 'partition'"),
        ("ds_reload", {"inherit_state": "maybe"}, "Bad type for parameter 'inherit_state'"),
    ],
)
def test_wrong_parameters(farm: Farm, method: str, params: Params, data: str) -> None:
    assert error(farm, method, params) == (-32602, "Invalid params", data)


@pytest.mark.parametrize("method", ["", "list", "DS_LIST", "__class__", "ds_set_state "])
def test_unknown_command(farm: Farm, method: str) -> None:
    assert error(farm, method, []) == (-32601, "Method not found", "")


@pytest.mark.parametrize(
    ("params", "partition", "inherit"),
    [
        ([], "", True),
        (["part2"], "part2", True),
        (["", "y"], "", True),
        ({"inherit_state": 0}, "", False),
        (["part2", "n"], "part2", False),
    ],
)
def test_reload(farm: Farm, params: Params, partition: str, inherit: bool) -> None:
    asked: list[tuple[str, bool]] = []

    def reload(partition: str, inherit: bool) -> str:
        asked.append((partition, inherit))
        return ""

    made = Farm(farm.config, farm.segment, farm.registry, reload)
    assert call(made, "ds_reload", params) == "OK"
    assert asked == [(partition, inherit)]


def test_reload_that_fails(farm: Farm) -> None:
    made = Farm(farm.config, farm.segment, farm.registry, lambda *_: "no table")
    assert error(made, "ds_reload", []) == (500, "ERROR Reloading data", "no table")
    assert error(made, "ds_reload", ["part3"]) == (500, "ERROR Unknown partition", "")


@pytest.mark.parametrize("params", ['{"x":NaN}', "[1e999]", "-Infinity", [float("inf")]])
def test_event_that_is_no_json_is_not_raised(farm: Farm, params: Json) -> None:
    raised: list[Event] = []
    made = replace(farm, raise_event=raised.append)
    wanted = (-32602, "Invalid params", "Bad type for parameter 'params'")
    assert error(made, "raise_event", [DISPATCHER_STATUS, params]) == wanted
    assert call(made, "raise_event", [DISPATCHER_STATUS, "plain"]) == "OK"
    assert raised == [Event(DISPATCHER_STATUS, ["plain"])]


def test_names_of_opensips_4_are_aliases(farm: Farm) -> None:
    assert call(farm, "dispatcher:list", []) == call(farm, "ds_list", [])


def test_which_names_every_command(farm: Farm) -> None:
    assert call(farm, "which", []) == sorted([*COMMANDS, *ALIASES])


def test_version_uptime_and_processes(farm: Farm) -> None:
    assert call(farm, "version", [])["Server"].startswith("ds_farm (")
    farm.segment.header.created_ns = 940 * 10**9
    up = call(farm, "uptime", [])
    assert list(up) == ["Now", "Up since", "Up time"]
    assert up["Up time"] == "60 [sec]"
    for index, role, rank in ((0, Role.WORKER, 0), (1, Role.WORKER, 1), (2, Role.LOADER, 0)):
        view = farm.segment.process(index)
        view.pid, view.role, view.rank = 100 + index, role, rank
    assert call(farm, "ps", [])["Processes"] == [
        {"ID": 0, "PID": os.getpid(), "Type": "supervisor"},
        {"ID": 1, "PID": 100, "Type": "worker 0"},
        {"ID": 2, "PID": 101, "Type": "worker 1"},
        {"ID": 3, "PID": 102, "Type": "loader"},
    ]
