"""What a farm consists of beside its processes: segment, SIP sockets, TCP sockets, places.

Made before the first fork, removed when the last child is gone; children inherit all of it.  Only
the supervisor makes one.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ds_farm.config import keep_module
from ds_farm.dispatch.arguments import parse_choices
from ds_farm.errors import ConfigError
from ds_farm.proxy.codes import STATEFUL
from ds_farm.proxy.owner import hash_key
from shm.layout import By
from shm.segment import Segment, object_name, remove_leftovers
from workers.account import give
from workers.children import Child
from workers.mi_places import Places, open_places
from workers.process import ProcessContext
from workers.process_table import Count, ProcessKind
from workers.sockets import (
    Listener,
    Options,
    bound_address,
    close_listeners,
    open_handover,
    open_listeners,
    open_stream,
)
from workers.steering import SteeringError

if TYPE_CHECKING:
    from ds_farm.config import Config

logger = logging.getLogger(__name__)

NOTICE_PIPE_BYTES = 1 << 20
"""Room for 8192 notices, if the kernel allows; a timer that is away for long misses the rest."""

SERVICES = (("metrics.listen", "metrics", "/metrics"), ("mi.http", "MI", "/mi"))
"""Configuration key, name and path of each HTTP service, for the ready line."""


class Farm:
    """Everything that the supervisor creates.  Raises ConfigError or SegmentError, and then
    leaves nothing behind."""

    def __init__(self, config: Config, table: Sequence[ProcessKind]) -> None:
        self.config = config
        self.table = table
        self.listeners: list[Listener] = []
        self.handovers: list[socket.socket] = []
        self.streams: dict[str, socket.socket] = {}
        self.places_of_mi = Places()
        self._notices: tuple[int, int] = (-1, -1)
        settings = config.farm
        keep_module(config)
        self.segment = Segment.create(
            settings.name,
            max_workers=settings.max_children,
            max_sets=settings.max_sets,
            max_destinations=settings.max_destinations,
        )
        try:
            give("/dev/shm" + object_name(settings.name), settings.user, settings.group)
            options = Options(settings.receive_buffer_bytes, settings.tos)
            self.listeners = open_listeners(settings.socket, settings.children, options)
            self._steer()
            self._open_handovers(settings.children)
            self._open_streams()
            self.places_of_mi = open_places(config)
            self._notices = _open_notices()
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Close the sockets, remove segment, tables and semaphores."""
        close_listeners(self.listeners)
        for each in (*self.handovers, *self.streams.values()):
            each.close()
        self.places_of_mi.remove()
        for fd in self._notices:
            if fd >= 0:
                os.close(fd)
        # While the segment is there nobody takes the name and makes tables and semaphores by it.
        remove_leftovers(self.segment.farm)
        self.segment.unlink()
        self.segment.close()

    def places(self) -> Iterator[Child]:
        """A place for each process that the table and the configuration ask for."""
        for kind in self.table:
            if kind.count is Count.PER_RANK:
                for rank in range(self.config.farm.children):
                    yield self.worker_place(kind, rank)
            elif kind.count is Count.ONE or self._has_work(kind):
                yield self._place(kind, self.config.farm.max_children + self.table.index(kind), 0)

    def _has_work(self, kind: ProcessKind) -> bool:
        """It listens somewhere; or it tells of events: the routing module may want to hear."""
        if kind.listens_at in self.streams:
            return True
        config, places = self.config, self.places_of_mi
        hears = bool(config.events.subscribers or config.route_module)
        return kind.has_places and bool(places.fifo or places.datagrams or hears)

    def worker_place(self, kind: ProcessKind, rank: int) -> Child:
        """A place for one more SIP worker; its process slot has the number of its rank."""
        return self._place(kind, rank, rank)

    def _place(self, kind: ProcessKind, slot: int, rank: int) -> Child:
        return Child(
            ProcessContext(
                config=self.config,
                segment=self.segment,
                kind=kind,
                slot=slot,
                rank=rank,
                sockets=self.listeners,
                handovers=self.handovers,
                notices=self._notices,
                streams=self.streams,
                places=self.places_of_mi,
            )
        )

    def open_rank(self, rank: int) -> None:
        """Have sockets for a worker of this rank.  Raises ListenError."""
        for listener in self.listeners:
            listener.open(rank)
        self._open_handovers(rank + 1)

    def spread(self, ranks: Sequence[int], workers: int) -> None:
        """Give new datagrams to these ranks only, of so many workers."""
        for listener in self.listeners:
            listener.spread(ranks, workers)

    def _steer(self) -> None:
        """Calls have owners if there are transactions: have the kernel know them, if it can."""
        header, tm = self.segment.header, self.config.tm
        if not keeps_transactions(self.config):
            header.steering = By.RANDOM
            return
        header.steering = By.HANDOVER
        if tm.steering == "handover":
            logger.info("workers hand over to each other what belongs to another one's call")
            return
        try:
            for listener in self.listeners:
                listener.steer(self.config.farm.max_children, *hash_key(self.segment.secret()))
        except SteeringError as error:
            if tm.steering == "ebpf":
                raise ConfigError(f"tm.steering: {error}") from None
            logger.info("no steering by eBPF, workers hand over to each other: %s", error)
        else:
            header.steering = By.EBPF
            logger.info("the kernel brings datagrams to the owners of their calls (eBPF)")

    def where(self) -> str:
        """``udp:..., metrics http://..., MI http://...`` with the ports that were really bound."""
        places = [f"udp:{listener.address}" for listener in self.listeners]
        for key, name, path in SERVICES:
            if key in self.streams:
                is_tls = name == "metrics" and self.config.metrics.tls_cert_file
                scheme = "https" if is_tls else "http"
                places.append(f"{name} {scheme}://{bound_address(self.streams[key])}{path}")
        if shown := str(self.places_of_mi):
            places.append(shown)
        return ", ".join(places)

    def _open_handovers(self, ranks: int) -> None:
        while len(self.handovers) < ranks:
            self.handovers.append(open_handover(self.config.farm.receive_buffer_bytes))

    def _open_streams(self) -> None:
        for kind in self.table:
            section, _, key = kind.listens_at.partition(".")
            where = getattr(getattr(self.config, section), key) if section else None
            if where:
                self.streams[kind.listens_at] = open_stream(where)


def keeps_transactions(config: Config) -> bool:
    """Whether the workers will: what [tm] says, else what the built-in route or the text of the
    routing module lets expect."""
    if config.tm.stateful != "auto":
        return config.tm.stateful == "yes"
    if config.route_module is None:
        choices = parse_choices(config.route.set, config.route.algorithm, config.route.flags)
        return any(choice.flags.failover for choice in choices)
    return any(name in (config.module_text or "") for name in STATEFUL)


def _open_notices() -> tuple[int, int]:
    """The pipe from SIP workers to the timer; it outlives each of them."""
    read, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.fcntl(written, fcntl.F_SETPIPE_SZ, NOTICE_PIPE_BYTES)
    return read, written
