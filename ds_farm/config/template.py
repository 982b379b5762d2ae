"""The commented configuration file that `ds-farm init` writes, made from the models.

Every key is there with its description.  A key that has no value of its own here stands as a
comment with its default, so uncommenting a line changes nothing.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic.fields import FieldInfo

from ds_farm.config.models import Config
from ds_farm.config.opensips import Endpoint
from ds_farm.config.section import Section

WIDTH = 98
_NO_LINE = ("partitions",)
_LISTS_IN_ONE_TEXT = ("options_reply_codes",)

HEADER = """\
# Configuration of a ds_farm.  'ds-farm check' says what is wrong with it, by line and key.
# Lines that begin with '# key = value' show the default.
"""


def render(values: Mapping[str, Mapping[str, object]]) -> str:
    """The whole file; ``values`` has what is set, by section and key."""
    parts = [HEADER]
    for name, field in Config.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, Section)
        about = (section.__doc__ or "").split("\n\n", 1)[0].partition(": ")[2]
        parts.append(f"\n[{name}]  # {' '.join(about.split())}\n")
        parts.extend(_lines(section, values.get(name, {})))
    return "".join(parts)


def _lines(section: type[Section], values: Mapping[str, object]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if name in _NO_LINE:
            continue
        key = field.serialization_alias or name
        about = textwrap.wrap(field.description or "", WIDTH - 2)
        yield "\n" + "".join(f"# {line}\n" for line in about)
        if key in values:
            yield f"{key} = {toml_value(values[key])}\n"
        else:
            yield f"# {key} = {toml_value(_default(section, name, field))}\n"


def _default(section: type[Section], name: str, field: FieldInfo) -> object:
    if name == "children":  # it follows the machine: the model knows how
        return getattr(section(), name)
    default = field.get_default(call_default_factory=True)
    return "" if name in _LISTS_IN_ONE_TEXT else default


def toml_value(value: object) -> str:
    """A value in TOML; None and "" are the same to the loader."""
    if value is None:
        return '""'
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, dict):
        items = [f"{json.dumps(key)} = {toml_value(item)}" for key, item in value.items()]
        return f"{{ {', '.join(items)} }}" if items else "{}"
    if isinstance(value, (Endpoint, Path)):
        return toml_value(str(value))
    if isinstance(value, str):
        # JSON's escapes are among TOML's; DEL is the one that JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
