"""`ds-farm check`: every mistake is named, with file, line and key where it has them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import database
from tests.support.command import ds_farm
from tests.support.database import Row

GOOD = """\
[farm]
name = "check-test"
children = 2
socket = [
    "udp:127.0.0.1:5060",
    "udp:127.0.0.1:5062",
]

[dispatcher]
db_url = "sqlite:///ds_farm.sqlite"
ds_ping_interval = 30
ds_define_blacklist = "bad = 1"

[route]
set = "1"
"""

ROUTES = """\
import math


def request_route(request):
    request.forward()
"""


@dataclass(frozen=True)
class Mistake:
    """One edit of a good setup, and the line that must name it."""

    named: str
    """A pattern of a whole line of stderr; {dir} is the folder."""

    old: str = ""
    new: str = ""
    routes: str = ""
    rows: list[Row] = field(default_factory=lambda: [Row("sip:192.0.2.1:5060")])
    version: int = 9
    has_database: bool = True


FILE = r"{dir}/ds_farm\.toml"

MISTAKES = {
    "certificate without key": Mistake(
        rf"{FILE}:15: metrics\.tls_cert_file: tls_cert_file and tls_key_file are needed both",
        "[route]",
        '[metrics]\ntls_cert_file = "cert.pem"\n[route]',
    ),
    "certificate is not there": Mistake(
        rf"{FILE}:15: metrics\.tls_cert_file: {{dir}}/cert\.pem: No such file or directory",
        "[route]",
        '[metrics]\ntls_cert_file = "cert.pem"\ntls_key_file = "key.pem"\n[route]',
    ),
    "password that is no hash": Mistake(
        rf"{FILE}:15: metrics\.basic_auth_users: of user 'prometheus': no bcrypt hash, expected .*",
        "[route]",
        '[metrics]\nbasic_auth_users = { prometheus = "secret" }\n[route]',
    ),
    "fifo in a folder that is not there": Mistake(
        rf"{FILE}:15: mi\.fifo: there is no folder {{dir}}/nowhere",
        "[route]",
        '[mi]\nfifo = "nowhere/fifo"\n[route]',
    ),
    "Unix socket in a folder that is not there": Mistake(
        rf"{FILE}:15: mi\.datagram\[0\]: there is no folder /nowhere",
        "[route]",
        '[mi]\ndatagram = "unix:/nowhere/socket"\n[route]',
    ),
    "not TOML": Mistake(rf"{FILE}:3: not TOML: .*", "children = 2", "children = "),
    "unknown key": Mistake(
        rf"{FILE}:11: dispatcher\.ds_ping_intervall: unknown key, "
        r"did you mean dispatcher\.ds_ping_interval\?",
        "ds_ping_interval",
        "ds_ping_intervall",
    ),
    "unknown section": Mistake(
        rf"{FILE}:14: routes: unknown section, did you mean route\?", "[route]", "[routes]"
    ),
    "key in the wrong section": Mistake(
        rf"{FILE}:15: route\.children: unknown key, did you mean farm\.children\?",
        'set = "1"',
        "children = 3",
    ),
    "wrong type": Mistake(
        rf"{FILE}:3: farm\.children: got '2' \(text\), expected a whole number from 1 to 1024",
        "children = 2",
        'children = "2"',
    ),
    "out of range": Mistake(
        rf"{FILE}:11: dispatcher\.ds_ping_interval: got -1 \(a whole number\), "
        r"expected a number from 0 to 86400",
        "ds_ping_interval = 30",
        "ds_ping_interval = -1",
    ),
    "socket of an unsupported protocol": Mistake(
        rf"{FILE}:6: farm\.socket\[1\]: only udp sockets are supported so far, got 'tls'",
        "udp:127.0.0.1:5062",
        "tls:127.0.0.1:5062",
    ),
    "socket on every address": Mistake(
        rf"{FILE}:5: farm\.socket\[0\]: '0\.0\.0\.0:5060' listens on every address, .*",
        "udp:127.0.0.1:5060",
        "0.0.0.0:5060",
    ),
    "no socket": Mistake(
        rf"{FILE}:4: farm\.socket: nothing to listen on, .*",
        '[\n    "udp:127.0.0.1:5060",\n    "udp:127.0.0.1:5062",\n]',
        "[]",
    ),
    "blacklist syntax": Mistake(
        rf"{FILE}:12: dispatcher\.ds_define_blacklist\[0\]: expected set ids such as 1,4,3, .*",
        "bad = 1",
        "bad = one",
    ),
    "partition line": Mistake(
        rf"{FILE}:12: dispatcher\.partition\[0\]: partition 'p' has the unknown key 'dburl', "
        r"did you mean db_url\?",
        'ds_define_blacklist = "bad = 1"',
        'partition = "p : dburl=x"',
    ),
    "more children than the ceiling": Mistake(
        rf"{FILE}:3: farm\.children: children = 2 is more than max_children = 1",
        "children = 2",
        "children = 2\nmax_children = 1",
    ),
    "unknown user": Mistake(
        rf"{FILE}:4: farm\.user: there is no user 'no-such-user' on this host",
        "children = 2",
        'children = 2\nuser = "no-such-user"',
    ),
    "unknown group": Mistake(
        rf"{FILE}:4: farm\.group: there is no group 'no-such-group' on this host",
        "children = 2",
        'children = 2\ngroup = "no-such-group"',
    ),
    "unequal lists": Mistake(
        rf"{FILE}:15: route\.set: 2 sets in '1,2', but 1 algorithms in '4'",
        'set = "1"',
        'set = "1,2"',
    ),
    "unknown variable": Mistake(
        rf"{FILE}:11: dispatcher\.hash_pvar: unknown variable '\$nonsense'.*",
        "ds_ping_interval = 30",
        'hash_pvar = "$nonsense"',
    ),
    "set that the database does not have": Mistake(
        rf"{FILE}:15: route\.set: partition 'default' has no set 3, only 1",
        'set = "1"',
        'set = "3"',
    ),
    "routing module with a syntax error": Mistake(
        r"{dir}/routes\.py:5: .*",
        routes=ROUTES.replace("request.forward()", "request.forward("),
    ),
    "routing module that raises": Mistake(
        r"{dir}/routes\.py:1: ModuleNotFoundError: No module named 'no_such_module'",
        routes=ROUTES.replace("math", "no_such_module"),
    ),
    "routing module without its function": Mistake(
        r"{dir}/routes\.py: .* request_route.*",
        routes=ROUTES.replace("request_route", "route_request"),
    ),
    "routing function that cannot take a request": Mistake(
        r"{dir}/routes\.py:4: request_route is called with one argument: missing .* 'other'",
        routes=ROUTES.replace("(request)", "(request, other)"),
    ),
    "routing module that exits": Mistake(
        r"{dir}/routes\.py:2: SystemExit: 3",
        routes=ROUTES.replace("math", "sys\nsys.exit(3)"),
    ),
    "routing module that ends the process": Mistake(
        r"{dir}/routes\.py: the module ends the process when it is loaded \(exit code 0\)",
        routes=ROUTES.replace("math", "os\nos._exit(0)"),
    ),
    "routing module that crashes": Mistake(
        r"{dir}/routes\.py: the module ends the process .* \(signal 11, Segmentation fault\)",
        routes=ROUTES.replace("math", "os\nos.kill(os.getpid(), 11)"),
    ),
    "routing module that hangs": Mistake(
        r"{dir}/routes\.py: the module is not loaded after 2 s \(farm\.hang_timeout_s\)",
        "children = 2",
        "children = 2\nhang_timeout_s = 2",
        routes=ROUTES.replace("math", "time\ntime.sleep(1000)"),
    ),
    "database that is not there": Mistake(
        r"partition 'default': sqlite:///{dir}/ds_farm\.sqlite: there is no such file; .*",
        has_database=False,
    ),
    "table of another version": Mistake(
        r".* table 'dispatcher' has version 6, this ds_farm reads versions 7, 8 and 9", version=6
    ),
    "bad row": Mistake(
        r"partition 'default': table 'dispatcher', id 2: weight -1 is not in 0\.\.65535",
        rows=[Row("sip:192.0.2.1"), Row("sip:192.0.2.2", weight=-1)],
    ),
}


def _setup(folder: Path, mistake: Mistake) -> Path:
    text = GOOD.replace(mistake.old, mistake.new)
    if mistake.routes:
        text = text.replace("[farm]", '[farm]\nroute_module = "routes.py"')
        (folder / "routes.py").write_text(mistake.routes)
    if mistake.has_database:
        database.write(folder / "ds_farm.sqlite", mistake.rows)
        database.set_version(folder / "ds_farm.sqlite", mistake.version)
    config = folder / "ds_farm.toml"
    config.write_text(text)
    return config


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, name: str) -> None:
    mistake = MISTAKES[name]
    assert mistake.old in GOOD
    found = ds_farm("check", "-c", _setup(tmp_path, mistake), cwd=tmp_path)
    assert found.returncode == 1, found
    assert found.stdout == ""
    pattern = mistake.named.replace("{dir}", re.escape(str(tmp_path)))
    lines = [line for line in found.stderr.splitlines() if re.fullmatch(pattern, line)]
    assert len(lines) == 1, found.stderr
    assert "Traceback" not in found.stderr


def test_a_good_setup_is_summed_up(tmp_path: Path) -> None:
    config = _setup(tmp_path, Mistake("", routes=ROUTES))
    found = ds_farm("check", "-c", config, cwd=tmp_path)
    assert found.returncode == 0, found
    assert found.stderr == ""
    assert f"routing module {tmp_path}/routes.py" in found.stdout
    assert "1 destinations in 1 sets, table version 9" in found.stdout


def test_a_folder_that_may_come_is_a_warning(tmp_path: Path) -> None:
    keys = '[mi]\nfifo = "/run/nowhere/fifo"\nfifo_reply_dir = "nowhere"\n[route]'
    found = ds_farm("check", "-c", _setup(tmp_path, Mistake("", "[route]", keys)), cwd=tmp_path)
    assert found.returncode == 0, found
    assert found.stderr.splitlines() == [
        f"warning: {tmp_path}/ds_farm.toml:16: mi.fifo_reply_dir: there is no folder "
        f"{tmp_path}/nowhere: no reply gets to a client",
        f"warning: {tmp_path}/ds_farm.toml:15: mi.fifo: there is no folder /run/nowhere",
    ]


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    mistake = Mistake(
        "",
        'set = "1"',
        'set = "8"',
        rows=[Row(""), Row("sip:a"), Row("sip:b", state=9), Row("sip:c", socket="x:y:z")],
    )
    found = ds_farm("check", "-c", _setup(tmp_path, mistake), cwd=tmp_path)
    assert found.returncode == 1
    lines = found.stderr.splitlines()
    assert [line for line in lines if "id 1" in line and "destination is empty" in line]
    assert [line for line in lines if "id 3" in line and "unknown state 9" in line]
    assert [line for line in lines if line.startswith("warning: ") and "id 4" in line]
    assert [line for line in lines if "has no set 8, only 1" in line]
    assert lines[-1] == "3 problems found"


def test_what_a_routing_module_prints_is_no_data(tmp_path: Path) -> None:
    config = _setup(tmp_path, Mistake("", routes=ROUTES + "print('hello')\nraise SystemExit\n"))
    found = ds_farm("check", "-c", config, cwd=tmp_path)
    assert found.returncode == 1
    assert "routes.py:7: SystemExit" in found.stderr
    assert found.stdout == ""


def test_no_password_is_shown(tmp_path: Path) -> None:
    mistake = Mistake("", "sqlite:///ds_farm.sqlite", "mysql://u:secret@127.0.0.1:1/d")
    found = ds_farm("check", "-c", _setup(tmp_path, mistake), cwd=tmp_path)
    assert found.returncode == 1
    assert "Can't connect" in found.stderr
    assert "secret" not in found.stderr + found.stdout
