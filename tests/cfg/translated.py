"""A script's text, translated and run on one message, without sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ds_farm.cfg import ScriptProblems, Translation, translate
from ds_farm.script.module import Routes, load_routes
from tests.support.message import Draft
from tests.support.request import Script, Sent

MODULES = (
    *("sl", "signaling", "tm", "rr", "maxfwd", "sipmsgops", "textops", "uri", "avpops"),
    *("cfgutils", "dispatcher"),
)
HEAD = "".join(f'loadmodule "{module}.so"\n' for module in MODULES)


def translation(folder: Path, text: str, head: str = HEAD) -> Translation:
    path = folder / "script.cfg"
    path.write_text(head + text)
    return translate(path)


def problems(folder: Path, text: str, head: str = "") -> list[tuple[int, int, str]]:
    """Line, column and text of each mistake."""
    with pytest.raises(ScriptProblems) as caught:
        translation(folder, text, head)
    assert all(str(one).startswith(str(one.file)) for one in caught.value.problems)
    return [(one.line, one.column, one.text) for one in caught.value.problems]


def routes_of(folder: Path, text: str) -> Routes:
    """``text`` is a whole script, or the inside of its route."""
    whole = text if "route" in text.split("{")[0] else f"route {{\n{text}\n}}\n"
    made = translation(folder, whole)
    return load_routes(folder / "script.cfg", made.module)


def run(
    folder: Path,
    text: str,
    message: Draft | None = None,
    sets: Mapping[int, Sequence[str]] | None = None,
) -> list[Sent]:
    """What is sent for a message, of a farm with transactions."""
    routes = routes_of(folder, text)
    with Script(sets or {1: ["sip:192.0.2.1"]}, routes=routes.named) as script:
        return script.route(routes.request_route, message or script.message("INVITE"))[1]


def says(folder: Path, expression: str, message: Draft | None = None, before: str = "") -> str:
    """The value of a text of a script: what it answers with."""
    text = f'{before}\n$avp(said) = {expression};\nsl_send_reply("299", "<$avp(said)>");'
    sent = run(folder, text, message)
    first = sent[-1][0].split(b"\r\n")[0].decode()
    assert first.startswith("SIP/2.0 299 <"), first
    return first.removeprefix("SIP/2.0 299 <").removesuffix(">")
