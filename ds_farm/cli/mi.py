"""``ds-farm mi``: the commands of the management interface of a running farm."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ds_farm.cli.options import (
    CONFIG_NAME,
    NOT_REACHABLE,
    REFUSED,
    FarmConfigOption,
    UrlOption,
    load_config,
    refuse,
)

Json = Any
TAKES_A_LIST = {f"{verb}_statistics" for verb in ("get", "list", "reset")}
TAKES_A_LIST |= {f"statistics:{verb}" for verb in ("get", "list", "reset")}
"""Commands whose arguments are names, any number of them."""

MOST_REPLY_BYTES = 64 << 20
TIMEOUT_S = 20.0


def mi(
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="Such as ds_list; try which.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGUMENT]...", help="By place, or all of them as name=value."),
    ] = None,
    config: FarmConfigOption = Path(CONFIG_NAME),
    url: UrlOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run a command of the management interface, as opensips-cli does.

    It goes to mi.http of the configuration, with mi.http_token if there is one.
    'ds-farm mi ds_list' shows destinations, 'ds-farm mi ds_set_state i 1 sip:192.0.2.1' takes one
    out, 'ds-farm mi which' names all commands.
    """
    address, token = find_address(config, url, "mi")
    answer = ask(address, token, command, _params(arguments or []))
    refuse_error(command, answer)
    result = answer.get("result")
    if as_json:
        json.dump(result, sys.stdout, indent=2)
        print()
    else:
        with as_expected(address):
            _show(result)


def find_address(config: Path, url: str | None, command: str) -> tuple[str, str | None]:
    """MI address and token: ``url`` if given, else mi.http of ``config``; exits if that is off."""
    token = None
    if url is None or config.exists():
        settings = load_config(config).mi
        token = settings.http_token
        if url is None:
            if settings.http is None:
                refuse(f"{config}: mi.http is off, so 'ds-farm {command}' has no way to the farm")
            url = f"http://{settings.http}/mi"
    return url, token


def refuse_error(command: str, answer: Json) -> None:
    """Exit with the farm's reason if ``answer`` is an error."""
    error = answer.get("error")
    if isinstance(error, dict):
        data = f" ({error['data']})" if error.get("data") else ""
        refuse(f"{command}: {error.get('code')} {error.get('message')}{data}")


def _params(arguments: list[str]) -> Json:
    """By name if each has the form name=value, as opensips-cli takes it; else by place."""
    pairs = [text.partition("=") for text in arguments]
    if pairs and all(equals and name.isidentifier() for name, equals, _ in pairs):
        return {name: value for name, _, value in pairs}
    return arguments


def ask(url: str, token: str | None, method: str, params: Json) -> Json:
    """The farm's JSON-RPC reply; exits as not reachable if there is none."""
    import http.client  # noqa: PLC0415 - keeps `--help` quick
    import urllib.error  # noqa: PLC0415 - the same
    import urllib.request  # noqa: PLC0415 - the same

    if method in TAKES_A_LIST:
        params = [params] if isinstance(params, list) else params
    body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        request = urllib.request.Request(url, body.encode(), headers)
        opener = urllib.request.OpenerDirector()  # no proxies, no redirects: the token stays here
        for handler in (
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.UnknownHandler(),
        ):
            opener.add_handler(handler)
        with opener.open(request, timeout=TIMEOUT_S) as reply:
            answer = json.loads(reply.read(MOST_REPLY_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(200).decode(errors="replace").strip()
        is_refusal = error.code in (401, 403)
        refuse(f"{url}: HTTP {error.code}: {text}", REFUSED if is_refusal else NOT_REACHABLE)
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        refuse(f"no farm answers at {url}: {reason}", NOT_REACHABLE)
    has_error = isinstance(answer, dict) and isinstance(answer.get("error"), dict)
    if not has_error and not (isinstance(answer, dict) and "result" in answer):
        _refuse_answer(url)
    return answer


@contextlib.contextmanager
def as_expected(url: str) -> Iterator[None]:
    """Exit if what came from there has another form than a farm's."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError):
        _refuse_answer(url)


def _refuse_answer(url: str) -> NoReturn:
    refuse(f"{url}: that is no reply of a farm's management interface", NOT_REACHABLE)


def _show(result: Json) -> None:
    """As tables where there are rows, else as lines."""
    if isinstance(result, dict) and "PARTITIONS" in result:
        _print_table(_destinations(result))
    elif (isinstance(result, dict) and (rows := _subscribers(result))) or (
        isinstance(result, dict) and (rows := _rows(result))
    ):
        _print_table(rows)
    elif isinstance(result, dict):
        for name, value in result.items():
            print(f"{name}: {value if isinstance(value, (str, int)) else json.dumps(value)}")
    else:
        for line in result if isinstance(result, list) else [result]:
            print(line if isinstance(line, str) else json.dumps(line))


def _rows(result: dict[str, Json]) -> list[dict[str, Json]]:
    """The rows of ``{"Processes": [...]}`` and the like."""
    values = list(result.values())
    if len(values) == 1 and isinstance(values[0], list):
        return [row for row in values[0] if isinstance(row, dict)]
    return []


def _subscribers(result: dict[str, Json]) -> list[dict[str, Json]]:
    """subscribers_list, a row for each subscriber of each event."""
    events = [result["Event"]] if "Event" in result else result.get("Events", ())
    return [
        {"event": event["name"], **one}
        for event in events
        for one in event.get("subscribers", [event["Subscriber"]] if "Subscriber" in event else ())
    ]


def _destinations(result: dict[str, Json]) -> list[dict[str, Json]]:
    """ds_list, a row for each destination, by set."""
    return [
        {
            "partition": partition["name"],
            "set": one["id"],
            "URI": destination["URI"],
            **{name: value for name, value in destination.items() if name != "URI"},
        }
        for partition in result["PARTITIONS"]
        for one in sorted(partition.get("SETS", ()), key=lambda one: int(one["id"]))
        for destination in one["Destinations"]
    ]


def _print_table(rows: list[dict[str, Json]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - Rich, for this command alone
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name, ""))) for name in names))
    console = Console()
    # A pipe gets whole lines, whatever their length.
    (console if console.is_terminal else Console(width=200)).print(table)


def _cell(value: Json) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
