"""E_DISPATCHER_STATUS and how subscribers get it (semantics section 7, decision 20)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ds_farm.dispatch.model import State
from ds_farm.dispatch.state import REASON_TEXTS, Reason

DISPATCHER_STATUS = "E_DISPATCHER_STATUS"
EVENTS = (DISPATCHER_STATUS,)
"""What can be subscribed to; an event's id is its place here."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event with its parameters, by name or only by place, in their order."""

    name: str
    params: Mapping[str, object] | Sequence[object]


def state_changed(partition: str, group: int, address: str, state: State, reason: Reason) -> Event:
    """A destination has another state (decision 20: probing reports inactive)."""
    return Event(
        DISPATCHER_STATUS,
        {
            "partition": partition,
            "group": group,
            "address": address,
            "status": "active" if state is State.ACTIVE else "inactive",
            "state": state.name.lower(),
            "reason": REASON_TEXTS[reason],
        },
    )


def encode_json(event: Event) -> bytes:
    """As of OpenSIPS 4.0: a JSON-RPC notification without a newline."""
    params = event.params if isinstance(event.params, Mapping) else list(event.params)
    body = {"jsonrpc": "2.0", "method": event.name, "params": params}
    return json.dumps(body, separators=(",", ":")).encode()


def encode_line(event: Event) -> bytes:
    """As of OpenSIPS 2.1: a line for the name, one for each parameter, an empty one."""
    params = event.params
    pairs = params.items() if isinstance(params, Mapping) else (("", value) for value in params)
    lines = [event.name, *(_line(name, value) for name, value in pairs), "", ""]
    return "\n".join(lines).encode(errors="replace")


def _line(name: str, value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if "\n" in text:
        text = '"' + text.replace('"', '\\"') + '"'
    return f"{name}::{text}" if name else text
