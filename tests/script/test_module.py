"""Routing modules of users, with file and line of what is wrong; the built-in route."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from ds_farm.dispatch.model import State
from ds_farm.errors import ConfigError
from ds_farm.script.module import BUILTIN_HOPS, MODULE_NAME, builtin_routes, load_routes
from tests.support.message import Draft, Sip
from tests.support.request import Script

TIMED = "def request_route(request):\n    pass\n\ndef timer_route_x(request):\n    pass\n\n"


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
        ("import sys\nsys.exit('done')\n", "{file}:2: SystemExit: done"),
        ("open('/no/such/file')\n", "{file}:1: FileNotFoundError: [Errno 2] No such file"),
        ("# coding: latin-1\nx = 'ä'\nx.y\n", "{file}:3: AttributeError: 'str' object has no"),
        ("# coding: klingon\n", "{file}: unknown encoding: klingon"),
        ("def request_route():\n    pass\n", "{file}:1: request_route is called with one argum"),
        (TIMED.replace("_x(request", "_x(a, b") + "TIMER_ROUTES = {'x': 1}\n", "{file}:4: timer"),
        ("route = 1\n", "{file}: defines no function request_route(request)"),
        ("request_route = 7\n", "{file}: defines no function request_route(request)"),
        (TIMED + "TIMER_ROUTES = 5\n", "{file}: TIMER_ROUTES is no dictionary"),
        (TIMED + "TIMER_ROUTES = {'y': 5}\n", "{file}: TIMER_ROUTES has 'y', there is no timer_r"),
        (TIMED + "TIMER_ROUTES = {'x': 0}\n", "{file}: TIMER_ROUTES['x']: expected seconds abo"),
        (TIMED + "TIMER_ROUTES = {'x': '5'}\n", "{file}: TIMER_ROUTES['x']: expected seconds abo"),
    ],
)
def test_mistakes_have_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    file = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_routes(file)
    assert str(caught.value).startswith(expected.format(file=file))


def test_bytes_that_are_no_text_are_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "routes.py"
    file.write_bytes(b"x = 1\ny = '\xff'\n")
    with pytest.raises(ConfigError, match=r"routes\.py:2: this is not UTF-8"):
        load_routes(file)


def test_text_read_before_is_what_runs_and_what_tracebacks_show(tmp_path: Path) -> None:
    file = _write(tmp_path, "def request_route(request):\n    return 1 / 0  # as it was\n")
    text = file.read_text()
    file.write_text("\n\n\nprint(5)\n" * 3)
    routes = load_routes(file, text)
    with pytest.raises(ZeroDivisionError) as caught:
        routes.request_route(Mock())
    shown = "".join(traceback.format_exception(caught.value))
    assert f'File "{file}", line 2, in request_route\n    return 1 / 0  # as it was' in shown
    assert sys.modules[MODULE_NAME].__file__ == str(file)


def test_timer_routes_are_found(tmp_path: Path) -> None:
    (found,) = load_routes(_write(tmp_path, TIMED + "TIMER_ROUTES = {'x': 2.5}\n")).timer_routes
    assert (found.name, found.interval_s, found.route.__name__) == ("x", 2.5, "timer_route_x")
    assert load_routes(_write(tmp_path, TIMED)).timer_routes == ()


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


@pytest.mark.parametrize("flags", ["", "f"])
def test_the_built_in_route_stays_in_the_path_of_dialogs(flags: str) -> None:
    made = builtin_routes("1", "4", flags, record_route=True)
    with Script({1: ["sip:192.0.2.1"]}, routes=made.named) as script:

        def forwarded(message: Draft) -> tuple[Sip, str]:
            sent = script.route(made.request_route, message)[1]
            ((datagram, ip, _, _),) = [each for each in sent if not each[0].startswith(b"SIP/2.0")]
            return Sip.read(datagram), ip

        invite, ip = forwarded(script.message("INVITE"))
        assert invite.one("record-route").startswith(b"<sip:127.0.0.1:5060;lr")
        assert ip == "192.0.2.1"
        options, ip = forwarded(script.message("OPTIONS"))
        assert (options.all("record-route"), ip) == ([], "192.0.2.1")
        bye = script.message("BYE", "sip:callee@203.0.113.9:5090")
        bye.set("To", "<sip:service@example.com>;tag=there")
        bye.add("Route", "<sip:127.0.0.1:5060;lr>")
        later, ip = forwarded(bye)
        assert (later.all("route"), later.all("record-route"), ip) == ([], [], "203.0.113.9")
        stray = script.message("BYE").set("To", "<sip:service@example.com>;tag=there")
        assert forwarded(stray)[1] == "192.0.2.1", "without a route of ours it is dispatched"


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
