"""ds_count, ds_is_in_list and the blacklists.

Documentation 1.3.4, 1.3.11, 1.4.7, 1.4.8; decisions 26, 27.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds_farm.config import resolve
from ds_farm.config.dispatcher import DispatcherConfig
from ds_farm.dispatch.model import Address, State
from ds_farm.script._request import Request
from ds_farm.script.pvars import compile_setter
from ds_farm.script.settings import AvpNames, ScriptSettings, script_settings
from tests.support.request import CALLER, Script, dest, make_sets

A, B, C, D = (f"sip:192.0.2.{i}" for i in range(1, 5))
V6 = "sip:[2001:db8::7]:5080"
SETTINGS = ScriptSettings(
    set_setid=compile_setter("$var(setid)"),
    avps={"default": AvpNames(attrs="attrs"), "part2": AvpNames("d2", "g2", "c2", "s2", "a2")},
    blacklists={
        "list": ("default", (1, 9)),
        "blist2": ("default", (3,)),
        "theirs": ("part2", (2,)),
    },
)


@pytest.fixture
def script() -> Iterator[Script]:
    sets = make_sets(
        {
            1: [A, B, C, D],
            2: [dest(f"sip:{CALLER[0]}:{CALLER[1]}", attrs="trunk"), dest(B + ":5070")],
            3: [
                dest(
                    "sip:many.example.com",
                    addresses=(Address("192.0.2.3", 5060), Address("192.0.2.9", 5062)),
                ),
                dest(V6, addresses=(Address("2001:db8::7", 5080),), attrs="six"),
                dest("sip:gone.example.com", addresses=()),
            ],
        }
    )
    sets += make_sets({2: ["sip:203.0.113.1", B]}, "part2")
    with Script(sets, SETTINGS) as made:
        yield made


# -- ds_count


@pytest.fixture
def counted(script: Script) -> Script:
    script.set_state(B, State.INACTIVE)
    script.set_state(C, State.PROBING)
    script.set_state(D, State.PROBING)
    return script


@pytest.mark.parametrize(
    ("letters", "count"),
    [
        ("a", 1),
        ("A", 1),
        ("1", 1),
        (1, 1),
        ("i", 1),
        ("I", 1),
        ("0", 1),
        (0, 1),
        ("p", 2),
        ("P", 2),
        ("2", 2),
        ("pI", 3),
        ("1i", 2),
        ("ipA", 4),
        ("ap", 3),
        ("aa", 1),
        ("a, p", 3),
        ("", 4),  # no valid letter: all
        ("xyz", 4),
    ],
)
def test_count(counted: Script, letters: str | int, count: int) -> None:
    def route(request: Request) -> list[object]:
        result = request.ds_count("1", letters, "$avp(result)")
        return [
            result,
            request.avp["result"],
            request.ds_count(1, letters, "$var(n)"),
            request.var["n"],
        ]

    assert counted.run(route) == [1, count, 1, count]


def test_example_1_30_count_with_partition_and_set_in_avps(script: Script) -> None:
    script.set_state(B, State.INACTIVE, 2, "part2")

    def route(request: Request) -> list[object]:
        request.avp["partition"], request.avp["set"] = "part2", 2
        found = [bool(request.ds_count("1", "a", "$avp(result)")), request.avp["result"]]
        again = request.ds_count("$avp(partition) : $avp(set)", "ip", "$avp(result)")
        return [*found, bool(again), request.avp["result"]]

    assert script.run(route) == [True, 4, True, 1]


def test_count_of_none_is_a_success(script: Script) -> None:
    assert script.run(lambda r: (r.ds_count("1", "i", "$var(n)"), r.var["n"])) == (1, 0)


@pytest.mark.parametrize(
    ("sets", "result", "complaint"),
    [
        ("17", "$var(x)", ""),
        ("nosuch:1", "$var(x)", ""),
        ("1,2", "$var(x)", ""),
        ("one", "$var(x)", "set id 'one' is not a number"),
        ("99999999999", "$var(x)", "is larger than"),
        ("$hdr(X-None)", "$var(x)", "set id '' is not a number"),
        ("$nope", "$var(x)", "unknown variable '$nope'"),
        ("1", "x", "'x': expected $avp(name) or $var(name)"),
        ("1", "$ru", "'$ru': expected $avp(name) or $var(name)"),
        ("1", "", "expected $avp(name) or $var(name)"),
    ],
)
def test_count_refuses(script: Script, sets: str, result: str, complaint: str) -> None:
    found = script.run(lambda r: (r.ds_count(sets, "a", result), "x" in r.var))
    assert found == (-1, False)
    assert complaint in "".join(script.complaints)
    assert bool(script.complaints) == bool(complaint)


# -- ds_is_in_list


def test_example_1_31_is_in_list(script: Script) -> None:
    def route(request: Request) -> list[int]:
        return [
            request.ds_is_in_list("$si", "$sp"),
            request.ds_is_in_list("$rd", "$rp", "2"),
            request.ds_is_in_list("$rd", "$rp", "part2:2"),
        ]

    assert script.run(route, script.message(uri="sip:u@192.0.2.2:5070")) == [1, 1, -1]
    assert script.run(route, script.message(uri="sip:u@192.0.2.2")) == [1, -1, 1]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("192.0.2.1", "5060"), True),
        (("192.0.2.1", 5060), True),
        (("192.0.2.1", "5061"), False),
        (("192.0.2.1",), True),
        (("192.0.2.1", ""), True),
        (("192.0.2.1", "0"), True),
        (("192.0.2.1", 0), True),
        (("192.0.2.1", "$hdr(X-None)"), True),
        (("192.0.2.99", ""), False),
        (("192.0.2.1", "", "1"), True),
        (("192.0.2.1", "", 1), True),
        (("192.0.2.1", "", "2"), False),
        (("192.0.2.1", "", "default:1"), True),
        (("192.0.2.1", "", "default : 1"), True),
        (("192.0.2.1", "", "-1"), True),
        (("192.0.2.1", "", -1), True),
        (("192.0.2.1", "", ""), True),
        (("192.0.2.1", "", "17"), False),
        (("203.0.113.1", ""), False),  # of the other partition
        (("203.0.113.1", "", "part2:"), True),
        (("203.0.113.1", "", "part2 :"), True),
        (("203.0.113.1", "", "part2:-1"), True),
        (("203.0.113.1", "", "part2:2"), True),
        (("203.0.113.1", "", "nosuch:"), False),
        (("192.0.2.9", "5062"), True),  # the second address of a name
        (("192.0.2.9", "5060"), False),
        (("2001:db8::7", "5080"), True),  # decision 26
        (("[2001:db8:0:0::7]", "5080"), True),
        (("2001:DB8::7", ""), True),
        (("2001:db8::8", ""), False),
    ],
    ids=str,
)
def test_decision_26_is_in_list(
    script: Script, arguments: tuple[str | int, ...], found: bool
) -> None:
    result = script.run(lambda request: request.ds_is_in_list(*arguments))  # type: ignore[arg-type]
    assert result == (1 if found else -1)
    assert not script.complaints


@pytest.mark.parametrize(
    ("arguments"),
    [
        ("",),
        ("many.example.com",),
        ("192.0.2.300",),
        ("192.0.2.1", "sip"),
        ("192.0.2.1", "65536"),
        ("192.0.2.1", "-1"),
        ("192.0.2.1", "\u00b2"),
        ("192.0.2.1", "", "x"),
        ("192.0.2.1", "", "--1"),
        ("192.0.2.1", "", "\u00b2"),
        ("$nope",),
        ("192.0.2.1", "$nope"),
        ("192.0.2.1", "", "$nope"),
    ],
    ids=str,
)
def test_is_in_list_complains_of(script: Script, arguments: tuple[str, ...]) -> None:
    assert script.run(lambda request: request.ds_is_in_list(*arguments)) == -1
    (complaint,) = script.complaints
    assert complaint.startswith("ds_is_in_list: ")


@pytest.mark.parametrize(
    ("active_only", "found"),
    [(0, 1), ("0", 1), ("", 1), (False, 1), (1, -1), ("1", -1), (True, -1)],
    ids=repr,
)
@pytest.mark.parametrize("state", [State.INACTIVE, State.PROBING])
def test_is_in_list_among_the_active(
    script: Script, active_only: str | int, found: int, state: State
) -> None:
    script.set_state(A, state)
    result = script.run(lambda r: r.ds_is_in_list("192.0.2.1", "", "1", active_only))
    assert result == found
    assert script.run(lambda r: r.ds_is_in_list("192.0.2.4", "", "1", active_only)) == 1


def test_setid_pvar_is_set_when_all_sets_are_searched(script: Script) -> None:
    """Example 1.5; semantics 4.1: then only, and the set that was loaded last comes first."""

    def route(request: Request) -> list[object]:
        request.var.pop("setid", None)
        found: list[object] = []
        for arguments in (
            ("192.0.2.2", "", "1"),
            ("192.0.2.2",),
            ("192.0.2.3", "", "-1"),
            ("8.8.8.8",),
        ):
            found += [request.ds_is_in_list(*arguments), request.var.pop("setid", None)]
        return found

    assert script.run(route) == [1, None, 1, 2, 1, 3, -1, None]


def test_attrs_avp_gets_the_attrs_of_what_was_found(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.ds_is_in_list("2001:db8::7", "5080")
        request.ds_is_in_list("$si", "$sp")
        request.ds_is_in_list("192.0.2.1", "5060")
        return list(request.avp.all("attrs"))

    assert script.run(route) == ["", "trunk", "six"]


# -- blacklists


@pytest.mark.parametrize(
    ("name", "ip", "listed"),
    [
        ("list", "192.0.2.1", True),
        ("list", "192.0.2.9", False),
        ("blist2", "192.0.2.9", True),
        ("blist2", "2001:db8::7", True),
        ("blist2", "192.0.2.1", False),
        ("theirs", "203.0.113.1", True),
        ("theirs", "192.0.2.1", False),
        ("nosuch", "192.0.2.1", False),
        ("list", "example.com", False),
        ("list", "", False),
        ("list", "$hdr(X-IP)", True),
        ("list", "$nope", False),
    ],
)
def test_decision_27_is_blacklisted(script: Script, name: str, ip: str, listed: bool) -> None:
    message = script.message().add("X-IP", "192.0.2.2")
    result = script.run(lambda request: request.is_blacklisted(name, ip), message)
    assert result == (1 if listed else -1)


def test_a_blacklist_in_use_is_skipped_whatever_the_port(script: Script) -> None:
    """Decision 27: no port.  192.0.2.3:5060 of set 3 keeps out C, 192.0.2.3."""

    def route(request: Request) -> list[object]:
        found: list[object] = [request.use_blacklist("blist2"), request.use_blacklist("blist2")]
        for _ in range(4):
            request.ds_select_dst("1", "4")
            found.append(request.du)
        found += [request.unuse_blacklist("blist2"), request.unuse_blacklist("blist2")]
        return found

    assert script.run(route) == [1, 1, A, B, D, D, 1, -1]
    assert script.run(lambda r: [r.use_blacklist("nosuch"), r.unuse_blacklist("list")]) == [-1, -1]


def test_what_a_blacklist_turns_away_is_not_counted_as_selected(script: Script) -> None:
    def selected(*uris: str) -> list[int]:
        return [script.segment.counters(0, script.slot(uri)).selected for uri in uris]

    def route(request: Request) -> list[object]:
        request.use_blacklist("blist2")
        found: list[object] = []
        for _ in range(3):
            request.ds_select_dst("1", "4")
            found.append(request.du)
        return found

    before = selected(A, B, C, D)
    assert script.run(route) == [A, B, D]
    after = selected(A, B, C, D)
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 0, 1]


@pytest.mark.parametrize("read", [False, True], ids=["unread", "AVPs read"])
def test_a_blacklist_holds_for_failover_too(script: Script, read: bool) -> None:
    def route(request: Request) -> list[str | None]:
        request.ds_select_dst("1", "8", "f")
        request.use_blacklist("blist2")
        found = [request.du]
        while True:
            if read:
                assert request.avp["ds_dst_failover"]
            if not request.ds_next_dst():
                return found
            found.append(request.du)

    assert script.run(route) == [A, B, D]


def test_all_destinations_on_the_list(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.use_blacklist("list")
        alone = [request.ds_select_dst("1", "4", "fD"), request.du, request.ds_mark_dst()]
        return [*alone, request.ds_select_dst("1,2", "4,8"), request.du]

    assert script.run(route) == [-1, None, -1, 1, f"sip:{CALLER[0]}:{CALLER[1]}"]
    assert script.state(D) is State.ACTIVE


def test_the_default_is_the_last_resort_beside_a_blacklist(script: Script) -> None:
    script.publish(make_sets({1: [C, C + ":5070", D], 3: [C]}))

    def route(request: Request) -> list[object]:
        request.use_blacklist("blist2")
        return [request.ds_select_dst("1", "4", "D"), request.du]

    assert script.run(route) == [1, D]


def test_algorithm_9_beside_a_blacklist_keeps_its_order() -> None:
    loads = {A: 1.0, C: 0.0, D: 2.0, B: 3.0}
    settings = ScriptSettings(
        load=lambda request, uri: loads[uri], blacklists={"bad": ("default", (3,))}
    )
    with Script({1: [A, B, C, D], 3: [C, D]}, settings) as script:

        def route(request: Request) -> list[str | None]:
            request.use_blacklist("bad")
            request.ds_select_dst("1", "9", "f")
            found = [request.du]
            while request.ds_next_dst():
                found.append(request.du)
            return found

        assert script.run(route) == [A, B]


def test_blacklists_end_with_the_request(script: Script) -> None:
    script.run(lambda request: request.use_blacklist("list"))
    assert script.run(lambda request: request.unuse_blacklist("list")) == -1
    assert script.chosen("1", "8") == A


def test_example_1_12_blacklists_from_the_configuration() -> None:
    config = DispatcherConfig.model_validate(
        {"db_url": "sqlite:////f", "ds_define_blacklist": ["list= 1,4,3", "blist2= 2,10,6"]}
    )
    settings = script_settings(config, resolve(config))
    sets = {number: [f"sip:192.0.2.{number}"] for number in (1, 2, 3, 4, 5, 6, 10)}
    with Script(sets, settings) as script:
        for name, ids in (("list", {1, 3, 4}), ("blist2", {2, 6, 10})):
            for number in sets:
                result = script.run(
                    lambda r, name=name, number=number: r.is_blacklisted(name, f"192.0.2.{number}")  # type: ignore[misc]
                )
                assert (result == 1) == (number in ids)
