"""Datagrams of a call to the worker that owns it, by eBPF, before any process has seen them.

    owner = hash(first 64 bytes of the Call-ID) mod N        (ds_farm/proxy/_handover.pyx)

The program runs in the kernel for each datagram of a SO_REUSEPORT group (bpf(2), type
SK_REUSEPORT): it looks for the Call-ID in the first 1,400 bytes, hashes it as the workers do, and
selects that worker's socket.  What it cannot read goes to any worker, and a worker that gets what
is not its own hands it over: so a mistake here costs a datagram between processes, nothing else.
Loading takes CAP_BPF and CAP_NET_ADMIN, or root, and Linux 5.8.

NOTES
 (a) A header is found by the last eight bytes read, each with the bit of lower case: "\\ncall-id"
     is as long as a register.  The compact form is the last three.
 (b) No branch depends on a byte in the search, so the verifier sees one path through it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
from collections.abc import Sequence

from ds_farm.proxy.owner import CALL_ID_BYTES

SO_ATTACH_REUSEPORT_EBPF = 52
_SYSCALLS = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _MAP_UPDATE, _PROG_LOAD = 0, 2, 5
_MAP_ARRAY, _MAP_SOCKETS = 2, 20
_SK_REUSEPORT = 21
_LOG_BYTES = 1 << 20

_UDP_HEADER = 8
_CHUNK = 64
_CHUNKS = 22
_GAP = 16
"""Bytes between the header's name and its value, at most; else any worker gets the datagram."""

_BUFFER = -128
_KEY = -8
_LOOKUP, _RANDOM, _LOAD_BYTES, _SELECT = 1, 7, 26, 82
"""Numbers of the kernel's functions."""

_LENGTH = 16
"""struct sk_reuseport_md: len, from the UDP header on."""

_LONG = int.from_bytes(bytes(byte | 0x20 for byte in b"\nCall-ID"), "big")
_COMPACT = int.from_bytes(bytes(byte | 0x20 for byte in b"\ni:"), "big")

_ALU = {
    "add": 0x00, "sub": 0x10, "mul": 0x20, "or": 0x40, "and": 0x50, "lsh": 0x60, "rsh": 0x70,
    "neg": 0x80, "mod": 0x90, "xor": 0xA0, "mov": 0xB0,
}  # fmt: skip
_JUMP = {"always": 0x00, "eq": 0x10, "gt": 0x20, "ne": 0x50, "lt": 0xA0, "sle": 0xD0}


class SteeringError(Exception):
    """This system does not let us steer; the text says why."""


class _Assembler:
    """eBPF instructions with labels (Documentation/bpf/standardization/instruction-set.rst)."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, str | int, int]] = []
        self._labels: dict[str, int] = {}

    def _emit(
        self, code: int, to: int = 0, source: int = 0, offset: str | int = 0, value: int = 0
    ) -> None:
        self._code.append((code, to, source, offset, value))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def number(self, name: str, to: int, value: int = 0) -> None:
        """Arithmetic with a constant, 64 bits."""
        self._emit(0x07 | _ALU[name], to, value=value)

    def register(self, name: str, to: int, source: int) -> None:
        """Arithmetic with a register."""
        self._emit(0x0F | _ALU[name], to, source)

    def wide(self, to: int, value: int, source: int = 0) -> None:
        """A constant of 64 bits; ``source`` 1: the address of a map, given its descriptor."""
        self._emit(0x18, to, source, value=value & 0xFFFFFFFF)
        self._emit(0x00, value=value >> 32 & 0xFFFFFFFF)

    def load(self, to: int, source: int, offset: int, size: int) -> None:
        self._emit(0x61 if size == 4 else 0x71, to, source, offset)

    def store(self, to: int, offset: int, source: int) -> None:
        """32 bits."""
        self._emit(0x63, to, source, offset)

    def clear(self, offset: int) -> None:
        """64 bits of the stack."""
        self._emit(0x7A, 10, 0, offset)

    def jump(self, name: str, label: str, to: int = 0, value: int = 0) -> None:
        self._emit(0x05 | _JUMP[name], to, 0, label, value)

    def call(self, function: int) -> None:
        self._emit(0x85, value=function)

    def exit(self) -> None:
        self._emit(0x95)

    def assemble(self) -> bytes:
        """The program's bytes."""
        return b"".join(
            struct.pack(
                "<BBhI",
                code,
                to | source << 4,
                self._labels[offset] - index - 1 if isinstance(offset, str) else offset,
                value & 0xFFFFFFFF,
            )
            for index, (code, to, source, offset, value) in enumerate(self._code)
        )


def _read(a: _Assembler, offset: int, most: int) -> None:
    """Read what is left from ``offset`` (a register) on into the buffer, ``most`` bytes of it."""
    a.load(4, 6, _LENGTH, 4)
    a.register("sub", 4, offset)
    a.jump("sle", "any", 4, 0)
    enough = f"{offset}, {most}"
    a.jump("lt", enough, 4, most)
    a.number("mov", 4, most)
    a.label(enough)
    a.register("mov", 1, 6)
    a.register("mov", 2, offset)
    a.register("mov", 3, 10)
    a.number("add", 3, _BUFFER)
    a.call(_LOAD_BYTES)
    a.jump("ne", "any", 0, 0)


def _look_up(a: _Assembler, array: int) -> None:
    """The array's number at the key that stands on the stack, into register 1."""
    a.wide(1, array, 1)
    a.register("mov", 2, 10)
    a.number("add", 2, _KEY)
    a.call(_LOOKUP)
    a.jump("eq", "pass", 0, 0)
    a.load(1, 0, 0, 4)


def _is_zero(a: _Assembler, to: int, scratch: int) -> None:
    """1 if the register is 0, else 0; without a branch."""
    a.register("mov", scratch, to)
    a.number("neg", scratch)
    a.register("or", to, scratch)
    a.number("rsh", to, 63)
    a.number("xor", to, 1)


def program(sockets: int, ranks: int, seed: int, factor: int) -> bytes:
    """The program; ``sockets`` and ``ranks`` are descriptors of its maps, the two numbers are the
    hash's of this farm (64 bits each)."""
    a = _Assembler()
    a.register("mov", 6, 1)  # the context
    for offset in range(_BUFFER, _KEY + 8, 8):
        a.clear(offset)
    _look_up(a, ranks)
    a.number("mov", 8, 0)
    a.jump("lt", "select", 1, 2)  # one worker: nothing to find out
    a.number("mov", 7, 0)  # where the Call-ID's header name ends, 0: not found
    a.number("mov", 8, 0)  # the last eight bytes
    a.number("mov", 9, _UDP_HEADER)
    a.label("chunk")
    _read(a, 9, _CHUNK)
    a.number("mov", 1, 0)
    a.label("byte")
    a.register("mov", 2, 10)
    a.register("add", 2, 1)
    a.load(3, 2, _BUFFER, 1)
    a.number("or", 3, 0x20)
    a.number("lsh", 8, 8)
    a.register("or", 8, 3)
    a.wide(4, _LONG)
    a.register("xor", 4, 8)
    _is_zero(a, 4, 5)
    a.register("mov", 5, 8)
    a.number("and", 5, 0xFFFFFF)
    a.number("xor", 5, _COMPACT)
    _is_zero(a, 5, 2)
    a.register("or", 4, 5)
    a.number("add", 1, 1)
    a.register("mov", 5, 9)
    a.register("add", 5, 1)
    a.register("sub", 5, 7)
    a.register("mul", 5, 4)
    a.register("add", 7, 5)  # found: its offset, else what it was
    a.jump("lt", "byte", 1, _CHUNK)
    a.jump("ne", "found", 7, 0)
    a.number("add", 9, _CHUNK)
    a.jump("lt", "chunk", 9, _UDP_HEADER + _CHUNK * _CHUNKS)
    a.jump("always", "any")

    a.label("found")
    a.number("and", 7, 0x7FF)
    _read(a, 7, _GAP)
    a.number("mov", 1, 0)
    a.label("gap")
    a.register("mov", 2, 10)
    a.register("add", 2, 1)
    a.load(3, 2, _BUFFER, 1)
    for byte in b" \t:":
        a.jump("eq", "skip", 3, byte)
    a.jump("always", "begun")
    a.label("skip")
    a.number("add", 1, 1)
    a.jump("lt", "gap", 1, _GAP)
    a.jump("always", "any")
    a.label("begun")
    a.register("add", 7, 1)
    a.number("and", 7, 0x7FF)
    _read(a, 7, CALL_ID_BYTES)
    a.wide(8, seed)
    a.number("mov", 1, 0)
    a.label("value")
    a.register("mov", 2, 10)
    a.register("add", 2, 1)
    a.load(3, 2, _BUFFER, 1)
    for byte in b"\r\n\t \0":
        a.jump("eq", "hashed", 3, byte)
    a.register("xor", 8, 3)
    a.wide(4, factor)
    a.register("mul", 8, 4)
    a.number("add", 1, 1)
    a.jump("lt", "value", 1, CALL_ID_BYTES)
    a.label("hashed")
    a.number("rsh", 8, 32)
    a.jump("always", "select")

    a.label("any")
    a.call(_RANDOM)
    a.register("mov", 8, 0)
    a.label("select")
    a.number("lsh", 8, 32)
    a.number("rsh", 8, 32)
    a.clear(_KEY)
    _look_up(a, ranks)
    a.jump("eq", "pass", 1, 0)
    a.register("mod", 8, 1)
    a.number("add", 8, 1)
    a.store(10, _KEY, 8)
    _look_up(a, ranks)
    a.store(10, _KEY, 1)
    a.register("mov", 1, 6)
    a.wide(2, sockets, 1)
    a.register("mov", 3, 10)
    a.number("add", 3, _KEY)
    a.number("mov", 4, 0)
    a.call(_SELECT)
    a.label("pass")
    a.number("mov", 0, 1)
    a.exit()
    return a.assemble()


class Steering:
    """The program on one group of sockets, index = worker rank.

    Two maps: rank -> socket; and at 0 the number of workers N, at 1 to N who serves for each.
    """

    def __init__(self, group: Sequence[socket.socket], most: int, seed: int, factor: int) -> None:
        """Load and attach it, for ``most`` workers at most; it selects nobody until `spread`.
        SteeringError."""
        self._fds: list[int] = []
        self._known = 0
        try:
            self._sockets = self._new_map(_MAP_SOCKETS, 8, most)
            self._ranks = self._new_map(_MAP_ARRAY, 4, most + 1)
            loaded = self._load(program(self._sockets, self._ranks, seed, factor))
            self._take(group)
            try:
                group[0].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, loaded)
            except OSError as error:
                raise SteeringError(f"the program cannot be attached: {error.strerror}") from None
        except SteeringError:
            self.close()
            raise

    def _new_map(self, kind: int, value_bytes: int, entries: int) -> int:
        made = _bpf(_MAP_CREATE, struct.pack("=IIIII", kind, 4, value_bytes, entries, 0))
        self._fds.append(made)
        return made

    def _load(self, code: bytes) -> int:
        text = ctypes.create_string_buffer(code, len(code))
        licence = ctypes.create_string_buffer(b"MIT")
        attributes = struct.pack(
            "=IIQQ",
            _SK_REUSEPORT,
            len(code) // 8,
            ctypes.addressof(text),
            ctypes.addressof(licence),
        )
        try:
            made = _bpf(_PROG_LOAD, attributes)
        except SteeringError as error:
            log = ctypes.create_string_buffer(_LOG_BYTES)
            logged = struct.pack("=IIQ", 1, _LOG_BYTES, ctypes.addressof(log))
            try:
                made = _bpf(_PROG_LOAD, attributes + logged)
            except SteeringError:
                lines = log.value.decode(errors="replace").strip().splitlines()
                verdict = f": {lines[-1]}" if lines else ""
                raise SteeringError(f"{error}{verdict}") from None
        self._fds.append(made)
        return made

    def _take(self, group: Sequence[socket.socket]) -> None:
        while self._known < len(group):
            fd = group[self._known].fileno()
            _update(self._sockets, self._known, struct.pack("=Q", fd))
            self._known += 1

    def spread(
        self, group: Sequence[socket.socket], live_ranks: Sequence[int], workers: int
    ) -> None:
        """Steer to the owners among ``workers``; who is not live has others take its calls."""
        self._take(group)
        for rank in range(workers):
            serving = rank if rank in live_ranks else live_ranks[rank % len(live_ranks)]
            _update(self._ranks, rank + 1, struct.pack("=I", serving))
        _update(self._ranks, 0, struct.pack("=I", workers))

    def close(self) -> None:
        """Give the descriptors back; the program stays as long as the sockets."""
        while self._fds:
            os.close(self._fds.pop())


def _update(map_fd: int, key: int, value: bytes) -> None:
    key_at = ctypes.create_string_buffer(struct.pack("=I", key), 4)
    value_at = ctypes.create_string_buffer(value, len(value))
    pointers = ctypes.addressof(key_at), ctypes.addressof(value_at)
    _bpf(_MAP_UPDATE, struct.pack("=IIQQQ", map_fd, 0, *pointers, 0))


def _bpf(command: int, attributes: bytes) -> int:
    """bpf(2); SteeringError if the system has none or refuses."""
    number = _SYSCALLS.get(platform.machine())
    if number is None:
        raise SteeringError(f"bpf(2) is not known on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    text = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = int(libc.syscall(number, command, text, 128))
    if result < 0:
        raise SteeringError(f"bpf(2): {os.strerror(ctypes.get_errno())}")
    return result
