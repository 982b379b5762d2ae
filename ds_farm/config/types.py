"""Types of configuration values: what TOML holds becomes what the farm works with.

A type that parses OpenSIPS's text takes text alone.  Every refusal is a ValueError whose text says
what was got and what was expected; ds_farm.config.load adds file, line and key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo

from ds_farm.config.addresses import (
    DatagramAddress,
    Subscriber,
    parse_datagram,
    parse_subscriber,
)
from ds_farm.config.opensips import (
    Blacklist,
    Endpoint,
    SocketSpec,
    check_avp,
    check_pvar,
    parse_alias,
    parse_blacklist,
    parse_endpoint,
    parse_nameserver,
    parse_partition_name,
    parse_reply_codes,
    parse_socket,
    parse_socket_description,
)
from ds_farm.dispatch.arguments import parse_choices, parse_flags, parse_sets
from ds_farm.errors import ConfigError

T = TypeVar("T")

_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
"""RFC 3261 25.1, token."""

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1\d|2\d|3[01])\$[./A-Za-z0-9]{53}")

_TYPE_NAMES: dict[type, str] = {
    bool: "true or false",
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def describe(value: object) -> str:
    """A TOML value for an error text, short and with its type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    kind = _TYPE_NAMES.get(type(value), type(value).__name__)
    if isinstance(value, (list, dict)):
        return kind
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"got {describe(value)}, expected text such as {expected}")
    return value


def _optional(parse: Callable[[str], T], expected: str) -> PlainValidator:
    """Text that ``parse`` turns into a value; "" is None: OpenSIPS's NULL."""

    def validate(value: object) -> T | None:
        text = "" if value is None else _text(value, expected)
        return parse(text) if text.strip() else None

    return PlainValidator(validate)


def _parsed(parse: Callable[[str], T], expected: str) -> PlainValidator:
    """Text that ``parse`` turns into a value."""
    return PlainValidator(lambda value: parse(_text(value, expected)))


def as_list(value: object) -> object:
    """One text will do where a list of them is expected; "" is none."""
    return ([value] if value.strip() else []) if isinstance(value, str) else value


def _sip_uri(text: str) -> str:
    if not re.fullmatch(r"sips?:[^\s<>]+", text, re.IGNORECASE):
        raise ValueError(f"expected a SIP URI such as sip:dispatcher@localhost, got {text!r}")
    return text


def _method(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"expected a SIP method such as OPTIONS, got {text!r}")
    if text in ("INVITE", "ACK", "CANCEL"):
        raise ValueError(
            f"expected a SIP method whose transaction ends with one reply, such as OPTIONS, "
            f"got {text!r} (RFC 3261 section 17.1)"
        )
    return text


def _farm_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError(f"got {text!r}, expected 1 to 64 letters, digits, '_' or '-'")
    return text


def _column(text: str) -> str:
    if not re.fullmatch(r"[^\0`\"]{1,64}", text) or text != text.strip():
        raise ValueError(f"got {text!r}, expected the name of a column or table")
    return text


def _route_sets(text: str) -> str:
    return _checked(text, parse_sets, text)


def _route_algorithms(text: str) -> str:
    for item in text.split(","):
        _checked(text, parse_choices, "1", item)
    return text


def _route_flags(text: str) -> str:
    for item in text.split(",") if text.strip() else []:
        _checked(text, parse_flags, item)
    return text


def _mode(text: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError(f"expected an octal mode as chmod takes it, '0660', got {text!r}")
    return text


def _checked(text: str, parse: Callable[..., object], *arguments: str) -> str:
    try:
        parse(*arguments)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


def _switch(value: object) -> object:
    return int(value) if isinstance(value, bool) else value


def _database_url(value: object, info: ValidationInfo) -> str | None:
    """``scheme://...``; a relative SQLite file or directory of text files is taken from the
    configuration's folder."""
    text = "" if value is None else _text(value, "mysql://user:password@host/database")
    if not text.strip():
        return None
    if not re.match(r"[a-z][a-z0-9_+]*://", text):
        raise ValueError(
            "expected a database URL such as mysql://user:password@host/database or "
            "sqlite:////absolute/path"
        )
    return _from_folder(text, info)


def _from_folder(text: str, info: ValidationInfo) -> str:
    relative = re.fullmatch(r"sqlite:///([^/?:][^?]*)(\?.*)?", text)
    texts = re.fullmatch(r"text://([^/].*)", text)
    folder = (info.context or {}).get("folder")
    if not isinstance(folder, Path):
        return text
    if texts:
        return f"text://{(folder / texts[1]).absolute()}"
    if not relative:
        return text
    # What stands for itself in a file's name, but not in a URL.
    where = str(folder.absolute()).replace("%", "%25").replace("?", "%3F")
    return f"sqlite:///{where}/{relative[1]}{relative[2] or ''}"


def _file(value: object, info: ValidationInfo) -> Path | None:
    """A path; a relative one is taken from the configuration's folder."""
    text = "" if value is None else _text(value, "/etc/ds_farm/cert.pem")
    if not text.strip():
        return None
    folder = (info.context or {}).get("folder")
    return folder / text if isinstance(folder, Path) else Path(text)


def _users(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f'got {describe(value)}, expected a table such as {{ name = "$2y$10$" }}')
    for name, stored in value.items():
        if ":" in name:
            raise ValueError(f"the user name {name!r} has a colon (RFC 7617 section 2)")
        # The hash is not shown: what stands here by mistake may be the password.
        if not isinstance(stored, str) or not _BCRYPT.fullmatch(stored):
            raise ValueError(
                f"of user {name!r}: no bcrypt hash, expected $2y$, two digits, $, 53 characters, "
                f"as htpasswd -nB prints it"
            )
    return dict(value)


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    return text


def _reply_codes(text: str) -> tuple[int, ...]:
    return parse_reply_codes(text) if text.strip() else ()


def _probing_socket(text: str) -> str:
    parse_socket_description(text)
    return text


FarmName = Annotated[str, AfterValidator(_farm_name)]
OneSocket = Annotated[SocketSpec, _parsed(parse_socket, "udp:127.0.0.1:5060")]
Sockets = Annotated[tuple[OneSocket, ...], BeforeValidator(as_list), Field(strict=False)]
OneAlias = Annotated[Endpoint, _parsed(parse_alias, "sip.example.com:5060")]
Aliases = Annotated[tuple[OneAlias, ...], BeforeValidator(as_list), Field(strict=False)]
OneDatagram = Annotated[DatagramAddress, _parsed(parse_datagram, "udp:127.0.0.1:8080")]
Datagrams = Annotated[tuple[OneDatagram, ...], BeforeValidator(as_list), Field(strict=False)]
OneSubscriber = Annotated[Subscriber, _parsed(parse_subscriber, "udp:127.0.0.1:8081")]
Subscribers = Annotated[tuple[OneSubscriber, ...], BeforeValidator(as_list), Field(strict=False)]
PartitionName = Annotated[str, AfterValidator(parse_partition_name)]
OptionalText = Annotated[str | None, _optional(str, "any")]
OptionalEndpoint = Annotated[Endpoint | None, _optional(parse_endpoint, "host:port")]
OneNameserver = Annotated[Endpoint, _parsed(parse_nameserver, "192.0.2.53")]
Nameservers = Annotated[tuple[OneNameserver, ...], BeforeValidator(as_list), Field(strict=False)]
OptionalPath = Annotated[Path | None, _optional(Path, "a path")]
OptionalFile = Annotated[Path | None, PlainValidator(_file)]
Users = Annotated[dict[str, str], PlainValidator(_users)]
DatabaseUrl = Annotated[str | None, PlainValidator(_database_url)]
Column = Annotated[str, AfterValidator(_column)]
Avp = Annotated[str, AfterValidator(check_avp)]
OptionalAvp = Annotated[str | None, _optional(check_avp, "$avp(name)")]
OptionalPvar = Annotated[str | None, _optional(check_pvar, "$var(name)")]
OptionalSocket = Annotated[str | None, _optional(_probing_socket, "[proto:]host[:port]")]
OneBlacklist = Annotated[Blacklist, _parsed(parse_blacklist, "name = id,id")]
Blacklists = Annotated[tuple[OneBlacklist, ...], BeforeValidator(as_list), Field(strict=False)]
ReplyCodes = Annotated[
    tuple[int, ...],
    PlainValidator(lambda value: _reply_codes(_text(value, "501, 403"))),
]
RegularExpression = Annotated[str, AfterValidator(_regular_expression)]
SipUri = Annotated[str, AfterValidator(_sip_uri)]
Method = Annotated[str, AfterValidator(_method)]
RouteSets = Annotated[str, AfterValidator(_route_sets)]
RouteAlgorithms = Annotated[str, AfterValidator(_route_algorithms)]
RouteFlags = Annotated[str, AfterValidator(_route_flags)]
Mode = Annotated[str, AfterValidator(_mode)]
Switch = Annotated[int, BeforeValidator(_switch), Field(ge=0, le=1)]
"""0 or 1, as OpenSIPS's ``int`` parameters that switch something; true and false will do."""
