"""What each algorithm looks at in a message (documentation 1.4.1; semantics 2.2, 2.3, 2.5).

Expected picks come from the reference hash of the tests and the plain model, not from ds_farm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ds_farm.config import load, resolve
from ds_farm.config.dispatcher import DispatcherConfig
from ds_farm.dispatch.model import Destination, State
from ds_farm.proxy.codes import Failure
from ds_farm.script._request import Request
from ds_farm.script.pvars import compile_format
from ds_farm.script.settings import ScriptSettings, script_settings
from tests.dispatch.model import Member, ModelSet, reference_hash
from tests.support.message import Draft
from tests.support.request import Script, dest

WEIGHTS = (1, 2, 3, 4)
URIS = [f"sip:192.0.2.{i}" for i in range(1, 5)]
MODEL = ModelSet([Member(weight) for weight in WEIGHTS])


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    settings = ScriptSettings(hash_text=compile_format("hash the $fU@$ci"))
    rows = [dest(uri, weight) for uri, weight in zip(URIS, WEIGHTS, strict=True)]
    with Script({1: rows, 2: ["sip:192.0.2.9"], 3: URIS}, settings) as made:
        yield made


def _expected(*keys: str | bytes) -> str:
    h = reference_hash(*(key.encode() if isinstance(key, str) else key for key in keys))
    index = MODEL.select(0, h, False)
    assert index is not None
    return URIS[index]


def test_algorithm_0_call_id(script: Script) -> None:
    for i in range(40):
        message = script.message().set("Call-ID", f" {i}-abc@192.0.2.{i} ")
        assert script.chosen("1", "0", None, message) == _expected(f"{i}-abc@192.0.2.{i}")


URI_KEYS = [
    # as written in the message -> key 1, key 2
    ("sip:alice@example.com", "alice", "example.com"),
    ("sip:alice@example.com:5060", "alice", "example.com"),
    ("sip:alice@example.com:5070", "alice", "example.com:5070"),
    ("sip:alice@example.com:5061", "alice", "example.com:5061"),
    ("sips:alice@example.com:5061", "alice", "example.com"),
    ("sips:alice@example.com:5060", "alice", "example.com:5060"),
    ("sip:alice@example.com:5061;transport=tls", "alice", "example.com"),
    ("sip:alice@example.com;user=phone", "alice", "example.com"),
    ("sip:Alice@EXAMPLE.com", "Alice", "EXAMPLE.com"),  # no case folding
    ("sip:%61lice@example.com", "%61lice", "example.com"),  # no unescaping
    ("sip:example.com", "", "example.com"),
    ("sip:alice@[2001:db8::1]:5070", "alice", "[2001:db8::1]:5070"),
]


@pytest.mark.parametrize(("uri", "user", "host"), URI_KEYS, ids=[case[0] for case in URI_KEYS])
@pytest.mark.parametrize("algorithm", ["1", "2", "3"])
def test_algorithms_1_2_3_uris(
    script: Script, algorithm: str, uri: str, user: str, host: str
) -> None:
    for i in range(8):
        there = uri.replace("lice", f"lice{i}")
        message = _with_uri(script, algorithm, there)
        key1 = user.replace("lice", f"lice{i}")
        assert script.chosen("1", algorithm, None, message) == _expected(key1, host)


@pytest.mark.parametrize("algorithm", ["1", "2", "3"])
def test_flag_u_hashes_the_user_part_only(script: Script, algorithm: str) -> None:
    for i in range(20):
        message = _with_uri(script, algorithm, f"sip:u{i}@host{i}.example:5070")
        assert script.chosen("1", algorithm, "u", message) == _expected(f"u{i}", "")


@pytest.mark.parametrize("algorithm", ["0", "5", "6", "7"])
def test_flag_u_is_nothing_to_the_others(script: Script, algorithm: str) -> None:
    if algorithm == "6":
        assert script.chosen("1", algorithm, "u") in URIS
        return
    message = script.message().add("Authorization", 'Digest username="bob"').bytes()
    assert script.chosen("1", algorithm, "u", message) == script.chosen("1", algorithm, "", message)


def _with_uri(script: Script, algorithm: str, uri: str) -> Draft:
    if algorithm == "3":
        return script.message(uri=uri)
    name = {"1": "From", "2": "To"}[algorithm]
    return script.message().set(name, f"Somebody <{uri}>;tag=t")


def test_algorithm_3_hashes_the_uri_as_rewritten(script: Script) -> None:
    def route(request: Request) -> str | None:
        request.ru = "sip:rewritten@example.org:7000"
        return request.du if request.ds_select_dst("1", "3") else None

    assert script.run(route) == _expected("rewritten", "example.org:7000")


def test_algorithm_4_over_the_set(script: Script) -> None:
    found = Counter(script.chosen("1", "4") for _ in range(40))
    assert found == dict(zip(URIS, (4, 8, 12, 16), strict=True))


AUTHORIZATIONS = [
    (['Proxy-Authorization: Digest username="carol", realm="r"'], "carol"),
    (['Authorization: Digest realm="r", username="dave"'], "dave"),
    # Proxy-Authorization is looked at first.
    (
        ['Authorization: Digest username="dave"', 'Proxy-Authorization: Digest username="carol"'],
        "carol",
    ),
    (['Authorization: Digest username="erin@example.com"'], "erin"),
]


@pytest.mark.parametrize(("headers", "user"), AUTHORIZATIONS, ids=["proxy", "www", "both", "realm"])
def test_algorithm_5_user_of_the_credentials(script: Script, headers: list[str], user: str) -> None:
    for i in range(10):
        message = script.message()
        for header in headers:
            name, _, value = header.partition(": ")
            message.add(name, value.replace(user, f"{user}{i}"))
        assert script.chosen("1", "5", None, message) == _expected(f"{user}{i}")


def test_decision_3_algorithm_5_without_a_user_is_round_robin(script: Script) -> None:
    found = [script.chosen("3", "5") for _ in range(8)]
    assert sorted(found[:4]) == URIS  # type: ignore[type-var]
    assert found[:4] == found[4:]
    message = script.message().add("Authorization", 'Digest username=""')
    assert script.chosen("3", "5", None, message) == found[0]


def test_algorithm_6_spreads_by_weight() -> None:
    """Chi-square with 3 degrees of freedom is above 16.3 once in a thousand; the seed is fixed."""
    rows = [dest(uri, weight) for uri, weight in zip(URIS, WEIGHTS, strict=True)]
    total = 10_000
    with Script({1: rows}, seed=4711) as script:
        message = script.message().bytes()
        found = Counter(script.chosen("1", "6", None, message) for _ in range(total))
    expected = [total * weight / sum(WEIGHTS) for weight in WEIGHTS]
    chi = sum((found[uri] - e) ** 2 / e for uri, e in zip(URIS, expected, strict=True))
    assert 0 < chi < 16.3


def test_algorithm_6_is_another_sequence_in_each_worker() -> None:
    sequences = []
    for seed in (1, 2):
        with Script({1: URIS}, seed=seed) as script:
            sequences.append([script.chosen("1", "6") for _ in range(30)])
    assert sequences[0] != sequences[1]


def test_algorithm_7_hash_pvar(script: Script) -> None:
    """Example 1.4: combination of PVs for hashing."""
    for i in range(20):
        message = script.message().set("From", f"<sip:u{i}@h>;tag=x").set("Call-ID", f"c{i}")
        assert script.chosen("1", "7", None, message) == _expected(f"hash the u{i}@c{i}")


def test_algorithm_7_an_avp_of_the_script() -> None:
    """Example 1.3: use $avp(273) for hashing.  Observed with UTF-8 text, trimmed."""
    rows = [dest(uri, weight) for uri, weight in zip(URIS, WEIGHTS, strict=True)]
    with Script({1: rows}, ScriptSettings(hash_text=compile_format("$avp(273)"))) as script:

        def route(request: Request) -> str | None:
            request.avp["273"] = " Zo\u00eb \r\n"
            return request.du if request.ds_select_dst("1", "7") else None

        assert script.run(route) == _expected("Zo\u00eb")
        assert script.chosen("1", "7") is None, "an empty value"


def test_algorithm_7_without_hash_pvar_fails() -> None:
    with Script({1: URIS}) as script:
        assert script.chosen("1", "7") is None


@pytest.mark.parametrize("algorithm", ["8", "10", "99", "-1"])
def test_algorithm_8_and_x_take_the_first_entry(script: Script, algorithm: str) -> None:
    assert [script.chosen("1", algorithm) for _ in range(3)] == URIS[:1] * 3
    script.set_state(URIS[0], State.PROBING)
    assert script.chosen("1", algorithm) == URIS[1]
    script.set_state(URIS[0], State.ACTIVE)


# -- algorithm 9


def _loads(**values: object) -> ScriptSettings:
    """pvar_algo_pattern over a table of loads by the last octet."""

    def load(request: object, uri: str) -> float | None:
        value = values["d" + uri.rpartition(".")[2]]
        return None if value is None else float(str(value))

    return ScriptSettings(load=load)


@pytest.mark.parametrize(
    ("loads", "order"),
    [
        ({"d1": 3, "d2": 1, "d3": 2, "d4": 0}, [4, 2, 3, 1]),
        ({"d1": 1, "d2": 1, "d3": 0, "d4": 1}, [3, 1, 2, 4]),
        ({"d1": 10, "d2": 9, "d3": -1, "d4": 2.5}, [3, 4, 2, 1]),
        ({"d1": None, "d2": 9, "d3": None, "d4": 2}, [4, 2]),
    ],
)
def test_decision_8_ascending_loads(loads: dict[str, object], order: list[int]) -> None:
    with Script({1: URIS}, _loads(**loads)) as script:
        expected = [f"sip:192.0.2.{i}" for i in order]
        assert script.walk("1", "9", "f") == expected
        assert script.walk("1", "9", "f", read=lambda request: request.avp) == expected
        assert script.walk("1", "9", "f M 2") == expected[:2]


def test_example_1_18_loads_are_statistics(tmp_path: Path) -> None:
    """pvar_algo_pattern = "$stat(load_%u)", with statistics that the routing module keeps."""
    file = tmp_path / "ds_farm.toml"
    file.write_text(
        '[farm]\nsocket = ["udp:127.0.0.1:5060"]\n'
        '[dispatcher]\ndb_url = "sqlite:///x.sqlite"\npvar_algo_pattern = "$stat(load_%u)"\n'
    )
    dispatcher = load(file).dispatcher
    settings = script_settings(dispatcher, resolve(dispatcher))
    with Script({1: URIS}, settings) as script:

        def route(request: Request) -> list[object]:
            loads: tuple[str | int, ...] = ("+3", 1, 2, "+1")
            for uri, calls in zip(URIS, loads, strict=True):
                request.update_stat(f"load_{uri}", calls)
            seen: list[object] = []
            for _ in range(2):
                request.ds_select_dst("1", "9")
                seen.append(request.du)
                request.update_stat("load_$du", 5)
            seen.append(request.reset_stat(f"load_{URIS[0]}"))
            request.ds_select_dst("1", "9")
            return [*seen, request.du, request.reset_stat("none"), request.update_stat("x", "y")]

        assert script.run(route) == [URIS[1], URIS[3], 1, URIS[0], -1, -1]


def test_algorithm_9_asks_for_a_uri_with_parentheses() -> None:
    """They are allowed in a user part, and no part of the pattern (RFC 3261 25.1, mark)."""
    uris = ["sip:a(b@192.0.2.1", "sip:c)$x@192.0.2.2", "sip:d(e)@192.0.2.3"]
    dispatcher = DispatcherConfig(db_url="sqlite:///x", pvar_algo_pattern="$stat(load_%u)")
    settings = script_settings(dispatcher, resolve(dispatcher))
    with Script({1: uris}, settings) as script:

        def route(request: Request) -> list[str | None]:
            for uri, load in zip(uris, (2, 3, 1), strict=True):
                request.stat[f"load_{uri}"] = load
            request.ds_select_dst("1", "9", "f")
            found = [request.du]
            while request.ds_next_dst():
                found.append(request.du)
            return found

        assert script.run(route) == [uris[2], uris[0], uris[1]]


def test_algorithm_9_leaves_out_what_is_down() -> None:
    with Script({1: URIS}, _loads(d1=1, d2=2, d3=3, d4=4)) as script:
        script.set_state(URIS[0], State.INACTIVE)
        assert script.walk("1", "9", "f") == URIS[1:]
        assert script.walk("1", "9", "fD") == URIS[1:]


def test_algorithm_9_without_any_value() -> None:
    with Script({1: URIS}, _loads(d1=None, d2=None, d3=None, d4=None)) as script:
        assert script.chosen("1", "9") is None
        assert script.walk("1", "9", "fD") == URIS[3:], "the default is the last resort"


def test_decision_8_without_a_pattern_the_first_entry() -> None:
    rows: list[str | Destination] = [dest(URIS[0], 0), *URIS[1:]]
    with Script({1: rows}) as script:
        assert script.chosen("1", "9") == URIS[0]
        assert script.walk("1", "9", "f") == URIS


# -- what cannot be selected


@pytest.mark.parametrize(
    ("sets", "algorithm"), [("17", "4"), ("nosuch:1", "4"), ("nosuch : 1", "0")]
)
def test_unknown_sets_and_partitions_fail(script: Script, sets: str, algorithm: str) -> None:
    result = script.run(lambda request: (request.ds_select_dst(sets, algorithm), request.du))
    assert result == (-1, None)
    assert isinstance(result[0], Failure)


def test_nothing_active_fails_and_leaves_the_request_alone(script: Script) -> None:
    script.set_state("sip:192.0.2.9", State.INACTIVE, set_id=2)
    for function in ("ds_select_dst", "ds_select_domain"):
        result = script.run(
            lambda request, name=function: (
                getattr(request, name)("2", "4"),
                request.du,
                request.ru,
            )  # type: ignore[misc]
        )
        assert result == (-1, None, "sip:service@example.com")


def test_outside_of_a_routing_function_nothing_can_be_selected(script: Script) -> None:
    request = script._make_request()
    with pytest.raises(RuntimeError, match="this request is over"):
        request.ds_select_dst("1", "4")
