"""The pure twins of compiled modules: the same source, run by the interpreter.

A pure-mode module that imports another one gets that one's twin.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
MODULES = (
    "ds_farm.sip._text",
    "ds_farm.sip._scan",
    "ds_farm.sip._via",
    "ds_farm.sip._uri",
    "ds_farm.sip._auth",
    "ds_farm.sip._branch",
    "ds_farm.dispatch._hash",
    "ds_farm.dispatch._select",
)
"""Every module in pure-Python mode, imported ones first."""

_twins: dict[str, ModuleType] = {}


def pure(name: str) -> ModuleType:
    """The uncompiled twin of a module."""
    if not _twins:
        with _hidden_compiled():
            for each in MODULES:
                _load(each)
    return _twins[name]


def _load(name: str) -> None:
    path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = _twins[name] = module
    spec.loader.exec_module(module)


@contextlib.contextmanager
def _hidden_compiled() -> Iterator[None]:
    compiled = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    try:
        yield
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(compiled)


class Struct:
    """What a C struct is to a pure twin: attributes, 0 until they are set."""

    def __getattr__(self, name: str) -> int:
        return 0
