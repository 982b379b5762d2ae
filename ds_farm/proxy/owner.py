"""Which worker owns a call: the hash that workers (`_handover.pyx`) and the kernel
(workers/steering.py) have in common.

    hash = seed;  for each of the first 64 bytes of the Call-ID:  hash = (hash ^ byte) * factor
    owner = (hash >> 32) mod N

Both numbers are secret, so nobody can choose Call-IDs that load one worker.
"""

from __future__ import annotations

import hashlib

CALL_ID_BYTES = 64


def hash_key(secret: bytes) -> tuple[int, int]:
    """Seed and factor (odd), 64 bits each, of the farm with that secret."""
    digest = hashlib.blake2b(secret, digest_size=16, person=b"call owner").digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little") | 1
