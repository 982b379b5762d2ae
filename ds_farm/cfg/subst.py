"""Substitutions in URIs and in whole messages; their texts are made in `texts.py`.

Functions return 1, or -1 if nothing matches.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from ds_farm.cfg.texts import (
    Replacement,
    Value,
    subst_pattern,
    substituted,
    text,
    uri_part,
)
from ds_farm.proxy.codes import FAILED


@lru_cache(maxsize=256)
def _bytes_pattern(pattern: str, flags: str) -> re.Pattern[bytes]:
    compiled = subst_pattern(pattern, flags)
    return re.compile(compiled.pattern.encode(), compiled.flags & ~re.UNICODE)


def subst_user(request: Any, pattern: str, replacement: Replacement, flags: str) -> int:
    """Of the Request-URI's user."""
    result = substituted(uri_part(request.ru, "user"), pattern, replacement, flags)
    return FAILED if result is None else int(request.rewriteuser(result))


def subst_message(
    request: Any, pattern: str, replacement: Replacement, flags: str, in_body: bool = False
) -> int:
    """``subst`` and ``subst_body``: of headers and body, or of the body."""

    parts = replacement if isinstance(replacement, tuple) else (replacement,)

    def make(found: re.Match[bytes]) -> bytes:
        return b"".join(
            (found[part] or b"") if isinstance(part, int) else part.encode() for part in parts
        )

    count = request.substitute(_bytes_pattern(pattern, flags), make, in_body, "g" in flags)
    return 1 if count else FAILED


def replace_text(
    request: Any, pattern: str, new: Value, in_body: bool = False, every: bool = False,
    is_one: bool = False,
) -> int:  # fmt: skip
    """``replace`` and its kin, in any case of letters; ``is_one``: a line ends where the body
    does."""
    flags = "is" if is_one else "i"
    make = text(new).encode()
    count = request.substitute(_bytes_pattern(pattern, flags), lambda _: make, in_body, every)
    return 1 if count else FAILED


def append_text(request: Any, pattern: str, new: Value, in_body: bool = False) -> int:
    """``search_append`` and ``search_append_body``: after the first match."""
    added = text(new).encode()

    def make(found: re.Match[bytes]) -> bytes:
        return found[0] + added

    return 1 if request.substitute(_bytes_pattern(pattern, "i"), make, in_body) else FAILED
