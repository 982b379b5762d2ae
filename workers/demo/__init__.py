"""The demo: a real farm, three destinations, a caller, and a table of who gets what.

    caller (one port) --OPTIONS--> farm: N workers --set 1, round robin--> three destinations

`main` is all of it: set the stage (`files`), start the farm (`farm`) and the peers (`peers`), show,
end.  Whatever happens, what it started ends with it.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ds_farm import status
from ds_farm.config import Config
from ds_farm.dispatch.registry import Registry
from ds_farm.errors import FarmError
from ds_farm.screen import destination_tables
from shm.errors import SegmentError
from shm.segment import Segment
from workers.demo.farm import DemoFarm, FarmFailed, Places
from workers.demo.files import set_stage
from workers.demo.peers import Caller

SECONDS = 10.0
"""How long it runs when nobody is there to press Ctrl-C."""

REFRESH_S = 0.25


def main(directory: Path, seconds: float | None, rate: int) -> int:
    """Run the demo; returns the exit code: 0 if every request got its 200."""
    is_watched = sys.stdin.isatty() and sys.stdout.isatty()
    console = Console(width=None if sys.stdout.isatty() else 120)
    limit_s = seconds if seconds or is_watched else SECONDS
    try:
        with _ended_by_signals(), ExitStack() as stack:
            return _run(directory, limit_s, rate, console, is_watched, stack)
    except KeyboardInterrupt:
        return 0
    except (FarmError, SegmentError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _run(
    directory: Path,
    limit_s: float | None,
    rate: int,
    console: Console,
    is_watched: bool,
    stack: ExitStack,
) -> int:
    stage = set_stage(directory, stack)
    for remark in stage.remarks:
        _say(console, remark)
    farm, places = _start_farm(stage.config, stack)
    for destination in stage.destinations:
        destination.start()
    segment = stack.enter_context(status.attach(farm.name))
    caller = _caller(places, rate)
    stack.callback(caller.close)
    scene = _Scene(segment, places, caller, rate)
    if not is_watched:
        _say(console, scene.head())
        _say(console, f"running {limit_s:g} seconds")
    caller.start()
    with suppress(KeyboardInterrupt):
        _show(scene, farm, console if is_watched else None, limit_s)
    caller.finish()
    console.print(scene.summary())
    farm.check()
    return _judge(caller)


def _start_farm(config: Config, stack: ExitStack) -> tuple[DemoFarm, Places]:
    """Raises FarmFailed.  Somebody may take a port between the look at it and the farm's start, so
    there is a second try with no wishes."""
    with ExitStack() as attempt:
        farm = DemoFarm(config)
        attempt.callback(farm.close)
        with suppress(FarmFailed):
            places = farm.wait_ready()
            stack.push(attempt.pop_all())
            return farm, places
    farm = DemoFarm(config, avoid_configured=True)
    stack.callback(farm.close)
    return farm, farm.wait_ready()


def _show(scene: _Scene, farm: DemoFarm, live_on: Console | None, limit_s: float | None) -> None:
    """Until the time is over, Ctrl-C (KeyboardInterrupt), or the farm's end (FarmFailed)."""
    until_s = time.monotonic() + limit_s if limit_s else float("inf")
    with ExitStack() as stack:
        live = None
        if live_on:
            live = stack.enter_context(
                Live(scene.picture(), console=live_on, auto_refresh=False, transient=True)
            )
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(REFRESH_S, left_s))
            farm.check()
            if live:
                live.update(scene.picture(), refresh=True)


def _judge(caller: Caller) -> int:
    bad = {code: count for code, count in caller.replies.items() if code != 200}
    if caller.unanswered:
        print(f"demo: {caller.unanswered} of {caller.sent} requests got no reply", file=sys.stderr)
    for code, count in sorted(bad.items()):
        print(f"demo: {count} of {caller.sent} requests got {code}", file=sys.stderr)
    return 1 if caller.unanswered or bad else 0


class _Scene:
    """What there is to see."""

    def __init__(self, segment: Segment, places: Places, caller: Caller, rate: int) -> None:
        self._segment = segment
        self._registry = Registry(segment)
        self._places = places
        self._caller = caller
        self._rate = rate

    def head(self) -> str:
        workers = status.read(self._segment, self._registry).workers
        return (
            f"farm {self._segment.farm}, {workers} workers: {self._places.text}\n"
            f"caller {self._caller.here}: OPTIONS at {self._rate} a second"
        )

    def _counts(self) -> str:
        replies = self._caller.replies
        answered = ", ".join(f"{count} x {code}" for code, count in sorted(replies.items()))
        return f"caller: {self._caller.sent} requests, replies: {answered or 'none'}"

    def _tables(self) -> list[RenderableType]:
        return list(destination_tables(status.read(self._segment, self._registry)))

    def picture(self) -> RenderableType:
        """The live screen."""
        head = Text(self.head(), overflow="fold")
        return Group(head, *self._tables(), Text(self._counts()), Text("Ctrl-C ends the demo"))

    def summary(self) -> RenderableType:
        """What stays."""
        return Group(*self._tables(), Text(self._counts()))


def _caller(places: Places, rate: int) -> Caller:
    host, port = places.sip
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return Caller(family, ("::1" if ":" in host else "127.0.0.1", 0), (host, port), rate)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """TERM and HUP end the demo as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
