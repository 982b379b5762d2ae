"""The hash that OpenSIPS's dispatcher spreads calls with, bit for bit (decision 6).

A user who moves from OpenSIPS keeps the destination that each call hashes to, so nothing here may
ever change.  Arithmetic is in 32 unsigned bits, bytes count as signed, keys are hashed one after
the other and not joined.  Pure-Python mode: compiled and uncompiled give the same numbers.
"""

import cython

if cython.compiled:
    from cython.cimports.libc.stdint import uint32_t
else:
    uint32_t = int

MASK = cython.declare(uint32_t, 0xFFFFFFFF)
SIGN = cython.declare(uint32_t, 0xFFFFFF00)


def hash_keys(*keys: bytes) -> int:
    """Hash of one or two keys; 1..2**32-1."""
    h: uint32_t = 0
    key: bytes
    for key in keys:
        h = add_key(h, key, len(key))
    return finish(h)


def add_key(h, data, length):
    """``h`` after one more key."""
    i: cython.int = 0
    v: uint32_t
    while i + 4 <= length:
        v = (
            (_signed(data[i]) << 24)
            + (_signed(data[i + 1]) << 16)
            + (_signed(data[i + 2]) << 8)
            + _signed(data[i + 3])
        ) & MASK
        h = (h + (v ^ (v >> 3))) & MASK
        i += 4
    v = 0
    while i < length:
        v = ((v << 8) + _signed(data[i])) & MASK
        i += 1
    return (h + (v ^ (v >> 3))) & MASK


def finish(h):
    """The final mixing; never 0."""
    h = (h + (h >> 11) + (h >> 13) + (h >> 23)) & MASK
    return h if h else 1


def _signed(byte):
    """A byte as x86 compilers see a ``char``; in 32 unsigned bits."""
    return byte if byte < 128 else (byte + SIGN) & MASK
