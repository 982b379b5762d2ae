"""Whether a routing module can be used: it compiles, its top level runs, it has `request_route`.

It is run as the farm would run it, in this process; whatever it raises is a finding with its line.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from pathlib import Path

ENTRY = "request_route"


class RouteFileError(Exception):
    """What is wrong, with file and line."""


def check_file(path: Path) -> None:
    """Compile and import a routing module.  Raises RouteFileError."""
    try:
        compile(path.read_bytes(), str(path), "exec")
    except OSError as error:
        raise RouteFileError(f"{path}: {error.strerror}") from None
    except SyntaxError as error:
        raise RouteFileError(
            f"{path}:{error.lineno}: {type(error).__name__}: {error.msg}"
        ) from None
    except ValueError as error:  # null bytes
        raise RouteFileError(f"{path}: {error}") from None
    spec = importlib.util.spec_from_file_location("ds_farm_routes", path)
    if spec is None or spec.loader is None:
        raise RouteFileError(f"{path}: not a Python file, expected a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit included: a farm would not survive it either
        raise RouteFileError(_where(path, error)) from None
    entry = getattr(module, ENTRY, None)
    if not callable(entry):
        what = "defines no" if entry is None else "has something that cannot be called as"
        raise RouteFileError(f"{path}: {what} {ENTRY}(request)")


def _where(path: Path, error: BaseException) -> str:
    """The innermost line of the module itself that led to the exception."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    text = f"{type(error).__name__}: {error}".strip().removesuffix(":")
    return f"{path}:{lines[-1]}: {text}" if lines else f"{path}: {text}"
