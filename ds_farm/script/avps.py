"""AVPs of a request: named stacks of values (OpenSIPS ``$avp(name)``).

The value set last is read first.  They belong to the request and its transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TypeAlias

Value: TypeAlias = str | int


class Avps(MutableMapping[str, Value]):
    """``avps["name"]`` is the topmost value; assigning leaves just the new one."""

    __slots__ = ("_stacks",)

    def __init__(self) -> None:
        self._stacks: dict[str, list[Value]] = {}

    def __getitem__(self, name: str) -> Value:
        return self._stacks[name][0]

    def __setitem__(self, name: str, value: Value) -> None:
        self._stacks[name] = [value]

    def __delitem__(self, name: str) -> None:
        del self._stacks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stacks)

    def __len__(self) -> int:
        return len(self._stacks)

    def all(self, name: str) -> list[Value]:
        """All values, topmost first (``$(avp(name)[*])``); none gives an empty list."""
        return list(self._stacks.get(name, ()))

    def put_all(self, name: str, values: list[Value]) -> None:
        """Have just these values, topmost first."""
        if values:
            self._stacks[name] = list(values)
        else:
            self._stacks.pop(name, None)

    def push(self, name: str, value: Value) -> None:
        """Put a value on top of the others, as an assignment in an OpenSIPS script does."""
        self._stacks.setdefault(name, []).insert(0, value)

    def pop(self, name: str, *default: Value) -> Value:  # type: ignore[override]  # takes one value, not the stack
        """Take the topmost value; KeyError (or ``default``) if there is none."""
        stack = self._stacks.get(name)
        if not stack:
            if default:
                return default[0]
            raise KeyError(name)
        value = stack.pop(0)
        if not stack:
            del self._stacks[name]
        return value
