"""Logging of every process: one line a record to stderr, text or JSON, quiet under load.

A message that repeats (same place, same text before its arguments are filled in) is written at
most `PER_SECOND` times a second; the rest is counted, and the count is written when the second is
over.  So a peer that sends nonsense at line rate costs log lines by the second, not by the message.
What the user's routes write themselves is written, all of it: some keep their records so.  So are
the notes of a start.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Protocol, TextIO

ROUTES = "ds_farm.routes"
"""Logger of xlog(), and of routing modules that want its freedom."""

NOTES = "ds_farm.notes"
"""Logger of what the configuration says and has no effect."""

PER_SECOND = 5
MOST_MESSAGES = 512
"""How many different messages are told apart within a second; the rest share one allowance."""

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""Configured level -> stdlib level."""


Key = tuple[str, int, str]
"""Logger, level, text before its arguments."""


class LogSettings(Protocol):
    """What this file needs of the configuration's ``[log]``."""

    @property
    def level(self) -> str: ...
    @property
    def format(self) -> str: ...


class RateLimiter:
    """Decides which records are written.  The clock is an argument."""

    def __init__(self, per_second: int = PER_SECOND) -> None:
        self._per_second = per_second
        self._second = 0
        self._counts: dict[Key, int] = {}

    def admit(self, key: Key) -> bool:
        """True if a record with this key may be written in the current second."""
        if key not in self._counts and len(self._counts) >= MOST_MESSAGES:
            key = ("", 0, "other messages")
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return count <= self._per_second

    def turn(self, now_s: float) -> list[tuple[Key, int]]:
        """At the first call in a new second: what was held back in the one before."""
        if int(now_s) == self._second:
            return []
        self._second = int(now_s)
        counts, self._counts = self._counts, {}
        return [
            (key, count - self._per_second)
            for key, count in counts.items()
            if count > self._per_second
        ]


class Handler(logging.StreamHandler[TextIO]):
    """Writes records of one process, rate limited."""

    def __init__(self, stream: TextIO, limiter: RateLimiter) -> None:
        super().__init__(stream)
        self._limiter = limiter

    def emit(self, record: logging.LogRecord) -> None:
        self.report(time.monotonic())
        text = str(record.msg)
        if text == "%s":  # that is no text: what stands for it tells messages apart
            text = record.getMessage()
        key = record.name, record.levelno, text
        if record.name in (ROUTES, NOTES) or self._limiter.admit(key):
            super().emit(record)

    def report(self, now_s: float) -> None:
        """Write what was held back, once its second is over."""
        for (name, level, text), count in self._limiter.turn(now_s):
            super().emit(
                logging.LogRecord(name, level, "", 0, "suppressed %d of: %s", (count, text), None)
            )

    def close(self) -> None:
        self.report(time.monotonic() + 1.0)
        super().close()


class TextFormatter(logging.Formatter):
    """``2026-11-23 14:08:00.123 info    worker 2[4711] text``, local time."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._who = f"{process}[{os.getpid()}]"

    def formatMessage(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        level = record.levelname.lower()
        return f"{when}.{int(record.msecs):03d} {level:<7} {self._who} {record.message}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process
        self._pid = os.getpid()

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": self._pid,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def setup(settings: LogSettings, process: str, stream: TextIO | None = None) -> None:
    """Make this process's log; called once in each, after the fork.  Replaces an inherited one."""
    handler = Handler(stream or sys.stderr, RateLimiter())
    make = JsonFormatter if settings.format == "json" else TextFormatter
    handler.setFormatter(make(process))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[settings.level])


def follow(level: int) -> None:
    """Take the level that an operator has asked for by MI; 0: nobody has."""
    root = logging.getLogger()
    if level and root.level != level:
        root.setLevel(level)


def finish() -> None:
    """Write what is still held back; the last call of a process."""
    for handler in logging.getLogger().handlers:
        handler.close()
