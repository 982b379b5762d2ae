"""Database URLs: OpenSIPS's spelling to SQLAlchemy's, and how to show one without its password.

``mysql://user:password@host:port/database`` is OpenSIPS's: its user and password are taken byte for
byte, as OpenSIPS does, so a password may hold ``%`` and ``@``.  A URL that names its driver
(``mysql+pymysql://``) is SQLAlchemy's, with percent-encoding.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import parse_qsl, unquote

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from ds_farm.errors import ConfigError, DatabaseError

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 10

_SQLITE = "sqlite:///"

_OPENSIPS_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "postgres": "postgresql",
}
"""Schemes that SQLAlchemy does not know, or would give to another driver than ours."""

_OPENSIPS_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<user>[^:@/]*)(?::(?P<password>.*))?@)?"
    r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:/@\[\]]*))(?::(?P<port>\d+))?"
    r"/(?P<database>[^/?]*)(?:\?(?P<query>.*))?",
    re.DOTALL,
)


def parse(text: str) -> URL:
    """A configured ``db_url`` as SQLAlchemy's.  Raises ConfigError, without the password."""
    if text.startswith(_SQLITE):
        # SQLAlchemy 2.0 takes the file's name as it stands, 2.1 percent-decoded.
        file, _, query = text.removeprefix(_SQLITE).partition("?")
        return URL.create(
            "sqlite",
            database=unquote(file, errors="surrogateescape") or None,
            query=dict(parse_qsl(query)),
        )
    driver = _OPENSIPS_DRIVERS.get(text.partition("://")[0])
    if driver is None:
        try:
            return make_url(text)
        except (ArgumentError, ValueError):
            raise ConfigError("db_url is not a database URL") from None
    match = _OPENSIPS_URL.fullmatch(text)
    if not match:
        raise ConfigError(f"db_url is not of the form {match_form(text)}")
    return URL.create(
        driver,
        username=match["user"] or None,
        password=match["password"],
        host=match["six"] or match["host"] or None,
        port=int(match["port"]) if match["port"] else None,
        database=match["database"],
        query=dict(parse_qsl(match["query"] or "")),
    )


def match_form(text: str) -> str:
    """The form that a URL of this scheme should have."""
    return f"{text.partition('://')[0]}://user:password@host:port/database"


def show(url: URL) -> str:
    """For logs and error texts: the password is ``***``, a file's name is as `ls` shows it."""
    if url.get_backend_name() == "sqlite" and url.database:
        return f"{url.drivername}:///{url.database}"
    return url.render_as_string(hide_password=True)


def engine(url: URL, *, create: bool = False) -> Engine:
    """An engine that keeps no connection; with time-outs, so that no server can hang a farm.

    SQLite would make a file that does not exist: without ``create`` that is a DatabaseError.
    ConfigError for a database that nothing installed here can talk to.
    """
    arguments: dict[str, Any] = {}
    backend = url.get_backend_name()
    if backend == "sqlite":
        file = url.database
        if not create and file not in (None, "", ":memory:") and not os.path.exists(str(file)):
            raise DatabaseError(f"{show(url)}: there is no such file; 'ds-farm init' makes one")
        arguments = {"timeout": CONNECT_TIMEOUT_S}
    elif url.drivername == "mysql+pymysql":
        arguments = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": ANSWER_TIMEOUT_S,
            "write_timeout": ANSWER_TIMEOUT_S,
        }
    try:
        return create_engine(url, poolclass=NullPool, connect_args=arguments)
    except NoSuchModuleError:
        raise ConfigError(f"{show(url)}: unknown kind of database {url.drivername!r}") from None
    except ImportError as error:
        raise ConfigError(f"{show(url)}: its driver is not installed: {error}") from None
