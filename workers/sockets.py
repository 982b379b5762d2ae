"""The sockets of a farm: bound by the supervisor, used by its children, kept while it lives.

A SIP address is a group of SO_REUSEPORT sockets, one a worker rank.  The kernel numbers them in
the order of their binding, so a socket is never closed while the farm runs: rank and number stay
the same.  Who dies leaves its queue to its successor.

Plain SO_REUSEPORT chooses by a hash of both addresses: a single trunk would load a single worker.
`attach_spread` puts a classic BPF program on the group that draws a rank at random for each
datagram; it needs no privilege (socket(7), SO_ATTACH_REUSEPORT_CBPF).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ds_farm.config.opensips import Endpoint, SocketSpec
from ds_farm.errors import ConfigError
from ds_farm.proxy._wire import Network
from workers.steering import Steering

logger = logging.getLogger(__name__)

SO_ATTACH_REUSEPORT_CBPF = 51
SO_RCVBUFFORCE = 33
SO_MEMINFO = 55
SO_TIMESTAMPNS = 35
IP_RECVERR = 11
IPV6_RECVERR = 25
PACKET_SOCKETS = Path("/proc/self/net/packet")
CAPTURED = frozenset({"0003", "0800", "86dd"})
"""Protocols that copies of SIP packets go to: all, IPv4, IPv6 (linux/if_ether.h)."""

MOST_ERRORS = 1 << 16
"""More do not fit a receive buffer."""

LISTEN_BACKLOG = 128
LINGER_S = 1.0

# linux/filter.h and linux/bpf_common.h: class, size or operation, mode or source.
_LOAD_WORD_ABSOLUTE = 0x00 | 0x00 | 0x20
_MODULO_CONSTANT = 0x04 | 0x90 | 0x00
_JUMP_EQUAL_CONSTANT = 0x05 | 0x10 | 0x00
_RETURN_CONSTANT = 0x06 | 0x00
_RETURN_ACCUMULATOR = 0x06 | 0x10
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM


class ListenError(ConfigError):
    """An address that cannot be bound, or no socket for it; the text names it and the reason."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a SIP socket has besides its address."""

    receive_buffer_bytes: int
    tos: int = 0
    """Type of service or traffic class of what it sends (ip(7), IP_TOS); 0 leaves it alone."""


@dataclass(slots=True)
class Listener:
    """One configured SIP address: its group of sockets, index = worker rank."""

    spec: SocketSpec
    options: Options
    sockets: list[socket.socket] = field(default_factory=list)
    _steering: Steering | None = None
    address: Endpoint = field(init=False)
    """Bound literal address and port (the real one if the configured port is 0)."""

    @property
    def advertised(self) -> Endpoint:
        """What Via shows: the address after ``as``, else the one that is listened on."""
        spec = self.spec
        is_own = (spec.advertised_host, spec.advertised_port) == (spec.host, spec.port)
        if is_own:
            return self.address
        return Endpoint(spec.advertised_host, spec.advertised_port or self.address.port)

    def open(self, rank: int) -> None:
        """Have a socket for ``rank`` (and all below): bind the ones that are missing.

        Raises ListenError.  Buffers that the kernel makes smaller are logged.
        """
        if not self.sockets:
            where = Endpoint(self.spec.host, self.spec.port)
            _refuse_shared(where)
            self.sockets.append(_bind_datagram(where, self.options))
            # All of a group bind the same literal address, also if the name has several.
            self.address = bound_address(self.sockets[0])
        while len(self.sockets) <= rank:
            self.sockets.append(_bind_datagram(self.address, self.options))

    def steer(self, most: int, seed: int, factor: int) -> None:
        """Bring datagrams to the owners of their calls from now on, of ``most`` workers at most.
        SteeringError."""
        self._steering = Steering(self.sockets, most, seed, factor)
        self.spread(range(len(self.sockets)), len(self.sockets))

    def spread(self, live_ranks: Sequence[int], workers: int) -> None:
        """Send new datagrams to these ranks only, of so many workers."""
        if self._steering:
            self._steering.spread(self.sockets, live_ranks, workers)
        else:
            attach_spread(self.sockets, live_ranks)

    def keep_only(self, rank: int | None) -> None:
        """In a child: close all sockets but that of its rank (None: all).

        The group does not change, the supervisor has them open.
        """
        for index, each in enumerate(self.sockets):
            if index != rank:
                each.close()


def open_listeners(specs: Sequence[SocketSpec], ranks: int, options: Options) -> list[Listener]:
    """Bind every address for ``ranks`` workers and spread evenly.  Raises ListenError."""
    listeners = [Listener(spec, options) for spec in specs]
    try:
        for listener in listeners:
            listener.open(ranks - 1)
            listener.spread(range(ranks), ranks)
    except ListenError:
        close_listeners(listeners)
        raise
    return listeners


def close_listeners(listeners: Sequence[Listener]) -> None:
    """Give all sockets back; the end of the farm."""
    for listener in listeners:
        for each in listener.sockets:
            each.close()


def network(listeners: Sequence[Listener], aliases: Sequence[Endpoint] = ()) -> Network:
    """Our addresses as the core knows them."""
    return Network(
        [
            (each.address.host, each.address.port, each.advertised.host, each.advertised.port)
            for each in listeners
        ],
        [(f"[{each.host}]" if ":" in each.host else each.host, each.port) for each in aliases],
    )


def open_handover(receive_buffer_bytes: int) -> socket.socket:
    """A socket for datagrams between workers.  Raises ListenError.

    UDP on loopback: the queue of a Unix socket holds few datagrams (net.unix.max_dgram_qlen).
    What comes there is believed only with the farm's secret (ds_farm/proxy/_handover.pyx).
    """
    where = Endpoint("127.0.0.1", 0)
    made = _bind(where, socket.SOCK_DGRAM, None)
    made.setblocking(False)
    _enlarge_buffer(made, receive_buffer_bytes, where)
    return made


def open_stream(where: Endpoint) -> socket.socket:
    """A listening TCP socket for one of the HTTP services.  Raises ListenError."""
    made = _bind(where, socket.SOCK_STREAM, socket.SO_REUSEADDR)
    made.listen(LISTEN_BACKLOG)
    return made


def open_datagram(where: Endpoint) -> socket.socket:
    """A UDP socket of its own, for what is not SIP.  Raises ListenError."""
    made = _bind(where, socket.SOCK_DGRAM, None)
    made.setblocking(False)
    return made


def bound_address(made: socket.socket) -> Endpoint:
    """Where a socket is bound."""
    host, port = made.getsockname()[:2]
    return Endpoint(host, port)


def report_errors(made: socket.socket) -> None:
    """Have ICMP messages queued at the socket (ip(7), IP_RECVERR); its owner must read them.

    The kernel gives one to some socket of a reuseport group, not to the one that sent.  What was
    queued while nobody read is out of date and goes.
    """
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    with contextlib.suppress(BlockingIOError):
        for _ in range(MOST_ERRORS):
            made.recvmsg(1, 0, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)


@dataclass(frozen=True, slots=True)
class Queue:
    """A socket's receive queue (SO_MEMINFO, in the kernel's accounting: overhead included)."""

    bytes: int
    limit_bytes: int
    drops: int
    """Datagrams, since the socket was made."""


def queue_of(made: socket.socket) -> Queue:
    """How full a socket's receive queue is, and what the kernel has dropped for want of room."""
    words = struct.unpack("=9I", made.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
    return Queue(words[0], words[1], words[8])


def stamp_arrivals(made: socket.socket) -> None:
    """Have the kernel say of each datagram when it came (socket(7), SO_TIMESTAMPNS)."""
    made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def is_captured(table: Path = PACKET_SOCKETS) -> bool:
    """Whether somebody in this network gets copies of IP packets (packet(7)): tcpdump, sngrep, a
    DHCP client.  Where the kernel does not tell, nobody does."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return False
    fields = [line.split() for line in lines]
    return any(len(each) > 5 and each[3] in CAPTURED and each[5] == "1" for each in fields)


def attach_spread(group: Sequence[socket.socket], live_ranks: Sequence[int]) -> None:
    """Put the spread program on a reuseport group; it replaces the one before at once.

    ``live_ranks`` are indexes into ``group``, at least one.  A socket that is not among them
    keeps what is in its queue and gets nothing new.
    """
    if not live_ranks or min(live_ranks) < 0 or max(live_ranks) >= len(group):
        raise ValueError(f"ranks {list(live_ranks)} for a group of {len(group)} sockets")
    program = spread_program(live_ranks)
    filters = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: number of instructions, pointer to them (padded to its alignment).
    described = struct.pack("HP", len(program) // 8, ctypes.addressof(filters))
    group[0].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, described)


def spread_program(live_ranks: Sequence[int]) -> bytes:
    """The program: three instructions for ranks 0..n-1, else a chain of comparisons."""
    instructions = [
        (_LOAD_WORD_ABSOLUTE, 0, 0, _RANDOM),
        (_MODULO_CONSTANT, 0, 0, len(live_ranks)),
    ]
    if list(live_ranks) == list(range(len(live_ranks))):
        instructions.append((_RETURN_ACCUMULATOR, 0, 0, 0))
    else:
        for drawn, rank in enumerate(live_ranks[:-1]):
            instructions.append((_JUMP_EQUAL_CONSTANT, 0, 1, drawn))
            instructions.append((_RETURN_CONSTANT, 0, 0, rank))
        instructions.append((_RETURN_CONSTANT, 0, 0, live_ranks[-1]))
    return b"".join(struct.pack("HBBI", *each) for each in instructions)


def _bind_datagram(where: Endpoint, options: Options) -> socket.socket:
    made = _bind(where, socket.SOCK_DGRAM, socket.SO_REUSEPORT)
    made.setblocking(False)
    _enlarge_buffer(made, options.receive_buffer_bytes, where)
    if options.tos:
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, options.tos)
        else:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, options.tos)
    return made


def _refuse_shared(where: Endpoint) -> None:
    """SO_REUSEPORT would let us join the group of another farm of this user without a word.

    A bind without it fails while anybody has the address.
    """
    _bind(where, socket.SOCK_DGRAM, None).close()


def _bind(where: Endpoint, kind: socket.SocketKind, option: int | None) -> socket.socket:
    """Bind, with one option of SOL_SOCKET switched on.  Raises ListenError.

    Children of a killed supervisor go at once but not in no time: they get `LINGER_S`.
    """
    family, address = _resolve(where, kind)
    until_s = time.monotonic() + LINGER_S
    while True:
        made: socket.socket | None = None
        try:
            made = socket.socket(family, kind)
            if option is not None:
                made.setsockopt(socket.SOL_SOCKET, option, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(address)
        except OSError as error:
            if made is not None:
                made.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() >= until_s:
                name = "tcp" if kind == socket.SOCK_STREAM else "udp"
                raise ListenError(f"cannot listen on {name}:{where}: {error.strerror}") from error
        else:
            return made
        time.sleep(0.02)


def _enlarge_buffer(made: socket.socket, wanted: int, where: Endpoint) -> None:
    with contextlib.suppress(PermissionError):
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted)
    given = made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # socket(7): doubled
    if given < wanted:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        given = made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if given < wanted:
        logger.warning(
            "udp:%s has a receive buffer of %d bytes instead of %d: raise sysctl net.core.rmem_max",
            where,
            given,
            wanted,
        )


def _resolve(
    where: Endpoint, kind: socket.SocketKind
) -> tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]:
    try:
        found = socket.getaddrinfo(where.host, where.port, type=kind, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(f"cannot listen on {where}: {error.strerror}") from error
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # typeshed adds a form of other families
