"""Arguments of the dispatcher functions, as text becomes values (documentation 1.4.1).

    set    "2"   "part2 : 1"   "part4 : 2,3"
    alg    "4"   "0,1"   4
    flags  "f"   "fUsD"   "5"   "fuD M 5, fuS M 2"

Each text is parsed once; callers keep the result.  Errors are ConfigError and quote the text.
"""

from __future__ import annotations

from dataclasses import dataclass

from ds_farm.dispatch.model import DEFAULT_PARTITION
from ds_farm.errors import ConfigError

NO_LIMIT = 0x7FFFFFFF
"""Without ``M n`` every destination may be used (decision 1)."""

MAX_LIST = 32
"""Sets in one call; more are surely a mistake."""

MAX_NUMBER = 0x7FFFFFFF
"""Set ids and algorithms are ``int`` columns and arguments; what is larger is a mistake."""


@dataclass(frozen=True, slots=True)
class Flags:
    """Flags of one set of a call and how many results it may give."""

    failover: bool = False
    user_only: bool = False
    keep: bool = False
    """S: leave a destination address that is already set (decision 11)."""
    use_default: bool = False
    max_results: int = NO_LIMIT


@dataclass(frozen=True, slots=True)
class Choice:
    """One set to select from, with its algorithm and flags."""

    partition: str
    set_id: int
    algorithm: int
    flags: Flags


class UnequalLists(ConfigError):
    """Lists of sets, algorithms and flags of one call differ in length (decision 9)."""


def parse_choices(
    sets: str | int, algorithms: str | int, flags: str | int | None = None
) -> tuple[Choice, ...]:
    """The sets of one call in their order.

    One algorithm, or one list item of flags, does not stand for all: lengths must be equal, only
    the flags may be left out as a whole.
    """
    partition, ids = parse_sets(sets)
    numbers = [_integer(item, "algorithm") for item in str(algorithms).split(",")]
    text = "" if flags is None else str(flags)
    items = [parse_flags(item) for item in text.split(",")] if text.strip() else []
    if len(numbers) != len(ids):
        raise UnequalLists(
            f"{len(ids)} sets in {sets!r}, but {len(numbers)} algorithms in {algorithms!r}"
        )
    if items and len(items) != len(ids):
        raise UnequalLists(f"{len(ids)} sets in {sets!r}, but {len(items)} flags in {flags!r}")
    return tuple(
        Choice(partition, set_id, number, items[i] if items else Flags())
        for i, (set_id, number) in enumerate(zip(ids, numbers, strict=True))
    )


def parse_sets(sets: str | int) -> tuple[str, list[int]]:
    """``[partition :] id[,id...]`` as the partition's name and the ids."""
    text = str(sets)
    name, colon, ids = text.rpartition(":")
    numbers = [_integer(item, "set id") for item in ids.split(",")]
    if len(numbers) > MAX_LIST:
        raise ConfigError(f"{len(numbers)} sets in one call, at most {MAX_LIST} are possible")
    if any(number < 0 for number in numbers):
        raise ConfigError(f"{text!r}: a set id is not negative")
    return (name.strip() if colon else "") or DEFAULT_PARTITION, numbers


def parse_flags(text: str) -> Flags:
    """``flags``, ``number`` or ``flags M number`` (documentation 1.4.1)."""
    item = text.replace(" ", "").replace("\t", "").lower()
    if _is_number(item):
        return Flags(max_results=_limit(item))
    letters, marked, limit = item.partition("m")
    if marked and not _is_number(limit):
        raise ConfigError(f"flags {text!r}: a number is expected after M")
    if len(set(letters)) != len(letters):
        raise ConfigError(f"flags {text!r}: a flag stands twice")
    if unknown := set(letters) - set("fusd"):
        raise ConfigError(
            f"flags {text!r}: unknown flag {min(unknown)!r}, expected f, u, s, d and M number"
        )
    return Flags(
        failover="f" in letters,
        user_only="u" in letters,
        keep="s" in letters,
        use_default="d" in letters,
        max_results=_limit(limit) if marked else NO_LIMIT,
    )


def _integer(text: str, what: str) -> int:
    digits = text.strip()
    if not _is_number(digits.removeprefix("-")):
        raise ConfigError(f"{what} {digits!r} is not a number")
    if len(digits) > 11 or abs(int(digits)) > MAX_NUMBER:
        raise ConfigError(f"{what} {digits!r} is larger than {MAX_NUMBER}")
    return int(digits)


def _limit(digits: str) -> int:
    """max_results; more than any set can have is no limit."""
    return NO_LIMIT if len(digits) > 10 else min(int(digits), NO_LIMIT)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
