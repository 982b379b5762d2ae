"""A stateful proxy with routes of a test's own, and what it sends to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ds_farm.script._request import Request
from tests.support.message import Draft, Sip, reply
from tests.support.request import CALLER, SOCKETS, Script, Sent

ONE, TWO, THREE = "sip:192.0.2.1", "sip:192.0.2.2", "sip:192.0.2.3"
Route = Callable[[Request], object]


class Stage:
    """A stateful proxy with these routes, and destinations that answer as they are told."""

    def __init__(self, request_route: Route, **routes: Route) -> None:
        self._route = request_route
        self.script = Script({1: [ONE, TWO, THREE]}, routes=routes)

    def __enter__(self) -> Stage:
        self.script.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.script.__exit__(None, None, None)

    def invite(self, draft: Draft | None = None) -> list[Sent]:
        """The requests that an INVITE makes go out."""
        _, sent = self.script.route(self._route, draft or self.script.message("INVITE"))
        return [each for each in sent if not each[0].startswith(b"SIP/2.0")]

    def answer(self, request: Sent, status: str) -> list[Sent]:
        """What a destination's answer leads to."""
        return self.script.handle(reply(request[0], status), (request[1], request[2]))


def upstream(sent: list[Sent]) -> list[Sip]:
    return [Sip.read(data) for data, ip, _, _ in sent if ip == CALLER[0]]


def requests(sent: list[Sent], method: bytes = b"INVITE") -> list[Sent]:
    return [each for each in sent if each[0].startswith(method)]


def hosts(sent: list[Sent]) -> list[str]:
    return [each[1] for each in sent]


def relay(request: Request) -> None:
    request.ds_select_dst("1", "8", "f")
    assert request.t_relay() == 1


@contextmanager
def two_sockets() -> Iterator[Script]:
    """A proxy without transactions, which listens on two addresses."""
    sockets = [*SOCKETS, ("127.0.0.2", 5062, "127.0.0.2", 5062)]
    with Script({1: [ONE]}, sockets=sockets) as made:
        yield made


def sent(script: Script, route: Route, message: Draft | None = None) -> Sip:
    """The request that goes out when this routing function has forwarded it."""
    draft = script.message("INVITE") if message is None else message

    def whole(request: Request) -> object:
        result = route(request)
        assert request.forward("sip:192.0.2.9:5070") == 1
        return result

    result, datagrams = script.route(whole, draft)
    assert result == 1, script.complaints
    assert len(datagrams) == 1
    return Sip.read(datagrams[0][0])
