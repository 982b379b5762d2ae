"""The pages docs/configuration.md and docs/metrics.md, rendered from what the farm itself uses.

``python -m ds_farm.reference configuration`` (or ``metrics``) prints one; `make docs` writes both,
and tests/test_reference.py holds them in step.  The words are those of `ds_farm.config.models` and
`ds_farm.metrics`; what stands here is only what neither of them says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

from ds_farm import metrics
from ds_farm.config.dispatcher import PartitionTable
from ds_farm.config.models import Config
from ds_farm.config.section import Section
from ds_farm.config.template import toml_value

_HEAD = "<!-- Made by `make docs`; do not edit. -->\n\n"

_CONFIGURATION = """\
# Configuration

One TOML file, `ds_farm.toml` by default. `ds-farm init` writes it with every key and its meaning,
`ds-farm check` names every mistake with file, line and key. `--set section.key=value` puts a value
in place of the file's for one start.

- An unknown key is an error that names the nearest known one. Nothing is converted silently: a
  number where text is expected is an error too.
- `""` means "not set", as OpenSIPS's NULL.
- A relative path, also that of an SQLite file, is taken from the folder of the configuration.
- Keys of `[dispatcher]` are OpenSIPS's parameters with their documented names and defaults; the
  number behind the meaning is the section of the module's documentation.
- The file is read at the start. HUP reloads destinations, not the configuration.
"""

_PARTITIONS = """
## Partitions

A partition has its own values of the eight parameters {keys}. It is written as a line, as in
OpenSIPS, or as a table; a partition that is described twice is one partition.

```toml
[dispatcher]
db_url = "mysql://opensips:secret@db.example/opensips"
partition = ["part2 : table_name = ds_table; ds_define_blacklist = list2 = 4,6"]

[dispatcher.partitions.part3]
db_url = "sqlite:////var/lib/ds_farm/part3.sqlite"
```

The parameters in `[dispatcher]` itself are those of the partition `default`, which exists if one of
the eight is set there. What another partition leaves out it takes from `default`; in AVP names
`_<partition>` goes before the closing parenthesis (`$avp(ds_dst_failover_part2)`). Blacklists are
not inherited. All other keys of `[dispatcher]` hold for every partition.
"""

_METRICS = """\
# Metrics

What `GET /metrics` of the exporter serves (`[metrics] listen`), read from the shared segment: a
scrape does not touch the workers. Names and labels are those of `ds_farm/metrics.py`. Series of a
destination exist with 0 as soon as a table names it, and end with the table that does not. A
destination that stands in its set twice is one series.

`GET /healthz` answers 200 while the exporter serves, `GET /readyz` 200 once there is a table and a
running worker, else 503 with the reason.
"""


def configuration() -> str:
    """docs/configuration.md."""
    parts = [_HEAD, _CONFIGURATION]
    for name, field in Config.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, Section)
        about = " ".join((section.__doc__ or "").split("\n\n", 1)[0].partition(": ")[2].split())
        parts.append(f"\n## [{name}]\n\n{about[:1].upper()}{about[1:]}\n\n")
        parts.append(_table(("key", "default", "meaning"), _keys(section)))
    keys = ", ".join(f"`{key}`" for key in PartitionTable.model_fields)
    parts.append(_PARTITIONS.format(keys=keys))
    return "".join(parts)


def metric_list() -> str:
    """docs/metrics.md."""
    rows = (
        (
            f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        )
        for metric in metrics.METRICS
    )
    return _HEAD + _METRICS + "\n" + _table(("metric", "type", "labels", "what it says"), rows)


def _keys(section: type[Section]) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        key = field.serialization_alias or name
        default = _default(name, field.get_default(call_default_factory=True))
        yield f"`{key}`", default, field.description or ""


def _default(name: str, value: object) -> str:
    if name == "children":  # follows the machine, so no number is right on every page
        return "number of CPUs"
    if value in (None, (), {}, ""):
        return ""
    return f"`{toml_value(value)}`"


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines
    )


PAGES: dict[str, Callable[[], str]] = {"configuration": configuration, "metrics": metric_list}
"""Name of a page, which is also that of its file in docs/."""


def main(arguments: Sequence[str]) -> int:
    """Print the page that is named; 2 if there is no such page."""
    if len(arguments) != 1 or arguments[0] not in PAGES:
        print(f"usage: python -m ds_farm.reference {'|'.join(PAGES)}", file=sys.stderr)
        return 2
    sys.stdout.write(PAGES[arguments[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
