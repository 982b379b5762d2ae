"""The socket that a request came in by, and the one that it leaves by."""

from __future__ import annotations

from ds_farm.script._request import Request
from tests.support.message import Sip
from tests.support.request import Script

SOCKETS = [("127.0.0.1", port, "127.0.0.1", port) for port in (5060, 5062)]


def test_it_leaves_by_the_socket_that_is_forced() -> None:
    def route(request: Request) -> None:
        assert (request.Ri, request.Rp) == ("127.0.0.1", 5060)
        assert request.ds_select_dst("1", "4") == 1
        assert request.force_send_socket("udp:127.0.0.1:5062") == 1
        assert request.force_send_socket("udp:127.0.0.1:5064") == -1
        request.forward()

    with Script({1: ["sip:192.0.2.1"]}, sockets=SOCKETS) as script:
        ((datagram, _, _, number),) = script.route(route)[1]
    assert number == 1
    assert Sip.read(datagram).all("Via")[0].startswith(b"SIP/2.0/UDP 127.0.0.1:5062;")
