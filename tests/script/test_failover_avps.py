"""The AVPs between a selection and ds_next_dst, and scripts that change them.

Documentation 1.3.2, 1.3.13 to 1.3.16; decision 10; semantics 3.3 to 3.6.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds_farm.config import resolve
from ds_farm.config.dispatcher import DispatcherConfig
from ds_farm.dispatch.model import State
from ds_farm.script._request import Request
from ds_farm.script.avps import Value
from ds_farm.script.pvars import compile_format
from ds_farm.script.settings import AvpNames, ScriptSettings, script_settings
from tests.dispatch.model import reference_hash
from tests.script.lists import AVPS, ROWS, A, B, C, X, Y, two_partitions
from tests.support.request import Script


@pytest.fixture
def script() -> Iterator[Script]:
    with two_partitions() as made:
        yield made


def _stacks(request: Request) -> list[list[Value]]:
    return [request.avp.all(name) for name in AVPS]


def test_avps_of_a_selection_with_flag_f(script: Script) -> None:
    def route(request: Request) -> list[list[Value]]:
        request.ds_select_dst("1", "8", "f")
        return _stacks(request)

    assert script.run(route) == [
        [A, B, C],
        ["udp:127.0.0.2:5070", "", "127.0.0.1:5080"],
        ["a=1", "", "c=3"],
        [1],
        [3],
    ]


def test_avps_of_a_selection_without_flag_f(script: Script) -> None:
    def route(request: Request) -> list[list[Value]]:
        request.ds_select_dst("1", "8")
        return _stacks(request)

    assert script.run(route) == [[], [], ["a=1"], [1], [0]]


def test_avps_of_a_list_of_sets(script: Script) -> None:
    def route(request: Request) -> list[list[Value]]:
        request.ds_select_dst("1,2", "8,8", "f M 2,f")
        return _stacks(request)

    assert script.run(route) == [
        [A, B, X, Y],
        ["udp:127.0.0.2:5070", "", "", ""],
        ["a=1", "", "x", ""],
        [1, 2],
        [2, 2],
    ]


@pytest.mark.parametrize("read", [False, True], ids=["unread", "AVPs read"])
def test_sets_whose_algorithm_reads_avps(read: bool) -> None:
    """hash_pvar over an AVP (example 1.3) while a list of sets is walked (example 1.29)."""
    settings = ScriptSettings(hash_text=compile_format("$avp(273)"))

    def route(request: Request) -> list[str | None]:
        request.avp["273"] = "alice"
        found = []
        more = request.ds_select_dst("1,2", "7,7", "f,f")
        while more:
            found.append(request.du)
            if read:
                rest = request.avp.all("ds_dst_failover")
                assert rest[0] == request.du
            more = request.ds_next_dst()
        return found

    def place(size: int) -> int:
        return reference_hash(b"alice") % size

    with Script({1: [A, B, C], 2: [X, Y]}, settings) as script:
        expected = [[A, B, C][(place(3) + i) % 3] for i in range(3)]
        assert script.run(route) == expected + [[X, Y][(place(2) + i) % 2] for i in range(2)]


@pytest.mark.parametrize("flags", ["f", "fD"])
def test_one_that_died_after_the_avps_were_made_is_passed_over(script: Script, flags: str) -> None:
    """But not the default destination, the last resort (decision 13)."""

    def route(request: Request) -> list[str | None]:
        request.ds_select_dst("1", "8", flags)
        assert request.avp.all("ds_dst_failover") == [A, B, C]
        found = []
        for uri in (B, C):
            script.set_state(uri, State.INACTIVE)
        while request.ds_next_dst():
            found.append(request.du)
        return found

    assert script.run(route) == ([C] if "D" in flags else [])


def test_arguments_with_variables(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.var["part"], request.var["state"], request.var["zero"] = "part2", "i", 0
        request.ds_select_dst("$var(part):1", "8", "f")
        found: list[object] = [request.du, request.ds_next_dst("$var(part)"), request.du]
        found.append(request.ds_mark_dst("$var(part)", "$var(state)"))
        found.append(request.ds_count("$var(part):1", "$var(state)", "$var(count)"))
        found.append(request.var["count"])
        request.ds_mark_dst("part2", "i")
        for active_only in ("$var(zero)", "$var(part)"):
            found.append(request.ds_is_in_list(X.removeprefix("sip:"), "", "part2:1", active_only))
        wrong = [request.ds_next_dst("$nope"), request.ds_mark_dst("$nope")]
        return [*found, *wrong]

    assert script.run(route) == [Y, 1, X, 1, 1, 1, 1, -1, -1, -1]
    assert [text.split(":")[0] for text in script.complaints] == ["ds_next_dst", "ds_mark_dst"]


def test_avps_shrink_with_every_next(script: Script) -> None:
    """Decision 10: set, socket and attrs of the current destination go with it."""

    def route(request: Request) -> list[list[list[Value]]]:
        request.ds_select_dst("1,2", "8,8", "f M 2,f M 1")
        seen = [_stacks(request)]
        while request.ds_next_dst():
            seen.append(_stacks(request))
        return [*seen, _stacks(request)]

    assert script.run(route) == [
        [[A, B, X], ["udp:127.0.0.2:5070", "", ""], ["a=1", "", "x"], [1, 2], [2, 1]],
        [[B, X], ["", ""], ["", "x"], [1, 2], [2, 1]],
        [[X], [""], ["x"], [2], [1]],
        [[], [""], ["x"], [2], [1]],
    ]


def test_avps_first_read_after_a_next(script: Script) -> None:
    def route(request: Request) -> list[list[Value]]:
        request.ds_select_dst("1", "8", "f")
        request.ds_next_dst()
        return _stacks(request)

    assert script.run(route)[0] == [B, C]


def test_a_second_selection_replaces_the_avps(script: Script) -> None:
    def route(request: Request) -> list[list[Value]]:
        request.ds_select_dst("1", "8", "f")
        assert len(request.avp.all("ds_dst_failover")) == 3
        request.ds_select_dst("2", "8", "f")
        return _stacks(request)

    assert script.run(route) == [[X, Y], ["", ""], ["x", ""], [2], [2]]


def test_attrs_are_not_provided_without_attrs_avp() -> None:
    with Script({1: ROWS}) as script:

        def route(request: Request) -> set[str]:
            request.ds_select_dst("1", "8", "f")
            return set(request.avp)

        assert script.run(route) == set(AVPS) - {"attrs"}


def test_avps_of_a_partition_have_names_of_their_own(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.ds_select_dst("1", "8", "f")
        request.ds_select_dst("part2:1", "8", "f")
        both = [request.avp.all(name) for name in ("ds_dst_failover", "d2", "g2", "c2", "s2", "a2")]
        return [*both, request.ds_next_dst(), request.du, request.ds_next_dst("part2"), request.du]

    assert script.run(route) == [[A, B, C], [Y, X], [1], [2], ["", ""], ["", ""], 1, B, 1, X]


def test_configured_and_default_names_of_avps() -> None:
    """Documentation 1.3.13: $avp(ds_dst_failover), of a partition with its name behind."""
    plain = DispatcherConfig.model_validate(
        {"db_url": "sqlite:////f", "partition": ["p2: table_name=t"]}
    )
    names = script_settings(plain, resolve(plain)).avps
    assert names["default"] == AvpNames()
    assert names["p2"] == AvpNames(
        "ds_dst_failover_p2", "ds_grp_failover_p2", "ds_cnt_failover_p2", "ds_sock_failover_p2"
    )
    # The examples 1.2 and 1.14 to 1.17.
    given = DispatcherConfig.model_validate(
        {
            "db_url": "sqlite:////f",
            "attrs_avp": "$avp(272)",
            "dst_avp": "$avp(271)",
            "grp_avp": "$avp(273)",
            "cnt_avp": "$avp(274)",
            "sock_avp": "$avp(275)",
        }
    )
    settings = script_settings(given, resolve(given))
    with Script({1: ROWS}, settings) as script:

        def route(request: Request) -> list[list[Value]]:
            request.ds_select_dst("1", "8", "f")
            return [request.avp.all(str(number)) for number in range(271, 276)]

        assert script.run(route) == [
            [A, B, C],
            ["a=1", "", "c=3"],
            [1],
            [3],
            ["udp:127.0.0.2:5070", "", "127.0.0.1:5080"],
        ]


# -- a script that changes the list


def test_a_script_may_take_destinations_out(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.ds_select_dst("1", "8", "f")
        request.avp.put_all("ds_dst_failover", [A, C])
        return [request.ds_next_dst(), request.du, request.ds_next_dst()]

    assert script.run(route) == [1, C, -1]


def test_a_script_may_put_a_destination_in(script: Script) -> None:
    mine = "sip:203.0.113.9:5099"

    def route(request: Request) -> list[object]:
        request.ds_select_dst("1", "8", "f")
        request.avp.put_all("ds_dst_failover", [A, mine, B])
        found: list[object] = [request.ds_next_dst(), request.du, request.ds_mark_dst()]
        found += [request.ds_next_dst(), request.du, request.ds_mark_dst()]
        return found

    assert script.run(route) == [1, mine, -1, 1, B, 1], "only B is of the set"
    assert [script.state(uri) for uri in (A, B, C)] == [
        State.ACTIVE,
        State.INACTIVE,
        State.ACTIVE,
    ]


def test_what_cannot_be_sent_to_is_passed_over_with_a_complaint(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.ds_select_dst("1", "8", "f")
        request.avp.put_all("ds_dst_failover", [A, "nonsense", C])
        return [request.ds_next_dst(), request.du]

    assert script.run(route) == [1, C]
    assert "nonsense" in script.complaints[0]


def test_a_script_may_empty_the_list(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.ds_select_dst("1", "8", "f")
        del request.avp["ds_dst_failover"]
        return [request.ds_next_dst(), request.du]

    assert script.run(route) == [-1, A]


def test_avps_end_with_the_request(script: Script) -> None:
    def first(request: Request) -> None:
        request.ds_select_dst("1", "8", "f")
        request.avp["mine"] = 1
        request.var["kept"] = "yes"

    script.run(first)
    found = script.run(lambda r: (dict(r.avp), r.ds_next_dst(), r.ds_mark_dst(), dict(r.var)))
    assert found == ({}, -1, -1, {"kept": "yes"})
