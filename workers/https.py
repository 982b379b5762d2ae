"""TLS and passwords for an HTTP service, with the keys and rules of Prometheus's exporter-toolkit.

Certificates are read again when their files change, so a renewal needs no restart.  Passwords are
bcrypt hashes, and each is computed once: a scraper that comes every few seconds with the right one
costs a digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import os
import secrets
import ssl
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt

from ds_farm.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from ds_farm.config.models import MetricsConfig

logger = logging.getLogger(__name__)

MOST_BYTES = 72
"""What bcrypt takes of a password."""

NOBODY = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(10))
"""Compared for a user who does not exist: the time of an answer names no users."""

MOST_REMEMBERED = 64


class Certificates:
    """The TLS context of a service, as its files say now."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None = None) -> None:
        """:raises ConfigError: a file that cannot be read, or key and certificate that differ"""
        self._paths = (cert, key, client_ca)
        self._seen = self._stamp()
        self._context = self._load()

    @classmethod
    def of(cls, config: MetricsConfig) -> Certificates | None:
        """What ``[metrics]`` asks for, None if plain HTTP.

        :raises ConfigError: as the constructor
        """
        if config.tls_cert_file is None or config.tls_key_file is None:
            return None
        return cls(config.tls_cert_file, config.tls_key_file, config.tls_client_ca_file)

    def context(self) -> ssl.SSLContext:
        """For the next connection.  Files that have changed and are wrong leave the old ones."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._context = self._load()
            except ConfigError as error:
                logger.warning("%s; the certificate that was read before stays", error)
            else:
                logger.info("certificate %s read again", self._paths[0])
        return self._context

    def _stamp(self) -> list[tuple[int, int] | None]:
        found: list[tuple[int, int] | None] = []
        for path in filter(None, self._paths):
            try:
                status = os.stat(path)
                found.append((status.st_mtime_ns, status.st_ino))
            except OSError:
                found.append(None)
        return found

    def _load(self) -> ssl.SSLContext:
        cert, key, client_ca = self._paths
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for path in filter(None, (cert, key, client_ca)):
            try:
                with path.open("rb"):
                    pass
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}") from None
        try:
            # An encrypted key asks for a passphrase on a terminal, unless it is given one.
            context.load_cert_chain(cert, key, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ConfigError(f"{cert} with key {key}: {_reason(error)}") from None
        if client_ca is not None:
            try:
                context.load_verify_locations(client_ca)
            except ssl.SSLError as error:
                raise ConfigError(f"{client_ca}: {_reason(error)}") from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(error) or "not in PEM format, or encrypted"


class Passwords:
    """Basic authentication (RFC 7617) in front of an application."""

    def __init__(self, users: Mapping[str, str], realm: str, free: frozenset[str]) -> None:
        """``users``: name -> bcrypt hash; ``free``: paths that nobody is asked for."""
        self._users = {name: each.encode() for name, each in users.items()}
        self._realm = realm
        self._free = free
        self._key = secrets.token_bytes(32)
        self._right: set[bytes] = set()
        self._guard = threading.Lock()

    def protect(self, application: WSGIApplication) -> WSGIApplication:
        """The application for those who have a password; 401 for others."""
        if not self._users:
            return application

        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ.get("PATH_INFO") in self._free or self._accepts(
                environ.get("HTTP_AUTHORIZATION", "")
            ):
                return application(environ, start_response)
            body = b"a user and a password are needed\n"
            headers = [
                ("WWW-Authenticate", f'Basic realm="{self._realm}", charset="UTF-8"'),
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(body))),
            ]
            start_response("401 Unauthorized", headers)
            return [body]

        return guarded

    def _accepts(self, header: str) -> bool:
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            name, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
            stored = self._users.get(name.decode())
        except (binascii.Error, UnicodeDecodeError):
            return False
        if not colon or b"\0" in password:
            return False
        digest = hmac.digest(self._key, b"%d:%s:%s" % (len(name), name, password), hashlib.sha256)
        if digest in self._right:
            return True
        # One at a time: who guesses takes one core at the most, and no worker's.
        with self._guard:
            is_right = bcrypt.checkpw(password[:MOST_BYTES], stored or NOBODY)
        if stored is None or not is_right:
            return False
        if len(self._right) < MOST_REMEMBERED:
            self._right.add(digest)
        return True
