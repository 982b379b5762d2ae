"""ds_select_dst and ds_select_domain: sets, lists, flags, values and variables.

Documentation 1.4.1 and 1.4.2; decisions 1, 7, 9, 11, 12, 13.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds_farm.dispatch.model import Address, State
from ds_farm.script._request import Request
from ds_farm.script.settings import AvpNames, ScriptSettings
from tests.support.message import Sip
from tests.support.request import Script, dest, make_sets

A, B, C, D, E = (f"sip:192.0.2.{i}" for i in range(1, 6))
ABCDE = [A, B, C, D, E]
OTHER = [f"sip:198.51.100.{i}" for i in range(1, 4)]
NAMES = {name: AvpNames(dst=f"dst_{name}") for name in ("default", "part2", "part3", "part4", "p4")}
READ = {"unread": lambda request: None, "AVPs read": lambda request: request.avp}
"""Whether the script looks at the AVPs between, or not, must be of no matter."""


@pytest.fixture
def script() -> Iterator[Script]:
    sets = make_sets({1: ABCDE, 2: OTHER, 3: [A], 7: []})
    for name in ("part2", "part3", "part4", "p4"):
        sets += make_sets({1: ABCDE, 2: ABCDE, 3: OTHER}, name)
    with Script(sets, ScriptSettings(avps=NAMES)) as made:
        yield made


def _down(script: Script, *uris: str, set_id: int = 1) -> None:
    for uri in uris:
        script.set_state(uri, State.PROBING, set_id)


# -- what is done with the destination


def test_the_request_goes_where_du_says(script: Script) -> None:
    def route(request: Request) -> str | None:
        assert request.ds_select_dst("1", "8") == 1
        assert request.ru == "sip:service@example.com", "the Request-URI stays"
        assert request.forward() == 1
        return request.du

    du, sent = script.route(route)
    assert du == A
    ((datagram, ip, port, socket),) = sent
    assert (ip, port, socket) == ("192.0.2.1", 5060, 0)
    assert Sip.read(datagram).start_line == b"OPTIONS sip:service@example.com SIP/2.0"


def test_decision_7_the_whole_uri_is_du(script: Script) -> None:
    uri = "sip:gw7@192.0.2.77:5077;transport=udp;lr"
    script.publish({1: [uri]})

    def route(request: Request) -> str | None:
        request.ds_select_dst("1", "4")
        request.forward()
        return request.du

    du, ((_, ip, port, _),) = script.route(route)
    assert (du, ip, port) == (uri, "192.0.2.77", 5077)


def test_ds_select_domain_writes_host_and_port_of_the_request_uri(script: Script) -> None:
    script.publish({1: ["sip:gw@192.0.2.77:5077;transport=udp"]})
    message = script.message(uri="sip:+49123;npdi=yes@example.com:6000;user=phone")

    def route(request: Request) -> tuple[str, str | None]:
        assert request.ds_select_domain("1", "4") == 1
        request.forward()
        return request.ru, request.du

    (ru, du), ((datagram, ip, port, _),) = script.route(route, message)
    assert ru == "sip:+49123;npdi=yes@192.0.2.77:5077;user=phone"
    assert du is None
    assert (ip, port) == ("192.0.2.77", 5077)
    assert Sip.read(datagram).start_line == f"OPTIONS {ru} SIP/2.0".encode()


def test_ds_select_domain_without_a_port_drops_the_old_one(script: Script) -> None:
    message = script.message(uri="sip:u@example.com:6000")
    found = script.run(lambda request: (request.ds_select_domain("1", "8"), request.ru), message)
    assert found == (1, "sip:u@192.0.2.1")


def test_a_request_uri_without_a_host_cannot_be_given_one(script: Script) -> None:
    message = script.message(uri="tel:+4912345")
    found = script.run(lambda request: (request.ds_select_domain("1", "8"), request.ru), message)
    assert found == (-3, "tel:+4912345")
    assert script.run(lambda request: request.ds_select_domain("9", "8"), message) == -1


def test_ipv6_destinations(script: Script) -> None:
    uri = "sip:[2001:db8::7]:5077"
    script.publish({1: [dest(uri, addresses=(Address("2001:db8::7", 5077),))]})
    assert script.chosen("1", "4") == uri
    assert script.run(lambda r: (r.ds_select_domain("1", "4"), r.ru)) == (
        1,
        "sip:service@[2001:db8::7]:5077",
    )


# -- example 1.29 and other spellings


def test_example_1_29_as_written(script: Script) -> None:
    """The four calls with constants."""
    assert script.chosen("1", "0") in ABCDE
    assert script.chosen("part2 : 1", "0", "5") in ABCDE
    assert script.chosen("part3 : 1", "0", "fUsD") in ABCDE[:4]
    assert script.chosen("part4 : 2,3", "0,1", "fuD M 5, fuS M 2") in ABCDE[:4]


def test_example_1_29_lists_and_limits_in_a_partition(script: Script) -> None:
    """fuD M 5 over five: the four that are drawn, then the default; fuS M 2: two of three."""

    def route(request: Request) -> list[str]:
        found = []
        assert request.ds_select_dst("part4 : 2,3", "0,1", "fuD M 5, fuS M 2") == 1
        while True:
            found.append(str(request.du))
            if not request.ds_next_dst("part4"):
                return found

    found = script.run(route)
    assert sorted(found[:4]) == ABCDE[:4]
    assert found[4] == E
    assert len(found) == 7
    assert set(found[5:]) < set(OTHER)


def test_example_1_29_dispatch_over_multiple_groups_from_variables(script: Script) -> None:
    def route(request: Request) -> list[str]:
        request.var["part_name"] = "p4"
        request.var["setid"] = "1, 2"
        request.var["alg"] = "4, 2"
        request.var["flags"] = " sFDU M 2, fuS M 3"
        assert request.ds_select_dst("$var(part_name):$var(setid)", "$var(alg)", "$var(flags)") == 1
        found = [str(request.du)]
        while request.ds_next_dst("p4"):
            found.append(str(request.du))
        return found

    found = script.run(route)
    assert found[:3] == [A, B, E], "two of the first set, and its default on top"
    assert len(found) == 6
    assert set(found[3:]) <= set(ABCDE)


@pytest.mark.parametrize("sets", ["1", 1, " 1 ", "default:1", "default : 1", ":1"])
@pytest.mark.parametrize("algorithm", ["8", 8, " 8 "])
def test_texts_and_numbers(script: Script, sets: str | int, algorithm: str | int) -> None:
    assert script.chosen(sets, algorithm) == A


def test_variables_of_the_message(script: Script) -> None:
    message = script.message().add("X-Set", "2").add("X-Alg", "8")
    assert script.chosen("$hdr(X-Set)", "$hdr(X-Alg)", "$avp(none)", message) == OTHER[0]
    message = script.message().add("X-Set", "part2 : 1")
    assert script.chosen("$hdr(X-Set)", "8", None, message) == A


def test_the_same_variables_with_other_values(script: Script) -> None:
    for number, expected in (("1", A), ("2", OTHER[0]), ("3", A), ("1", A)):
        message = script.message().add("X-Set", number)
        assert script.chosen("$hdr(X-Set)", "8", None, message) == expected


@pytest.mark.parametrize("value", ["", "x", "1;2", "-1", "$ci", "9" * 400, "1 1", "\u00b2"])
def test_what_the_network_writes_into_a_variable_is_an_error_at_most(
    script: Script, value: str
) -> None:
    message = script.message().add("X-Set", value)
    result = script.run(lambda request: request.ds_select_dst("$hdr(X-Set)", "4"), message)
    assert result == -1
    assert script.complaints


@pytest.mark.parametrize(
    ("call", "code", "complaint"),
    [
        (("1,2", "4"), -2, "2 sets in '1,2', but 1 algorithms in '4'"),
        (("1", "4,4"), -2, "1 sets in '1', but 2 algorithms in '4,4'"),
        (("1,2", "4,4", "f"), -2, "2 sets in '1,2', but 1 flags in 'f'"),
        (("1", "4", "q"), -1, "flags 'q': unknown flag 'q'"),
        (("1", "4", "ff"), -1, "flags 'ff': a flag stands twice"),
        (("one", "4"), -1, "set id 'one' is not a number"),
        (("1", "four"), -1, "algorithm 'four' is not a number"),
        (("$nope(x)", "4"), -1, "unknown variable '$nope(x)'"),
        (("1", "4", "f M"), -1, "a number is expected after M"),
    ],
)
def test_return_codes_and_complaints(
    script: Script, call: tuple[str, ...], code: int, complaint: str
) -> None:
    result = script.run(lambda request: (request.ds_select_dst(*call), request.du))
    assert result == (code, None)
    assert not result[0], "failures are false in Python"
    assert complaint in script.complaints[0]


def test_a_wrong_call_is_complained_of_once_and_not_for_every_message(script: Script) -> None:
    for _ in range(5):
        script.chosen("one", "4")
    assert len(script.complaints) == 1


# -- lists of sets


def test_the_first_set_that_has_something_is_used(script: Script) -> None:
    assert script.chosen("9,7,2,1", "4,4,8,8") == OTHER[0]
    _down(script, *OTHER, set_id=2)
    assert script.chosen("9,7,2,1", "4,4,8,8") == A
    assert script.chosen("2,9", "4,4") is None


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_decision_9_the_second_set_comes_after_the_first(script: Script, read: object) -> None:
    assert callable(read)
    assert script.walk("2,1", "8,8", "f,f", read=read) == OTHER + ABCDE
    assert script.walk("2,1", "8,8", "f M 2, f M 1", read=read) == [*OTHER[:2], A]


@pytest.mark.parametrize("read", READ.values(), ids=READ)
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (None, [OTHER[0]]),
        ("u,u", [OTHER[0]]),
        ("3,3", [OTHER[0]]),
        ("f,u", OTHER),
        ("u,f", [OTHER[0], *ABCDE]),
    ],
)
def test_only_sets_with_flag_f_are_failed_over_to(
    script: Script, read: object, flags: str | None, expected: list[str]
) -> None:
    assert callable(read)
    assert script.walk("2,1", "8,8", flags, read=read) == expected


# -- flags


@pytest.mark.parametrize("read", READ.values(), ids=READ)
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", [B]),
        ("f", [B, C, D, E, A]),  # decision 1: no limit
        ("F", [B, C, D, E, A]),
        ("f M 1000", [B, C, D, E, A]),
        ("f M 3", [B, C, D]),
        ("f M 1", [B]),
        ("f M 0", [B]),
        ("3", [B]),  # max_results alone: no list
        ("fd", [B, C, D, A, E]),
        ("fD M 2", [B, C, E]),  # the default on top of M
        ("fD M 1", [B, E]),
        ("D", [B]),
    ],
)
def test_failover_order_and_limits(
    script: Script, read: object, flags: str, expected: list[str]
) -> None:
    assert callable(read)
    assert script.chosen("1", "4") == A  # the cursor stands at B then
    assert script.walk("1", "4", flags, read=read) == expected


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_alternates_are_active_ones(script: Script, read: object) -> None:
    assert callable(read)
    _down(script, A, C)
    assert script.walk("1", "8", "f", read=read) == [B, D, E]
    assert script.walk("1", "8", "f M 2", read=read) == [B, D]


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_decision_13_the_default_comes_last_also_when_it_is_down(
    script: Script, read: object
) -> None:
    assert callable(read)
    _down(script, E, B)
    assert script.walk("1", "8", "fD", read=read) == [A, C, D, E]
    _down(script, A, C, D)
    assert script.walk("1", "8", "fD", read=read) == []


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_only_the_default_is_left(script: Script, read: object) -> None:
    assert callable(read)
    _down(script, A, B, C, D)
    assert script.walk("1", "8", "fD", read=read) == [E]
    assert script.walk("3", "4", "fD", read=read) == [A], "a set of one"


def test_decision_11_flag_s_leaves_what_is_set(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.du = "sip:203.0.113.9:5099"
        kept = [request.ds_select_dst("1", "8", "S"), request.du]
        return [*kept, request.ds_select_dst("1", "8"), request.du]

    assert script.run(route) == [1, "sip:203.0.113.9:5099", 1, A]
    assert script.chosen("1", "8", "s") == A, "nothing was set"


def test_decision_11_flag_s_of_a_domain(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.ds_select_domain("2", "8")
        kept = [request.ds_select_domain("1", "8", "S"), request.ru]
        return [*kept, request.ds_select_domain("1", "8"), request.ru]

    assert script.run(route) == [
        1,
        "sip:service@198.51.100.1",
        1,
        "sip:service@192.0.2.1",
    ]


def test_decision_11_a_request_uri_with_another_user_has_no_destination_yet(
    script: Script,
) -> None:
    def route(request: Request) -> list[object]:
        request.ru = "sip:9service@example.com"
        chosen = [request.ds_select_domain("1", "8", "S"), request.ru]
        request.ru = "sip:x@example.com:5077"
        return [*chosen, request.ds_select_domain("2", "8", "S"), request.ru]

    assert script.run(route) == [
        1,
        "sip:9service@192.0.2.1",
        1,
        "sip:x@example.com:5077",
    ]


def test_decision_11_flag_s_keeps_the_list_of_the_selection_before(script: Script) -> None:
    def route(request: Request) -> str | None:
        request.ds_select_dst("1", "8", "f")
        request.ds_select_dst("2", "8", "fS")
        request.ds_next_dst()
        return request.du

    assert script.run(route) == B


def test_flag_s_of_a_later_set(script: Script) -> None:
    def route(request: Request) -> list[object]:
        request.du = "sip:203.0.113.9:5099"
        return [request.ds_select_dst("9,1", "8,8", ",S"), request.du, request.ds_mark_dst()]

    assert script.run(route) == [1, "sip:203.0.113.9:5099", -1]


def test_decision_12_an_empty_third_argument_is_none(script: Script) -> None:
    assert script.chosen("1,2", "8,8", "") == A
    assert script.chosen("1", "8", "  ") == A


# -- counters


def test_selections_and_picks_are_counted(script: Script) -> None:
    def count(uri: str) -> int:
        return script.segment.counters(0, script.slot(uri)).selected

    record = script.registry.table().find("default", 1)
    assert record is not None
    counters = script.segment.set_counters(0, record.slot)
    for _ in range(7):
        script.chosen("1", "4")
    assert [count(uri) for uri in ABCDE] == [2, 2, 1, 1, 1]
    assert (counters.words("selections"), counters.failures) == ([0] * 4 + [7] + [0] * 6, 0)
    for alg in ("0", "6", "8", "9", "10", "77"):
        script.chosen("1", alg)
    # Without a pattern algorithm 9 is the first entry, 8 (decision 8); X comes last.
    assert counters.words("selections") == [1, 0, 0, 0, 7, 0, 1, 0, 2, 0, 2]
    script.chosen("77", "4")
    assert script.segment.worker(0).unknown_sets == 1
    _down(script, *ABCDE)
    script.chosen("1", "4")
    assert (sum(counters.words("selections")), counters.failures) == (13, 1)


def test_before_the_first_table_nothing_is_found() -> None:
    with Script(None, ScriptSettings(blacklists={"list": ("default", (1,))})) as script:

        def route(request: Request) -> list[int]:
            return [
                request.ds_select_dst("1", "4", "f"),
                request.ds_select_domain("1", "4"),
                request.ds_next_dst(),
                request.ds_mark_dst(),
                request.ds_count("1", "a", "$var(n)"),
                request.ds_is_in_list("192.0.2.1"),
                request.use_blacklist("list"),
                request.is_blacklisted("list", "192.0.2.1"),
            ]

        assert script.run(route) == [-1, -1, -1, -1, -1, -1, 1, -1]
        script.publish({1: [A]})
        assert script.chosen("1", "4") == A
