"""The hash behind our branches and tags (RFC 3261 sections 16.6 step 8, 16.11, 19.3).

SipHash's rounds (one a word, three at the end) under the farm's secret key, so that nobody
outside can make a branch that we take for our own.  Each piece ends with its length: ("ab", "c")
and ("a", "bc") differ.  Pure-Python mode.
"""

import cython

if cython.compiled:
    from cython.cimports.libc.stdint import int64_t, uint64_t

    def keyed_hash(key: bytes, *pieces: bytes) -> int:
        """Hash of ``pieces`` under a 16-byte key, for code and tests that are not compiled."""
        state: Sip
        piece: bytes
        sip_start(
            cython.address(state),
            int.from_bytes(key[:8], "little"),
            int.from_bytes(key[8:16], "little"),
        )
        for piece in pieces:
            sip_add(cython.address(state), piece, 0, len(piece))
        return sip_finish(cython.address(state))

else:
    int64_t = uint64_t = int

    def _word(data, i):
        """The pure twin of the inline function in `_branch.pxd`."""
        return int.from_bytes(data[i : i + 8], "little")


MASK = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)
# "somepseudorandomlygeneratedbytes"
INIT0 = cython.declare(uint64_t, 0x736F6D6570736575)
INIT1 = cython.declare(uint64_t, 0x646F72616E646F6D)
INIT2 = cython.declare(uint64_t, 0x6C7967656E657261)
INIT3 = cython.declare(uint64_t, 0x7465646279746573)


def sip_start(s, k0, k1):
    """Begin a hash under the key (k0, k1)."""
    s.v0 = k0 ^ INIT0
    s.v1 = k1 ^ INIT1
    s.v2 = k0 ^ INIT2
    s.v3 = k1 ^ INIT3


def sip_add(s, data, start, end):
    """Add the piece ``data[start:end]``."""
    i: cython.int = start
    shift: cython.int
    word: uint64_t
    while i + 8 <= end:
        word = _word(data, i)
        s.v3 ^= word
        _round(s)
        s.v0 ^= word
        i += 8
    word = cython.cast(uint64_t, (end - start) & 0xFF) << 56
    shift = 0
    while i < end:
        word |= cython.cast(uint64_t, data[i]) << shift
        shift += 8
        i += 1
    s.v3 ^= word
    _round(s)
    s.v0 ^= word


def sip_finish(s):
    """The hash of all pieces added; 64 bits."""
    s.v2 ^= 0xFF
    _round(s)
    _round(s)
    _round(s)
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3


def _round(s):
    """One SipRound."""
    v0: uint64_t = (s.v0 + s.v1) & MASK
    v1: uint64_t = ((s.v1 << 13) | (s.v1 >> 51)) & MASK
    v2: uint64_t = (s.v2 + s.v3) & MASK
    v3: uint64_t = ((s.v3 << 16) | (s.v3 >> 48)) & MASK
    v1 ^= v0
    v0 = ((v0 << 32) | (v0 >> 32)) & MASK
    v3 ^= v2
    v0 = (v0 + v3) & MASK
    v3 = ((v3 << 21) | (v3 >> 43)) & MASK
    v3 ^= v0
    v2 = (v2 + v1) & MASK
    v1 = ((v1 << 17) | (v1 >> 47)) & MASK
    v1 ^= v2
    v2 = ((v2 << 32) | (v2 >> 32)) & MASK
    s.v0 = v0
    s.v1 = v1
    s.v2 = v2
    s.v3 = v3


def put_hex(out, value):
    """Write 16 lower-case hexadecimal digits; returns 16."""
    i: cython.int = 15
    digit: cython.int
    while i >= 0:
        digit = cython.cast(cython.int, value & 15)
        out[i] = digit + 48 + 39 * (digit > 9)
        value >>= 4
        i -= 1
    return 16


def get_hex(data, start, end):
    """Value of 1 to 15 lower-case hexadecimal digits, -1 if they are something else."""
    value: int64_t = 0
    c: cython.int
    if start >= end or end - start > 15:
        return -1
    while start < end:
        c = data[start]
        if 48 <= c <= 57:
            value = value * 16 + (c - 48)
        elif 97 <= c <= 102:
            value = value * 16 + (c - 87)
        else:
            return -1
        start += 1
    return value
