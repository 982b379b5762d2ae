"""Routing modules of users, with file and line of what is wrong; the built-in route."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ds_farm.dispatch.model import State
from ds_farm.errors import ConfigError
from ds_farm.script.module import BUILTIN_HOPS, MODULE_NAME, builtin_routes, load_routes
from tests.support.message import Draft, Sip
from tests.support.request import Script


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    sys.modules.pop(MODULE_NAME, None)


@pytest.fixture
def script() -> Iterator[Script]:
    with Script({1: ["sip:192.0.2.1", "sip:192.0.2.2"], 2: []}) as made:
        yield made


def _write(path: Path, text: str) -> Path:
    file = path / "routes.py"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_module_routes(script: Script, tmp_path: Path) -> None:
    file = _write(
        tmp_path,
        "def request_route(request):\n    request.ds_select_dst('1', '8')\n    request.forward()\n",
    )
    sent = script.route(load_routes(file).request_route)[1]
    assert [(ip, port) for _, ip, port, _ in sent] == [("192.0.2.1", 5060)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def request_route(request:\n", "{file}:1: '(' was never closed"),
        ("x = 1\n\nif x:\nprint()\n", "{file}:4: expected an indented block"),
        ("\nimport no_such_module_at_all\n", "{file}:2: ModuleNotFoundError: No module named"),
        ("def f():\n    return 1 / 0\n\nf()\n", "{file}:2: ZeroDivisionError: division by zero"),
        ("route = 1\n", "{file}: defines no function request_route(request)"),
        ("request_route = 7\n", "{file}: defines no function request_route(request)"),
    ],
)
def test_mistakes_have_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    file = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_routes(file)
    assert str(caught.value).startswith(expected.format(file=file))


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such routing module"):
        load_routes(tmp_path / "none.py")
    (tmp_path / "routes.txt").write_text("")
    with pytest.raises(ConfigError, match=r"a routing module is a file that ends in \.py"):
        load_routes(tmp_path / "routes.txt")


# -- the built-in route


def _answer(script: Script, message: Draft, sets: str = "1", flags: str = "") -> bytes:
    route = builtin_routes(sets, "4", flags).request_route
    ((datagram, _, _, _),) = script.route(route, message)[1]
    return Sip.read(datagram).start_line


def test_the_built_in_route_selects_and_forwards(script: Script) -> None:
    route = builtin_routes("1", "4", "").request_route
    targets = [script.route(route)[1][0][1] for _ in range(4)]
    assert targets == ["192.0.2.1", "192.0.2.2"] * 2


def test_the_built_in_route_looks_at_max_forwards(script: Script) -> None:
    message = script.message().set("Max-Forwards", "0")
    assert _answer(script, message) == b"SIP/2.0 483 Too Many Hops"
    ((datagram, *_),) = script.route(
        builtin_routes("1", "4").request_route, script.message().remove("Max-Forwards")
    )[1]
    assert Sip.read(datagram).one("max-forwards") == str(BUILTIN_HOPS).encode()


def test_the_built_in_route_answers_500_when_nothing_can_be_selected(script: Script) -> None:
    assert _answer(script, script.message(), "2") == b"SIP/2.0 500 Unable to route"
    for uri in ("sip:192.0.2.1", "sip:192.0.2.2"):
        script.set_state(uri, State.PROBING)
    assert _answer(script, script.message(), "1", "fD") == b"SIP/2.0 500 Unable to route"


@pytest.mark.parametrize(
    ("sets", "algorithm", "flags"),
    [("x", "4", ""), ("1", "x", ""), ("1,2", "4", ""), ("1", "4", "q")],
)
def test_the_built_in_route_refuses_wrong_arguments(sets: str, algorithm: str, flags: str) -> None:
    with pytest.raises(ConfigError):
        builtin_routes(sets, algorithm, flags)
