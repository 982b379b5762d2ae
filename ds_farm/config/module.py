"""The text of the routing module, read once for all the processes of a farm."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ds_farm.config.models import Config
from ds_farm.errors import ConfigError


def keep_module(config: Config) -> None:
    """Read it now: a worker that comes later runs the same as the others, whatever becomes of the
    file.  Raises ConfigError."""
    if config.route_module is not None and config.module_text is None:
        config._module_text = read_module(config.route_module)


def read_module(path: Path) -> str:
    """A file in Python; its first lines may name its encoding.  Raises ConfigError."""
    if path.suffix != ".py":
        raise ConfigError(f"{path}: a routing module is a file that ends in .py")
    try:
        return importlib.util.decode_source(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such routing module") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: this is not {error.encoding.upper()}") from None
    except SyntaxError as error:
        raise ConfigError(f"{path}: {error.msg}") from None
