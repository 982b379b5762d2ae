"""``ds-farm check``: all that a start would trip over, found before it."""

from __future__ import annotations

import grp
import pwd
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ds_farm.cli.options import CONFIG_NAME, REFUSED, ConfigOption, SetOption, load_config
from ds_farm.cli.trial import load_apart
from ds_farm.errors import ConfigError, FarmError

if TYPE_CHECKING:
    from ds_farm.config import Config
    from ds_farm.config.rules import Location
    from ds_farm.db.loader import LoadResult


@dataclass(slots=True)
class Findings:
    """What was found; problems make the exit code 1, warnings do not."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)


def check(config: ConfigOption = Path(CONFIG_NAME), settings: SetOption = None) -> None:
    """Validate configuration, routing module and databases, and print every problem.

    Nothing is changed and no socket is opened, so it may run beside a farm.
    """
    loaded = load_config(config, settings or (), for_run=True)
    findings = Findings()
    findings.summary.append(f"configuration {config}: farm {loaded.farm.name!r}")
    findings.warnings.extend(loaded.notes)
    _check_route_module(loaded, findings)
    _check_accounts(loaded, findings)
    _check_variables(loaded, findings)
    _check_certificates(loaded, findings)
    _check_folders(loaded, findings)
    results = list(_check_databases(loaded, findings))
    _check_route_sets(loaded, results, findings)
    for text in findings.problems:
        print(text, file=sys.stderr)
    for text in findings.warnings:
        print(f"warning: {text}", file=sys.stderr)
    if findings.problems:
        count = len(findings.problems)
        print(f"{count} problem{'s' if count > 1 else ''} found", file=sys.stderr)
        raise typer.Exit(REFUSED)
    for text in findings.summary:
        print(f"ok  {text}")


def _check_route_module(config: Config, findings: Findings) -> None:
    path = config.route_module
    if path is None:
        route = config.route
        findings.summary.append(f"built-in route: set {route.set!r}, algorithm {route.algorithm!r}")
        return
    if problem := load_apart(path, config.module_text, config.farm.hang_timeout_s):
        findings.problems.append(problem)
    else:
        findings.summary.append(f"routing module {path}")


def _check_accounts(config: Config, findings: Findings) -> None:
    from ds_farm.config import problem_at  # noqa: PLC0415 - keeps `--help` quick

    farm = config.farm
    for key, name, look in (
        ("user", farm.user, pwd.getpwnam),
        ("group", farm.group, grp.getgrnam),
    ):
        try:
            if name:
                look(name)
        except KeyError:
            text = f"there is no {key} {name!r} on this host"
            findings.problems.append(str(problem_at(config.path, ("farm", key), text)))


def _check_variables(config: Config, findings: Findings) -> None:
    from ds_farm.config import problem_at  # noqa: PLC0415 - the same
    from ds_farm.script.settings import unknown_variables  # noqa: PLC0415 - keeps `--help` quick

    for key, text in unknown_variables(config.dispatcher):
        findings.problems.append(str(problem_at(config.path, ("dispatcher", key), text)))


def _check_certificates(config: Config, findings: Findings) -> None:
    from ds_farm.config import problem_at  # noqa: PLC0415 - keeps `--help` quick
    from workers.https import Certificates  # noqa: PLC0415 - the same

    try:
        if Certificates.of(config.metrics):
            findings.summary.append(f"certificate {config.metrics.tls_cert_file}")
    except ConfigError as error:
        key = ("metrics", "tls_cert_file")
        findings.problems.append(str(problem_at(config.path, key, str(error))))


def _check_folders(config: Config, findings: Findings) -> None:
    """Of what [mi] has in the file system."""
    from ds_farm.config import problem_at  # noqa: PLC0415 - keeps `--help` quick

    mi, here = config.mi, config.path.parent
    made: list[tuple[Location, Path]] = [
        (("mi", "datagram", index), Path(address.path).parent)
        for index, address in enumerate(mi.datagram)
        if address.path
    ]
    if mi.fifo:
        made.append((("mi", "fifo"), (here / mi.fifo).parent))
        replies = here / (mi.fifo_reply_dir or "/tmp")
        if not replies.is_dir():
            text = f"there is no folder {replies}: no reply gets to a client"
            findings.warnings.append(str(problem_at(config.path, ("mi", "fifo_reply_dir"), text)))
    for place, folder in made:
        if not folder.is_dir():
            # systemd makes a RuntimeDirectory when it starts the farm.
            is_late = any(map(folder.is_relative_to, ("/run", "/var/run")))
            found = findings.warnings if is_late else findings.problems
            found.append(str(problem_at(config.path, place, f"there is no folder {folder}")))


def _check_databases(config: Config, findings: Findings) -> Iterator[LoadResult]:
    from ds_farm.config import resolve  # noqa: PLC0415 - keeps `--help` quick
    from ds_farm.db import loader, url  # noqa: PLC0415 - SQLAlchemy, for this command alone

    for partition in resolve(config.dispatcher):
        try:
            result = loader.load(config.dispatcher, partition)
        except FarmError as error:
            findings.problems.append(f"partition {partition.name!r}: {error}")
            continue
        where = f"partition {partition.name!r}"
        findings.problems.extend(f"{where}: {row}" for row in result.skipped)
        findings.warnings.extend(f"{where}: {row}" for row in result.warnings)
        count = sum(len(one.destinations) for one in result.sets)
        findings.summary.append(
            f"{where}: {count} destinations in {len(result.sets)} sets, table version "
            f"{result.version}, {url.show(url.parse(partition.db_url))}"
        )
        yield result


def _check_route_sets(config: Config, results: list[LoadResult], findings: Findings) -> None:
    """The built-in route names its sets; a routing module may choose them while it runs."""
    from ds_farm.config import problem_at  # noqa: PLC0415 - keeps `--help` quick
    from ds_farm.dispatch.arguments import parse_sets  # noqa: PLC0415 - the same

    if config.route_module:
        return
    partition, wanted = parse_sets(config.route.set)
    sets = [one for result in results for one in result.sets if one.partition == partition]
    if not any(result.partition == partition for result in results):
        return  # its database has been reported
    present = {one.id for one in sets}
    for number in wanted:
        if number not in present:
            known = f"only {', '.join(map(str, sorted(present)))}" if present else "it has none"
            text = f"partition {partition!r} has no set {number}, {known}"
            findings.problems.append(str(problem_at(config.path, ("route", "set"), text)))
