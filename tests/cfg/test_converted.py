"""``ds-farm convert`` writes what ``ds-farm run -f`` runs: the same messages, byte for byte."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ds_farm.config import Config, load
from ds_farm.script.module import load_routes
from tests.support.command import ds_farm
from tests.support.message import Draft
from tests.support.request import Script, Sent

SCRIPTS = sorted((Path(__file__).parents[1] / "data" / "scripts").glob("*.cfg"))
SETS = {n: [f"sip:192.0.2.{n}{i}" for i in range(3)] for n in (1, 2, 3)}


def messages(script: Script) -> list[Draft]:
    made = [script.message(method) for method in ("INVITE", "OPTIONS", "REGISTER", "MESSAGE")]
    made += [script.message("INVITE", f"sip:{user}@example.com") for user in ("0049", "0301", "12")]
    made.append(script.message("INVITE").set("Max-Forwards", "0"))
    made.append(script.message("BYE").set("To", "<sip:b@example.com>;tag=x"))
    made.append(script.message("ACK").set("To", "<sip:b@example.com>;tag=x"))
    made.append(script.message("INVITE").add("X-Tenant", "a"))
    made.append(script.message("OPTIONS", "sip:127.0.0.1:5060"))
    return made


def keyless(sent: list[Sent]) -> list[tuple[bytes, str, int, int]]:
    """Without what is made with the secret of a segment: branches and tags of ours."""
    return [
        (re.sub(rb"[0-9a-f]{16}(\.[0-9a-f]{16})?", b"KEY", data), ip, port, number)
        for data, ip, port, number in sent
    ]


def sent_by(config: Config) -> list[list[Sent]]:
    assert config.route_module is not None
    routes = load_routes(config.route_module, config.module_text)
    with Script(SETS, routes=routes.named) as script:
        return [
            keyless(script.route(routes.request_route, message)[1]) for message in messages(script)
        ]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_same_messages(tmp_path: Path, path: Path) -> None:
    path = Path(shutil.copy(path, tmp_path))
    shutil.copy(SCRIPTS[0].with_name("common.inc"), tmp_path)
    done = ds_farm("convert", path, "-o", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done
    script, converted = load(path, for_run=True), load(tmp_path / "ds_farm.toml", for_run=True)
    assert script.module_text == (tmp_path / "routes.py").read_text()
    for section in Config.model_fields:
        mine, theirs = getattr(script, section), getattr(converted, section)
        keys = {key for key in type(mine).model_fields if key != "route_module"}
        assert {key: getattr(mine, key) for key in keys} == {
            key: getattr(theirs, key) for key in keys
        }
    found = sent_by(script)
    assert found == sent_by(converted)
    assert any(found), "it sends something"


def test_convert_keeps_what_exists(tmp_path: Path) -> None:
    (tmp_path / "routes.py").write_text("# mine\n")
    done = ds_farm("convert", SCRIPTS[0], "-o", tmp_path, cwd=tmp_path)
    assert done.returncode == 0
    assert f"kept     {tmp_path}/routes.py" in done.stdout
    assert (tmp_path / "routes.py").read_text() == "# mine\n"
    ds_farm("convert", SCRIPTS[0], "-o", tmp_path, "--force", cwd=tmp_path)
    assert "def request_route" in (tmp_path / "routes.py").read_text()


def test_a_script_with_mistakes_is_not_converted(tmp_path: Path) -> None:
    (tmp_path / "bad.cfg").write_text("route {\n  frob();\n}\n")
    done = ds_farm("convert", "bad.cfg", "-o", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("bad.cfg:2:3: there is no function frob() here\n")
    assert not (tmp_path / "out").exists()


def test_check_of_a_script(tmp_path: Path) -> None:
    text = (
        "listen=udp:127.0.0.1:5060\nfork=no\nloadmodule \"dispatcher.so\"\n"
        'modparam("dispatcher", "db_url", "text:///nowhere/at-all")\n'
        'modparam("dispatcher", "ds_ping_interval", "often")\n'
        "route { forward(); }\n"
    )  # fmt: skip
    (tmp_path / "a.cfg").write_text(text)
    found = ds_farm("check", "-f", "a.cfg", cwd=tmp_path)
    assert found.returncode == 1
    assert re.search(r"^a\.cfg:5:\d+: ds_ping_interval: got 'often' \(text\)", found.stderr)
    (tmp_path / "a.cfg").write_text(text.replace('"often"', "5"))
    found = ds_farm("check", "-f", "a.cfg", cwd=tmp_path)
    assert "warning: a.cfg:2: fork means nothing here" in found.stderr
    assert "/nowhere/at-all" in found.stderr


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    found = ds_farm("check", "-f", "none.cfg", cwd=tmp_path)
    assert (found.returncode, found.stderr) == (1, "none.cfg: No such file or directory\n")
    assert "ds-farm init" in ds_farm("check", "-f", "none.toml", cwd=tmp_path).stderr
