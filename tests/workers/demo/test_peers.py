"""The demo's peers: a correct 200, a caller that counts what it got and what it did not."""

from __future__ import annotations

import socket
from contextlib import closing

from tests.support.wait import until
from workers.demo.peers import Caller, Destination, answer

REQUEST = (
    b"OPTIONS sip:h SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\n"
    b"v: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK2\r\n"
    b"From: <sip:a>;tag=1\r\n"
    b"To: <sip:b>\r\n"
    b"CALL-ID: x@y\r\n"
    b"CSeq: 1 OPTIONS\r\n"
    b"Max-Forwards: 69\r\n"
    b"\r\n"
)


def test_a_200_has_what_rfc_3261_section_8_2_6_2_wants() -> None:
    assert answer(REQUEST, b"tag9") == (
        b"SIP/2.0 200 OK\r\n"
        b"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\n"
        b"v: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK2\r\n"
        b"From: <sip:a>;tag=1\r\n"
        b"To: <sip:b>;tag=tag9\r\n"
        b"CALL-ID: x@y\r\n"
        b"CSeq: 1 OPTIONS\r\n"
        b"Content-Length: 0\r\n"
        b"\r\n"
    )


def test_a_tag_that_is_there_stays() -> None:
    assert b"To: <sip:b>;tag=2\r\n" in answer(REQUEST.replace(b"<sip:b>", b"<sip:b>;tag=2"), b"9")


def test_what_is_no_request_gets_no_answer() -> None:
    for data in (
        b"",
        b"SIP/2.0 200 OK\r\n\r\n",
        REQUEST.replace(b"OPTIONS sip", b"ACK sip"),
        b"\0",
    ):
        assert answer(data, b"tag") == b""


def test_caller_and_destination_without_a_farm_between() -> None:
    with (
        closing(Destination(socket.AF_INET, ("127.0.0.1", 0))) as destination,
        closing(_caller(destination.socket.getsockname())) as caller,
    ):
        destination.start()
        caller.start()
        until(lambda: caller.replies[200] >= 20, "20 replies")
        caller.finish()
        assert caller.sent == caller.replies[200]
        assert caller.unanswered == 0


def test_a_lost_request_is_sent_again_as_it_was() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.settimeout(5.0)
        with closing(_caller(deaf.getsockname(), rate=1)) as caller:
            caller.start()
            first, source = deaf.recvfrom(4096)
            again = deaf.recv(4096)
            while again != first:  # the next request comes after a second
                again = deaf.recv(4096)
            deaf.sendto(answer(first, b"tag"), source)
            until(lambda: caller.replies[200] == 1, "the reply")


def test_what_nobody_answers_is_counted() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        with closing(_caller(deaf.getsockname())) as caller:
            caller.start()
            until(lambda: caller.sent >= 5, "5 requests")
            caller.finish(timeout_s=0.0)
            assert caller.unanswered == caller.sent
            assert not caller.replies


def test_a_refused_request_is_counted_by_its_status() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as busy:
        busy.bind(("127.0.0.1", 0))
        busy.settimeout(5.0)
        with closing(_caller(busy.getsockname(), rate=1)) as caller:
            caller.start()
            request, source = busy.recvfrom(4096)
            for status in (b"100 Trying", b"503 Busy"):
                busy.sendto(answer(request, b"tag").replace(b"200 OK", status), source)
            until(lambda: caller.replies, "the reply")
            assert caller.replies == {503: 1}


def _caller(target: tuple[str, int], rate: int = 100) -> Caller:
    return Caller(socket.AF_INET, ("127.0.0.1", 0), target, rate)
