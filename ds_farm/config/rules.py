"""Rules between keys: what no single key can be blamed for alone.

Each rule yields findings: the keys that it compared and a text that holds for any of them.  The
loader blames the first key that is in the file, and drops a finding that rests on a key which is
wrong by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ds_farm.config.models import Config
from ds_farm.config.opensips import parse_socket_description
from ds_farm.config.partitions import PartitionConfig, resolve
from ds_farm.dispatch.arguments import UnequalLists, parse_choices, parse_sets
from ds_farm.dispatch.model import DEFAULT_PARTITION

Location = tuple[str | int, ...]
"""Where in the file: keys and list indexes, as ("farm", "socket", 0)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule."""

    keys: tuple[Location, ...]
    text: str


def _children(config: Config) -> Iterator[Finding]:
    children, most = config.farm.children, config.farm.max_children
    if children > most:
        yield Finding(
            (("farm", "children"), ("farm", "max_children")),
            f"children = {children} is more than max_children = {most}",
        )


def _sockets(config: Config) -> Iterator[Finding]:
    sockets = config.farm.socket
    for index, spec in enumerate(sockets):
        same = [(s.proto, s.host, s.port) for s in sockets[:index]]
        if spec.port and (spec.proto, spec.host, spec.port) in same:
            yield Finding((("farm", "socket", index),), f"{spec} is listed twice")


def _http(config: Config) -> Iterator[Finding]:
    metrics, mi = config.metrics.listen, config.mi.http
    if metrics and metrics == mi and metrics.port:
        yield Finding(
            (("mi", "http"), ("metrics", "listen")), f"metrics.listen and mi.http are both {mi}"
        )


def _https(config: Config) -> Iterator[Finding]:
    metrics = config.metrics
    cert, key = ("metrics", "tls_cert_file"), ("metrics", "tls_key_file")
    if (metrics.tls_cert_file is None) != (metrics.tls_key_file is None):
        yield Finding((cert, key), "tls_cert_file and tls_key_file are needed both")
    if metrics.tls_client_ca_file and not metrics.tls_cert_file:
        yield Finding(
            (("metrics", "tls_client_ca_file"),),
            "there is no TLS without tls_cert_file and tls_key_file",
        )


def _partition_key(config: Config, name: str, key: str) -> Location:
    """Where a partition sets ``key``, or else where it is described."""
    if name in config.dispatcher.partitions:
        return ("dispatcher", "partitions", name, key)
    for index, line in enumerate(config.dispatcher.partition):
        if line.name == name:
            return ("dispatcher", "partition", index, key)
    return ("dispatcher", key)


def _database(config: Config) -> Iterator[Finding]:
    for partition in resolve(config.dispatcher):
        if not partition.db_url:
            name = partition.name
            also = "" if name == DEFAULT_PARTITION else ", and there is none to inherit"
            yield Finding(
                (_partition_key(config, name, "db_url"), ("dispatcher", "db_url")),
                f"partition {name!r} has no db_url{also}",
            )


def _blacklists(config: Config) -> Iterator[Finding]:
    def names(partition: PartitionConfig) -> list[str]:
        return [blacklist.name for blacklist in partition.blacklists]

    partitions = resolve(config.dispatcher)
    counted = Counter(name for partition in partitions for name in names(partition))
    for partition in partitions:
        for name in names(partition):
            if counted[name] > 1:
                counted[name] = 0
                key = _partition_key(config, partition.name, "ds_define_blacklist")
                yield Finding((key,), f"the blacklist {name!r} is defined twice")


def _route(config: Config) -> Iterator[Finding]:
    """Lists of unequal lengths are an error that names both (decision 9)."""
    if config.farm.route_module:
        return
    route = config.route
    try:
        parse_choices(route.set, route.algorithm, route.flags)
    except UnequalLists as error:
        yield Finding((("route", "set"), ("route", "algorithm"), ("route", "flags")), str(error))


def _probing_socket(config: Config) -> Iterator[Finding]:
    """ds_probing_sock is one of ours (OpenSIPS: "not local", and it does not start)."""
    text = config.dispatcher.ds_probing_sock
    if not text:
        return
    proto, host, port = parse_socket_description(text)
    for spec in config.farm.socket:
        for own_host, own_port in (
            (spec.host, spec.port),
            (spec.advertised_host, spec.advertised_port),
        ):
            if (proto, host.lower()) == (spec.proto, own_host.lower()) and (
                port in (None, own_port) or not own_port
            ):
                return
    yield Finding(
        (("dispatcher", "ds_probing_sock"),),
        f"{text!r} is none of farm.socket: {', '.join(str(spec) for spec in config.farm.socket)}",
    )


def _needed_to_run(config: Config) -> Iterator[Finding]:
    if not config.farm.socket:
        yield Finding(
            (("farm", "socket"),), 'nothing to listen on, expected such as ["udp:127.0.0.1:5060"]'
        )
    else:
        yield from _probing_socket(config)
    known = [partition.name for partition in resolve(config.dispatcher)]
    name, _ = parse_sets(config.route.set)
    if known and name not in known and not config.farm.route_module:
        keys = (("route", "set"), ("dispatcher", "partition"), ("dispatcher", "partitions"))
        yield Finding(
            keys, f"the built-in route is for partition {name!r}, there is only {', '.join(known)}"
        )
    if not known:
        yield Finding(
            (("dispatcher", "db_url"),),
            "no database, expected such as mysql://user:password@host/database",
        )


RULES: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    _children,
    _sockets,
    _http,
    _https,
    _database,
    _blacklists,
    _route,
)


def broken(config: Config, for_run: bool) -> Iterator[Finding]:
    """All broken rules; ``for_run`` adds what a farm cannot start without."""
    for rule in (*RULES, _needed_to_run) if for_run else RULES:
        yield from rule(config)
