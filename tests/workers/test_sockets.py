"""Groups of sockets and the program that spreads datagrams over them."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from ds_farm.config.opensips import Endpoint, SocketSpec, parse_socket
from tests.support.net import refusing
from tests.support.wait import until
from workers import sockets
from workers.sockets import (
    Listener,
    ListenError,
    Options,
    attach_spread,
    open_listeners,
    spread_program,
)

BUFFER = 1 << 20
OPTIONS = Options(BUFFER)


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Listener]:
    """Four sockets on one loopback address."""
    host = getattr(request, "param", "127.0.0.1")
    (made,) = open_listeners([SocketSpec("udp", host, 0, host, 0)], 4, OPTIONS)
    yield made
    sockets.close_listeners([made])


def send(group: Listener, count: int) -> None:
    """So many datagrams from one source address and port."""
    with socket.socket(group.sockets[0].family, socket.SOCK_DGRAM) as trunk:
        trunk.connect(group.sockets[0].getsockname()[:2])
        for _ in range(count):
            trunk.send(b"x")


def receive(group: Listener, count: int) -> Counter[int]:
    """How many of so many datagrams each rank finds in its queue; the kernel may be late."""
    found: Counter[int] = Counter()
    while found.total() < count:
        ready, _, _ = select.select(group.sockets, [], [], 5.0)
        if not ready:
            break
        for each in ready:
            each.recv(10)
            found[group.sockets.index(each)] += 1
    return found


@pytest.mark.parametrize("group", ["127.0.0.1", "::1"], indirect=True)
def test_one_source_is_spread_evenly(group: Listener) -> None:
    send(group, 400)
    found = receive(group, 400)
    # A fair draw: 100 each, standard deviation 8.7; beyond 55 once in ten million runs.
    assert sum(found.values()) == 400
    assert all(55 <= found[rank] <= 145 for rank in range(4)), found


def test_without_the_program_one_source_meets_one_socket(group: Listener) -> None:
    """What the program is for; if the kernel ever spreads by itself, it can go."""
    group.sockets[0].setsockopt(socket.SOL_SOCKET, 68, 0)  # SO_DETACH_REUSEPORT_BPF
    send(group, 200)
    assert sorted(receive(group, 200).values()) == [200]


@pytest.mark.parametrize("live", [[0], [2], [0, 2], [1, 3], [1, 2, 3], [3, 0]])
def test_only_live_ranks_get_new_datagrams(group: Listener, live: list[int]) -> None:
    group.spread(live, 4)
    send(group, 200)
    assert sorted(receive(group, 200)) == sorted(live)


def test_socket_taken_out_of_the_spread_keeps_its_queue(group: Listener) -> None:
    send(group, 100)
    group.spread([0, 1, 2], 4)
    send(group, 100)
    before = receive(group, 200)
    assert sum(before.values()) == 200
    assert before[3] > 0
    send(group, 50)
    after = receive(group, 50)
    assert (after.total(), after[3]) == (50, 0)


def test_rank_added_later_joins_the_group(group: Listener) -> None:
    address = group.address
    group.open(5)
    assert [each.getsockname()[1] for each in group.sockets] == [address.port] * 6
    group.spread(range(6), 6)
    send(group, 600)
    assert sorted(receive(group, 600)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("live", [[], [4], [-1]])
def test_ranks_outside_of_the_group_are_refused(group: Listener, live: list[int]) -> None:
    with pytest.raises(ValueError, match="for a group of 4"):
        attach_spread(group.sockets, live)


def test_program_is_three_instructions_for_all_ranks() -> None:
    assert len(spread_program(range(32))) == 3 * 8
    assert len(spread_program([0, 2])) == 5 * 8


def test_child_keeps_its_own_socket_only(group: Listener) -> None:
    group.keep_only(2)
    assert [each.fileno() >= 0 for each in group.sockets] == [False, False, True, False]
    group.keep_only(None)
    assert group.sockets[2].fileno() < 0


def test_address_of_another_farm_is_refused(
    group: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LINGER_S", 0.05)
    where = parse_socket(f"udp:{group.address}")
    with pytest.raises(ListenError, match=f"udp:{group.address}: Address already in use"):
        open_listeners([where], 2, OPTIONS)


def test_address_that_becomes_free_is_waited_for(group: Listener) -> None:
    """Children of a killed supervisor hold it for a moment."""
    where = parse_socket(f"udp:{group.address}")
    threading.Timer(0.2, sockets.close_listeners, [[group]]).start()
    sockets.close_listeners(open_listeners([where], 1, OPTIONS))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("udp:192.0.2.1:5060", "Cannot assign requested address"),
        ("udp:no-such-host.invalid:5060", "no-such-host.invalid:5060: "),
    ],
)
def test_address_that_is_not_ours_is_named(text: str, reason: str) -> None:
    with pytest.raises(ListenError, match=reason):
        open_listeners([parse_socket(text)], 1, OPTIONS)


def test_failing_second_address_closes_the_first() -> None:
    specs = [parse_socket("udp:127.0.0.1:0"), parse_socket("udp:192.0.2.1:5060")]
    before = len(list_fds())
    with pytest.raises(ListenError):
        open_listeners(specs, 3, OPTIONS)
    assert len(list_fds()) == before


def list_fds() -> list[str]:
    return os.listdir("/proc/self/fd")


def test_receive_buffer_is_as_large_as_asked(group: Listener) -> None:
    size = group.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert size >= 2 * BUFFER  # socket(7): the kernel doubles it


@pytest.mark.parametrize(
    ("host", "level", "received", "kind"),
    [
        ("127.0.0.1", socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS),
        ("::1", socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS),
    ],
)
@pytest.mark.parametrize("tos", [0, 96])
def test_type_of_service(host: str, level: int, received: int, kind: int, tos: int) -> None:
    listeners = open_listeners([SocketSpec("udp", host, 0, host, 0)], 2, Options(BUFFER, tos))
    with socket.socket(listeners[0].sockets[0].family, socket.SOCK_DGRAM) as peer:
        peer.bind((host, 0))
        peer.settimeout(5.0)
        peer.setsockopt(level, received, 1)
        for each in listeners[0].sockets:
            each.sendto(b"x", peer.getsockname()[:2])
            _, ancillary, _, _ = peer.recvmsg(10, 100)
            ((at, what, value),) = ancillary
            assert (at, what, value[0]) == (level, kind, tos)
    sockets.close_listeners(listeners)


def test_smaller_buffer_than_asked_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As without the privilege: SO_RCVBUFFORCE becomes an option that does nothing here.
    monkeypatch.setattr(sockets, "SO_RCVBUFFORCE", socket.SO_DEBUG)
    wanted = 1 << 30
    (made,) = open_listeners([parse_socket("udp:127.0.0.1:0")], 1, Options(wanted))
    sockets.close_listeners([made])
    assert f"instead of {wanted}: raise sysctl net.core.rmem_max" in caplog.text


def test_stream_listens_where_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LINGER_S", 0.05)
    with sockets.open_stream(Endpoint("127.0.0.1", 0)) as made:
        where = sockets.bound_address(made)
        with socket.create_connection((where.host, where.port), 2.0):
            pass
        with pytest.raises(ListenError, match=f"tcp:{where}: Address already in use"):
            sockets.open_stream(where)


@pytest.mark.parametrize("group", ["127.0.0.1", "::1"], indirect=True)
def test_icmp_is_queued_somewhere_in_the_group(group: Listener) -> None:
    """Not at the sender: why every worker reads its error queue."""

    def queued() -> list[int]:
        found = []
        for each in group.sockets:
            count = 0
            with contextlib.suppress(BlockingIOError):
                while each.recvmsg(1, 0, socket.MSG_ERRQUEUE):
                    count += 1
            found.append(count)
        return found

    for each in group.sockets:
        sockets.report_errors(each)
    host = group.sockets[0].getsockname()[0]
    sent, found = 0, [0, 0, 0, 0]
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(refusing(host)) for _ in range(40)]
        ports = [int(place.rpartition(":")[2]) for place in places]
        for port in ports:
            with contextlib.suppress(ConnectionRefusedError):  # of an earlier one: did not go out
                sent += group.sockets[0].sendto(b"x", (host, port)) == 1

        def all_there() -> bool:
            found[:] = map(sum, zip(found, queued(), strict=True))
            return sum(found) == sent

        until(all_there, "an error for each")
        assert sum(1 for count in found if count) > 1, found
        group.sockets[0].sendto(b"x", (host, ports[0]))
        poll = select.poll()
        for each in group.sockets:
            poll.register(each, 0)  # POLLERR alone, without a look into the queue
        assert poll.poll(5000), "one more has come"
    for each in group.sockets:
        sockets.report_errors(each)
    assert queued() == [0, 0, 0, 0], "what is old goes"
