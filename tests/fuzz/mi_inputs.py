"""Inputs for the management interface: good requests, and what chance makes of them.

    python -m tests.fuzz.mi_inputs 1000000

runs so many on each transport's parser and prints how many, how fast, and what memory they took.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator

from ds_farm.config import Config
from ds_farm.dispatch.model import Destination, DestinationSet
from ds_farm.dispatch.registry import Registry
from ds_farm.mi import answer
from ds_farm.mi.commands import ALIASES, COMMANDS
from ds_farm.mi.farm import Farm
from ds_farm.mi.frames import MOST_BYTES, Frames
from shm.segment import Segment, remove_leftovers

URI = b"sip:127.0.0.1:7001"
NAMES = [name.encode() for name in (*COMMANDS, *ALIASES) if "kill" not in name]
VALUES = [b"1", b"-1", b"a", b"i", b"p", URI, b"all", b"default", b"E_DISPATCHER_STATUS"]
VALUES += [
    b"udp:127.0.0.1:9",
    b"9" * 40,
    b"",
    b".",
    b'"',
    b"\\",
    b"\xff\xfe",
    b"\0",
    b"::",
    b"x::y",
]
JSON_VALUES = [b"1", b"-1", b'"a"', b'"i"', b'"1"', b'"sip:127.0.0.1:7001"', b"null", b"true"]
JSON_VALUES += [b"1e999", b"[]", b"{}", b'["all"]', b"[" * 50, b'"\\ud800"', b"9" * 5000, b"NaN"]
JSON_VALUES += [b'"E_DISPATCHER_STATUS"', b'"udp:127.0.0.1:9"', b'{"a":[1]}', b'"\xff"']
PIECES = [b":", b"\n", b"\n\n", b"{", b"}", b"[", b"]", b'"', b"\\", b"::", b"\0", b"\xff", b"\r\n"]
PIECES += [b":r:", b":r:{", b'{"jsonrpc":"2.0"', b',"id":1}', b'"method"', b"ds_list"]


def json_request(chance: random.Random) -> bytes:
    """A JSON-RPC request, often with something missing."""
    parts = [b'"jsonrpc":"2.0"', b'"method":"%s"' % chance.choice(NAMES)]
    kind = chance.random()
    if kind < 0.5:
        values = (chance.choice(JSON_VALUES) for _ in range(chance.randrange(5)))
        parts.append(b'"params":[%s]' % b",".join(values))
    elif kind < 0.7:
        parts.append(b'"params":%s' % chance.choice(JSON_VALUES))
    parts.append(b'"id":%s' % chance.choice(JSON_VALUES))
    if chance.random() < 0.3:
        del parts[chance.randrange(len(parts))]
    return b"{%s}" % b",".join(parts)


def line_request(chance: random.Random, reply: bytes = b"") -> bytes:
    """A request of 2.1."""
    values = b"".join(chance.choice(VALUES) + b"\n" for _ in range(chance.randrange(5)))
    return b":%s:%s\n%s\n" % (chance.choice(NAMES), reply, values)


def damaged(chance: random.Random, data: bytes) -> bytes:
    """The same with up to four pieces put in, taken out or changed."""
    for _ in range(chance.randrange(5)):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.randrange(4))
        data = data[:at] + chance.choice([*PIECES, b"", bytes([chance.randrange(256)])]) + data[to:]
    return data


def inputs(seed: int, reply: bytes = b"") -> Iterator[bytes]:
    """Without end, the same for a seed."""
    chance = random.Random(seed)
    while True:
        kind = chance.random()
        if kind < 0.05:
            yield chance.randbytes(chance.randrange(200))
        elif kind < 0.5:
            yield damaged(chance, line_request(chance, reply))
        else:
            yield damaged(chance, json_request(chance))


class Target:
    """Commands on a segment of their own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.segment = Segment.create(name, max_workers=1, max_sets=4, max_destinations=8)
        registry = Registry(self.segment)
        registry.publish([DestinationSet("default", 1, (Destination(URI.decode()),))])
        config = Config.model_validate({"dispatcher": {"db_url": "sqlite:////nowhere"}})
        self.farm = Farm(config, self.segment, registry, lambda *_: "")
        self.frames = Frames()

    def close(self) -> None:
        """Remove the segment."""
        self.segment.unlink()
        remove_leftovers(self.name)
        self.segment.close()

    def datagram(self, data: bytes) -> None:
        """What a datagram socket does with it."""
        answer.to_datagram(self.farm, data)

    def http(self, data: bytes) -> None:
        """What HTTP does with a body."""
        answer.to_http(self.farm, data)

    def fifo(self, data: bytes) -> None:
        """What the FIFO does with it; a silence follows now and then."""
        found = list(self.frames.feed(b":reply:" + data if data.startswith(b"{") else data))
        if len(data) % 3 == 0:
            found += self.frames.expire()
        for frame in found:
            if frame.is_json:
                answer.to_fifo_json(self.farm, frame.body)
            else:
                answer.to_fifo_line(self.farm, frame.body)
        assert len(self.frames._rest) <= MOST_BYTES

    def still_works(self) -> bool:
        """The next good command is answered."""
        request = b'{"jsonrpc":"2.0","method":"ds_list","id":1}'
        list(self.frames.expire())
        frames = list(self.frames.feed(b":r:" + request))
        replies = [answer.to_datagram(self.farm, request), answer.to_http(self.farm, request)]
        replies += [answer.to_fifo_json(self.farm, frame.body) for frame in frames]
        return len(frames) == 1 and all(reply and URI in reply for reply in replies)


def run(target: Target, feed: Callable[[bytes], None], count: int, seed: int) -> float:
    """Feed so many inputs; returns how many kilobytes the process has grown in the second half."""
    grown = 0
    for number, data in zip(range(count), inputs(seed, b"reply"), strict=False):
        feed(data)
        if number == count // 2:
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown


def main(count: int) -> None:
    """The long run."""
    target = Target(f"fuzz-mi-{os.getpid()}")
    try:
        for feed in (target.datagram, target.http, target.fifo):
            started_s = time.monotonic()
            grown_kb = run(target, feed, count, seed=int(time.time()))
            assert target.still_works()
            took_s = time.monotonic() - started_s
            print(f"{feed.__name__}: {count} inputs, {took_s:.0f} s, grown by {grown_kb} KiB")
    finally:
        target.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
