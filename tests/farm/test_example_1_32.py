"""The documentation's examples as scripts: 1.32 unmodified, the others inside a small one."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ds_farm.config import Config, load
from ds_farm.script.module import load_routes
from tests.farm.example_1_32 import SCRIPT
from tests.support.alone import alone
from tests.support.request import Script

ROOT = Path(__file__).parents[2]
EXAMPLES: dict[str, list[list[str | int]]] = {
    example["number"]: example["modparams"]
    for example in tomllib.loads(
        (ROOT / "tests/data/opensips/examples.toml").read_text(encoding="utf-8")
    )["example"]
}

SMALL = """
listen=udp:127.0.0.1:5060
loadmodule "sl.so"
loadmodule "dispatcher.so"
modparam("dispatcher", "db_url", "sqlite:///a.sqlite")
{}
route {{
{}
}}
"""

CALLS = {
    "1.29": """
ds_select_dst("1", "0");
ds_select_dst("part2 : 1", "0", "5");
ds_select_dst("part3 : 1", "0", "fUsD");
ds_select_dst("part4 : 2,3", "0,1", "fuD M 5, fuS M 2");
$var(part_name) = "p4";
$var(setid) = 1;
$var(alg) = "0";
$var(flags) = "f";
ds_select_dst("$var(part_name):$var(setid)","$var(alg)","$var(flags)");
""",
    "1.30": """
if (ds_count("1", "a", "$avp(result)")) {
    xlog("$avp(result)");
}
$avp(partition) = "default";
$avp(set) = 1;
if (ds_count("$avp(partition) : $avp(set)", "ip", "$avp(result)")) {
    xlog("$avp(result)");
}
""",
    "1.31": """
if (ds_is_in_list("$si", "$sp")) {
    xlog("in some set");
}
if (ds_is_in_list("$rd", "$rp", "2")) {
    xlog("in set 2");
}
if (ds_is_in_list("$rd", "$rp", "part2:2")) {
    xlog("in set 2 of part2");
}
""",
}


def test_example_1_32_unmodified(tmp_path: Path) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m tests.farm.example_1_32 {tmp_path}"
    done = subprocess.run(
        alone(command), cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_example_1_32_is_that_of_the_documentation() -> None:
    text = SCRIPT.read_text()
    assert text.startswith("#\n# $Id$\n# sample config file for dispatcher module\n#\n\ndebug=9 ")
    assert "mysql://opensips:opensipsrw@localhost/opensips" in text
    assert text.endswith("\tt_relay();\n}\n")


def settings_of(folder: Path, modparams: list[list[str | int]]) -> Config:
    lines = [f'modparam("dispatcher", "{name}", {json.dumps(value)})' for name, value in modparams]
    path = folder / "small.cfg"
    path.write_text(SMALL.format("\n".join(lines), "forward();"))
    return load(path)


@pytest.mark.parametrize("number", EXAMPLES)
def test_examples_of_parameters(tmp_path: Path, number: str) -> None:
    """The same that ds_farm.toml gives, which test_documentation_examples.py looks at."""
    found = settings_of(tmp_path, EXAMPLES[number]).dispatcher
    values: dict[str, list[str | int]] = {"db_url": ["sqlite:///a.sqlite"]}
    for name, value in EXAMPLES[number]:
        values.setdefault(str(name), []).append(value)
        if name == "db_url":
            values["db_url"] = [value]
    lines = [
        f"{name} = {json.dumps(each if len(each) > 1 else each[0])}"
        for name, each in values.items()
    ]
    toml = tmp_path / "same.toml"
    toml.write_text("\n".join(["[dispatcher]", *lines, ""]))
    assert found == load(toml).dispatcher


@pytest.mark.parametrize("number", CALLS)
def test_examples_of_calls(tmp_path: Path, number: str) -> None:
    path = tmp_path / "small.cfg"
    partitions = "\n".join(
        f'modparam("dispatcher", "partition", "{name}: db_url=sqlite:///{name}.sqlite")'
        for name in ("part2", "part3", "part4")
    )
    path.write_text(SMALL.format(partitions, CALLS[number] + 'sl_send_reply("200", "OK");'))
    config = load(path, for_run=True)
    assert config.route_module is not None
    routes = load_routes(config.route_module, config.module_text)
    with Script({1: ["sip:192.0.2.1"], 2: ["sip:192.0.2.2"]}) as script:
        sent = script.route(routes.request_route)[1]
        assert re.match(rb"SIP/2\.0 200 OK\r\n", sent[-1][0])
