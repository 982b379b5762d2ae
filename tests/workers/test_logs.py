"""Formats of log lines, and silence under load."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from workers import logs
from workers.logs import MOST_MESSAGES, RateLimiter


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def settings(level: str = "info", format: str = "text") -> SimpleNamespace:
    return SimpleNamespace(level=level, format=format)


def test_text_line_names_time_level_process_and_pid(stream: io.StringIO) -> None:
    logs.setup(settings(), "worker 2", stream)
    logging.getLogger("x").warning("answered %d", 483)
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
    pattern = rf"{when} warning worker 2\[{os.getpid()}\] answered 483\n"
    assert re.fullmatch(pattern, stream.getvalue())


def test_json_line_has_the_same_and_the_traceback(stream: io.StringIO) -> None:
    logs.setup(settings(format="json"), "loader", stream)
    try:
        raise KeyError("é")
    except KeyError:
        logging.getLogger("x").exception("failed")
    line = json.loads(stream.getvalue())
    assert (line["level"], line["process"], line["pid"]) == ("error", "loader", os.getpid())
    assert (line["logger"], line["message"]) == ("x", "failed")
    assert "KeyError: 'é'" in line["traceback"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", 4), ("info", 3), ("notice", 3), ("warning", 2), ("error", 1)],
)
def test_level(stream: io.StringIO, level: str, shown: int) -> None:
    logs.setup(settings(level), "worker 0", stream)
    logger = logging.getLogger("x")
    for say in (logger.debug, logger.info, logger.warning, logger.error):
        say("text")
    assert len(stream.getvalue().splitlines()) == shown


def test_notes_of_a_start_are_written_all(stream: io.StringIO) -> None:
    logs.setup(settings(), "supervisor", stream)
    for number in range(50):
        logging.getLogger(logs.NOTES).info("%s", f"a.cfg:{number}: fork means nothing here")
    logs.finish()
    assert len(stream.getvalue().splitlines()) == 50


def test_what_was_held_back_is_shown_with_its_text(stream: io.StringIO) -> None:
    logs.setup(settings(), "worker 0", stream)
    for _ in range(20):
        logging.getLogger("x").info("%s", "one")
    for number in range(20):
        logging.getLogger("x").info("%s", f"another {number}")
    logs.finish()
    lines = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
    assert [line for line in lines if "%" in line] == []
    assert any(re.fullmatch(r"suppressed \d+ of: one", line) for line in lines)
    assert sum(line.startswith("another") for line in lines) == 20


def test_repeated_message_is_counted_not_written(stream: io.StringIO) -> None:
    logs.setup(settings(), "worker 0", stream)
    for number in range(1000):
        logging.getLogger("x").warning("malformed message from %s", number)
    logging.getLogger("x").warning("something else")
    logs.finish()
    lines = stream.getvalue().splitlines()
    assert any("something else" in line for line in lines)
    assert len(lines) < 30  # one second's allowance, or two if the clock turns meanwhile
    held_back = sum(
        int(n) for n in re.findall(r"suppressed (\d+) of: malformed", stream.getvalue())
    )
    written = sum("malformed message from" in line and "suppressed" not in line for line in lines)
    assert held_back + written == 1000


def test_what_routes_write_is_written(stream: io.StringIO) -> None:
    logs.setup(settings(), "worker 0", stream)
    for number in range(1000):
        logging.getLogger("ds_farm.routes").info("%s", f"call {number}")
    logs.finish()
    said = [line.rpartition("] ")[2] for line in stream.getvalue().splitlines()]
    assert said == [f"call {number}" for number in range(1000)]


def test_each_message_has_its_own_allowance_each_second() -> None:
    limiter = RateLimiter(per_second=2)
    limiter.turn(100.0)
    one, other = ("a", 30, "one"), ("a", 30, "other")
    assert [limiter.admit(one) for _ in range(3)] == [True, True, False]
    assert limiter.admit(other)
    assert limiter.turn(100.9) == []
    assert limiter.turn(101.0) == [(one, 1)]
    assert limiter.admit(one)


def test_number_of_different_messages_is_bounded() -> None:
    limiter = RateLimiter(per_second=1)
    limiter.turn(100.0)
    admitted = sum(limiter.admit(("a", 30, str(number))) for number in range(3 * MOST_MESSAGES))
    assert admitted == MOST_MESSAGES + 1
    (rest,) = limiter.turn(101.0)
    assert rest == (("", 0, "other messages"), 2 * MOST_MESSAGES - 1)
