"""Requests in the stream of a FIFO (semantics 6.2 and 6.4, decision 25)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.mi.frames import MOST_BYTES, Frame, Frames

JSON = b'{"jsonrpc":"2.0","method":"which","id":"}]\\""}'


def json_frame(name: bytes = b"r", body: bytes = JSON) -> Frame:
    return Frame(True, name, body)


def line_frame(body: bytes) -> Frame:
    return Frame(False, b"", body)


def test_several_requests_of_both_dialects_in_one_read() -> None:
    data = b":r:" + JSON + b":q:" + JSON + b":which:reply\n\n:ds_reload:x\na\n\n:r: [1]\n"
    assert list(Frames().feed(data)) == [
        json_frame(),
        json_frame(b"q"),
        line_frame(b":which:reply"),
        line_frame(b":ds_reload:x\na"),
        json_frame(body=b"[1]"),
    ]


@given(st.integers(min_value=1, max_value=20))
def test_requests_in_pieces(size: int) -> None:
    data = b":r:" + JSON + b":which:reply\n\n:r:" + JSON
    frames = Frames()
    found = [
        frame for at in range(0, len(data), size) for frame in frames.feed(data[at : at + size])
    ]
    assert found == [json_frame(), line_frame(b":which:reply"), json_frame()]
    assert not frames.is_partial


@pytest.mark.parametrize(
    "half", [b":r:{", b':r:{"a":"', b":r:", b":r", b":", b":which:reply\nargument\n", b"x", b"{"]
)
def test_half_a_request_takes_nobody_else_with_it(half: bytes) -> None:
    frames = Frames()
    found = list(frames.feed(half)) + list(frames.feed(b":r:" + JSON))
    found += list(frames.expire())
    assert found == [json_frame()]
    assert not frames.is_partial


@pytest.mark.parametrize(
    "half", [b":version:A\n", b":ds_set_state:A\r\ni\r\n1\r\n", b":x:\n:y:A\n"]
)
@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b":uptime:B\n\n", line_frame(b":uptime:B")),
        (b":dispatcher:list:B\r\n\r\n", line_frame(b":dispatcher:list:B")),
        (b":ds_list:\nfull\n\n", line_frame(b":ds_list:\nfull")),
        (b":r:" + JSON, json_frame()),
        (b"::" + JSON, json_frame(b"")),
    ],
)
def test_half_a_line_request_ends_where_the_next_begins(
    half: bytes, data: bytes, whole: Frame
) -> None:
    frames = Frames()
    assert [*frames.feed(half), *frames.feed(data)] == [whole]
    assert frames.discarded == len(half)
    assert not frames.is_partial


@pytest.mark.parametrize("argument", [b":", b":1", b"a:b:c", b"group:: 1", b": a :b", b"::"])
def test_arguments_begin_no_request(argument: bytes) -> None:
    body = b":ds_set_state:r\n" + argument
    assert list(Frames().feed(body + b"\n\n")) == [line_frame(body)]


def test_rubbish_before_a_line_request_is_skipped() -> None:
    frames = Frames()
    assert list(frames.feed(b"hello\n:which:reply\n\n")) == [line_frame(b":which:reply")]
    assert frames.discarded == 6


def test_memory_is_bounded() -> None:
    frames = Frames()
    for _ in range(200):
        assert list(frames.feed(b':r:{"' + b"x" * 8192)) == []
        assert len(frames._rest) <= MOST_BYTES
    assert list(frames.feed(b"\n:which:reply\n\n")) or list(frames.expire())


@pytest.mark.parametrize(
    "piece",
    [b":r:{", b'{"', b"\n:", b":", b":r:[{", b"\n:x:", b":r:{:r:{", b'":r:{', b":x:\n:r:{}"],
)
def test_no_input_costs_more_than_a_moment(piece: bytes) -> None:
    frames = Frames()
    data = (piece * MOST_BYTES)[:MOST_BYTES]
    started_s = time.process_time()
    list(frames.feed(data))
    list(frames.feed(data + b"]}" * 1000))
    list(frames.feed(b"\n\n"))
    list(frames.expire())
    assert time.process_time() - started_s < 1.5
    assert list(frames.feed(b":r:" + JSON)) == [json_frame()]


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b":r:" + JSON, b":a:b\n\n", b":r:{"])))
def test_any_bytes_leave_the_next_request_whole(parts: list[bytes]) -> None:
    frames = Frames()
    for part in parts:
        list(frames.feed(part))
    list(frames.expire())
    assert not frames.is_partial
    assert list(frames.feed(b":r:" + JSON)) == [json_frame()]
