"""``ds-farm children``: how many SIP workers a running farm has, and another number for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ds_farm.cli.mi import as_expected, ask, find_address, refuse_error
from ds_farm.cli.options import CONFIG_NAME, FarmConfigOption, UrlOption, refuse

WAIT_S = 15.0
TURN_S = 0.05


def children(
    count: Annotated[
        int | None, typer.Argument(min=1, metavar="[N]", help="Have so many from now on.")
    ] = None,
    config: FarmConfigOption = Path(CONFIG_NAME),
    url: UrlOption = None,
) -> None:
    """Show how many SIP workers a running farm has, or give it another number while calls flow.

    It holds until the next start; farm.children of the configuration is for good. A worker that
    goes serves its calls to their end. docs/operations.md says how many are enough.
    """
    address, token = find_address(config, url, "children")

    def call(params: dict[str, int]) -> Any:
        answer = ask(address, token, "children", params)
        refuse_error("children", answer)
        return answer.get("result")

    with as_expected(address):
        before = call({})
        if count is None:
            print(
                f"{before['Workers']} workers, configured {before['Configured']}, "
                f"at most {before['Most']}"
            )
            return
        call({"count": count})
        until_s = time.monotonic() + WAIT_S
        now = call({})
        while now["Workers"] != now["Asked"] and time.monotonic() < until_s:
            time.sleep(TURN_S)
            now = call({})
        if now["Workers"] != count:
            refuse(f"{now['Workers']} workers instead of {count}: the farm's log says why")
        print(f"{before['Workers']} -> {now['Workers']} workers")
