"""What the scan of a SIP message costs: the torture messages of RFC 4475 and ordinary ones.

    python -m benchmarks.scan_bench [--quick] [--rounds 50]

The installed `ds_farm.sip._scan.scan` is called from a loop in C (`scan_loop.c`), as the worker
calls it.  The ratio is to finding the line ends of the same message with memchr.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.command import (
    JsonOption,
    QuickOption,
    Steps,
    console,
    ended_cleanly,
    show,
    table,
    write_result,
)
from benchmarks.machine import describe, split_cores
from benchmarks.programs import BenchError, library
from benchmarks.timing import Timed, compare
from ds_farm.sip import _scan

TORTURE = Path(__file__).parents[1] / "tests" / "data" / "torture"
RESULT_BYTES = 4096
"""More than `struct Message` of _scan.pxd has."""

LINES = "\r\n".join
SDP = LINES(
    [
        "v=0",
        "o=- 1 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 40000 RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=sendrecv",
        "",
    ]
)
_DIALOG = (
    'From: "Alice" <sip:+14445550100@example.com>;tag=9fxced76sl',
    "To: <sip:+15555550100@example.com>",
    "Call-ID: 3848276298220188511@192.0.2.1",
)
_VIA = "Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK74bf9"
_PROXY_VIA = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK0123456789abcdef.0123456789abcdef"
_END = ("Content-Length: 0", "", "")

ORDINARY: dict[str, bytes] = {
    name: LINES(lines).encode()
    for name, lines in {
        "OPTIONS": (
            "OPTIONS sip:+15555550100@192.0.2.9 SIP/2.0",
            _VIA,
            "Max-Forwards: 70",
            *_DIALOG,
            "CSeq: 1 OPTIONS",
            "Contact: <sip:alice@192.0.2.1>",
            *_END,
        ),
        "INVITE with SDP": (
            "INVITE sip:+15555550100@192.0.2.9 SIP/2.0",
            _VIA,
            "Max-Forwards: 70",
            *_DIALOG,
            "CSeq: 1 INVITE",
            "Contact: <sip:alice@192.0.2.1>",
            "User-Agent: an ordinary telephone/1.2.3",
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, REFER, NOTIFY",
            "Supported: 100rel, timer, replaces",
            "Session-Expires: 1800",
            "Content-Type: application/sdp",
            f"Content-Length: {len(SDP)}",
            "",
            SDP,
        ),
        "200 with two Via": (
            "SIP/2.0 200 OK",
            _PROXY_VIA,
            _VIA,
            *_DIALOG,
            "CSeq: 1 INVITE",
            "Contact: <sip:bob@192.0.2.2>",
            *_END,
        ),
        "BYE in compact form": (
            "BYE sip:bob@192.0.2.2 SIP/2.0",
            _VIA.replace("Via", "v"),
            "Max-Forwards: 70",
            "f: <sip:+14445550100@example.com>;tag=9fxced76sl",
            "t: <sip:+15555550100@example.com>;tag=314159",
            "i: 3848276298220188511@192.0.2.1",
            "CSeq: 2 BYE",
            "l: 0",
            "",
            "",
        ),
    }.items()
}
IN_TURN = "RFC 4475, all in turn"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Each message once a round.")] = 30,
    microseconds: Annotated[
        int, typer.Option(min=10, max=1_000_000, help="Time for a message in one round, about.")
    ] = 2000,
    quick: QuickOption = False,
    json: JsonOption = None,
) -> None:
    """Nanoseconds that the scan of a SIP message takes, over RFC 4475 and ordinary messages.

    Each message is scanned again and again, as branch prediction likes it best; "in turn" is the
    whole corpus, message after message, where it can learn little.
    """
    if quick:
        rounds, microseconds = 3, 100
    out = console()
    with ended_cleanly():
        torture = {path.stem: path.read_bytes() for path in sorted(TORTURE.glob("*.dat"))}
        if not torture:
            raise BenchError(f"{TORTURE} has no messages")
        groups = {
            **{name: [data] for name, data in ORDINARY.items()},
            IN_TURN: list(torture.values()),
            **{f"RFC 4475 {name}": [data] for name, data in torture.items()},
        }
        loop = _Loop()
        timed = {}
        with Steps(len(groups)) as steps:
            for name, messages in groups.items():
                steps.begin(name)
                timed[name] = loop.measure(messages, rounds, microseconds)
                steps.end(f"{name}: {timed[name].ns:.0f} ns")
    show(out, "scan of one message", _table(groups, timed))
    written = write_result(
        json,
        "scan",
        {
            "machine": describe(split_cores()),
            "settings": {"rounds": rounds, "microseconds": microseconds},
            "messages": [
                {"name": name, "bytes": _mean_size(groups[name]), **one.result()}
                for name, one in timed.items()
            ],
        },
    )
    out.print(f"written to {written}", soft_wrap=True)


class _Loop:
    """`scan_loop.c`, and the scanners that it calls."""

    def __init__(self) -> None:
        code = ctypes.CDLL(str(library("scan_loop")))
        self._run = code.scan_loop
        self._run.restype = ctypes.c_double
        self._scanners = {
            "lines": ctypes.cast(code.find_lines, ctypes.c_void_p),
            "scan": ctypes.c_void_p(_address(_scan, "scan")),
        }
        self._result = ctypes.create_string_buffer(RESULT_BYTES)

    def measure(self, messages: Sequence[bytes], rounds: int, microseconds: int) -> Timed:
        """Cost of a scan of one of the messages, which are taken in turn."""
        count = len(messages)
        texts = (ctypes.c_char_p * count)(*messages)
        lengths = (ctypes.c_int * count)(*map(len, messages))

        def run(name: str, passes: int) -> float:
            scanner = self._scanners[name]
            ns: float = self._run(scanner, texts, lengths, count, passes, self._result)
            return ns / passes / count

        def passes(name: str) -> int:
            return max(1, int(microseconds * 1000 / max(run(name, 10), 1) / count))

        often = {name: passes(name) for name in self._scanners}
        costs = {name: partial(run, name, often[name]) for name in self._scanners}
        return compare(costs, "lines", rounds)["scan"]


def _address(module: ModuleType, function: str) -> int:
    """Where a C function of a compiled module is: Cython publishes what a .pxd declares."""
    try:
        capsule = module.__pyx_capi__[function]
    except AttributeError:
        raise BenchError(f"{module.__name__} is not compiled: 'make setup' compiles it") from None
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address: int = get_pointer(capsule, get_name(capsule))
    return address


def _mean_size(messages: Sequence[bytes]) -> int:
    return round(sum(map(len, messages)) / len(messages))


def _table(groups: Mapping[str, Sequence[bytes]], timed: Mapping[str, Timed]) -> Table:
    heads = ("bytes", "ns", "ns a byte", "/ finding line ends")
    made = table("message", *heads)
    for name, messages in groups.items():
        one, size = timed[name], _mean_size(messages)
        made.add_row(name, f"{size:,}", f"{one.ns:,.0f}", f"{one.ns / size:.2f}", one.ratio_text)
    return made


if __name__ == "__main__":
    app()
