"""The commented file of `ds-farm init`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ds_farm.config import Config, load
from ds_farm.config.template import render, toml_value


def test_it_loads_to_what_is_set_and_defaults_else(tmp_path: Path) -> None:
    file = tmp_path / "ds_farm.toml"
    values: dict[str, dict[str, object]] = {
        "farm": {"socket": ["udp:127.0.0.1:5070"], "name": "x"},
        "dispatcher": {"db_url": "sqlite:////f"},
    }
    file.write_text(render(values))
    loaded = load(file, for_run=True)
    assert dict(loaded) == dict(Config.model_validate(values))


def test_uncommenting_any_line_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ds_farm.toml"
    # Without a db_url any other parameter of the default partition would be a mistake.
    text = render({"dispatcher": {"db_url": "sqlite:////f"}})
    file.write_text(text)
    plain = load(file)
    uncommented, count = re.subn(r"(?m)^# ([a-z_]+ = )", r"\1", text)
    file.write_text(uncommented)
    assert dict(load(file)) == dict(plain)
    assert count == sum(map(len, tomllib.loads(uncommented).values())) - 1


def test_every_key_has_a_line_and_a_description() -> None:
    text = render({})
    for section in ("farm", "route", "dispatcher", "metrics", "mi", "log"):
        model = Config.model_fields[section].annotation
        assert model is not None
        for name, field in model.model_fields.items():
            assert field.description, name
            if name != "partitions":
                assert f"# {field.serialization_alias or name} = " in text


def test_values_are_toml() -> None:
    for value in ("a", 'quote " back \\ slash', "line\nbreak \x7f", 3, 1.5, ["a", "b"], []):
        assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value
