"""Farms of trivial processes, for tests of the supervisor without SIP or a database.

Run as ``python -m tests.workers.scenes SCENE``, configuration as JSON on stdin.  A worker answers
each datagram with ``rank pid``; some datagrams make it misbehave.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from dataclasses import replace

from ds_farm.config.models import Config
from ds_farm.errors import ConfigError
from shm.generation import Generations
from shm.layout import Role
from shm.locks import LockId
from workers.process import GRACEFUL, QUICK, ProcessContext
from workers.process_table import PROCESS_TABLE, Count, ProcessKind
from workers.supervisor import run

HERE = "tests.workers.scenes"


def worker(context: ProcessContext) -> None:
    sockets = [listener.sockets[context.rank] for listener in context.sockets]
    wake_fd = context.requests.wake_fd
    context.ready()
    while context.stopping != QUICK:
        context.beat()
        wait_s = 0.0 if context.stopping == GRACEFUL else 0.2
        ready, _, _ = select.select([wake_fd, *map(socket.socket.fileno, sockets)], [], [], wait_s)
        if wake_fd in ready:
            os.read(wake_fd, 100)
        readable = [each for each in sockets if each.fileno() in ready]
        if not readable and context.stopping == GRACEFUL:
            return
        for each in readable:
            data, source = each.recvfrom(2048)
            misbehave(data)
            each.sendto(b"%d %d" % (context.rank, os.getpid()), source)


def misbehave(data: bytes) -> None:
    match data:
        case b"raise":
            raise RuntimeError("asked to fail")
        case b"kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"hang":
            while True:
                time.sleep(1000)
        case b"slow":
            time.sleep(0.5)


def table(context: ProcessContext) -> None:
    """In the loader's place: publishes one empty table, and one more for each HUP."""
    header = context.segment.header
    if not header.generation:
        publish(context)
    context.ready()
    while not context.stopping:
        context.wait(0.2)
        if context.take_reload():
            publish(context)
            header.reloads_ok = header.reloads_ok + 1
    print("the loader finishes", flush=True)


def publish(context: ProcessContext) -> None:
    with context.segment.lock(LockId.PUBLISH):
        Generations(context.segment).publish(b"\x90")


def cannot_boot(context: ProcessContext) -> None:
    raise ConfigError("the moon is in the wrong house")


def cannot_boot_again(context: ProcessContext) -> None:
    """Boots once, never again."""
    if context.view.starts > 1:
        raise ConfigError("no second time")
    worker(context)


def crashes_at_boot(context: ProcessContext) -> None:
    raise ZeroDivisionError("booting divides by zero")


def leaves_at_boot(context: ProcessContext) -> None:
    os._exit(0)


def crashes_hard_at_boot(context: ProcessContext) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs_at_boot(context: ProcessContext) -> None:
    while True:
        time.sleep(1000)


def deaf(context: ProcessContext) -> None:
    """Beats, but never stops by itself."""
    context.ready()
    while True:
        context.beat()
        time.sleep(0.05)


def _table(worker_main: str, extra: tuple[ProcessKind, ...] = ()) -> tuple[ProcessKind, ...]:
    return (
        ProcessKind("loader", Role.LOADER, f"{HERE}:table", stop_stage=2, takes_reload=True),
        ProcessKind("worker", Role.WORKER, f"{HERE}:{worker_main}", Count.PER_RANK, preload=True),
        *extra,
    )


def makes_an_orphan(context: ProcessContext) -> None:
    """Its grandchild is inherited by the supervisor, which is made a subreaper for it."""
    if context.view.starts == 1:
        middle = os.fork()
        if not middle:
            orphan = os.fork()
            if not orphan:
                time.sleep(0.2)
                os._exit(7)
            print("orphan", orphan, flush=True)
            os._exit(0)
        os.waitpid(middle, 0)
    worker(context)


def no_fork() -> int:
    """As under the pids limit of a container."""
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _real() -> tuple[ProcessKind, ...]:
    """The product's table, with trivial workers."""
    return tuple(
        replace(kind, main=f"{HERE}:worker") if kind.role is Role.WORKER else kind
        for kind in PROCESS_TABLE
    )


SCENES = {
    "real": _real(),
    "subreaper": _table("makes_an_orphan"),
    "plain": _table("worker"),
    "no_fork": _table("worker"),
    "no_descriptors": _table("worker"),
    "deaf": _table("worker", (ProcessKind("timer", Role.TIMER, f"{HERE}:deaf", stop_stage=1),)),
    "boot_error": _table("cannot_boot"),
    "boot_crash": _table("crashes_at_boot"),
    "hidden": (
        ProcessKind("loader", Role.LOADER, f"{HERE}:table", stop_stage=2, preload=True),
        ProcessKind("worker", Role.WORKER, "hidden_worker:main", Count.PER_RANK),
    ),
    "boot_exit": _table("leaves_at_boot"),
    "boot_segv": _table("crashes_hard_at_boot"),
    "boot_hang": _table("hangs_at_boot"),
    "boot_once": _table("cannot_boot_again"),
}


def main() -> None:
    if sys.argv[1] == "subreaper":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    if sys.argv[1] == "no_descriptors":
        room = len(os.listdir("/proc/self/fd")) + 3
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
    if sys.argv[1] == "no_fork":
        os.fork = no_fork
    config = Config.model_validate(json.load(sys.stdin))
    sys.exit(run(config, SCENES[sys.argv[1]]))


if __name__ == "__main__":
    main()
