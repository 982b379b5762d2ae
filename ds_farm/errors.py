"""The families of errors: what the operator did, what a peer did, what the segment holds.

Anything else that is raised is a bug of ours; it ends the process loudly and the supervisor
starts another one.
"""

from __future__ import annotations


class FarmError(Exception):
    """Base of all errors that ds_farm raises on purpose; its text is fit for an operator."""


class ConfigError(FarmError):
    """A configuration, routing module, argument or database that cannot be used as it is."""


class DatabaseError(FarmError):
    """The database cannot be reached or does not answer; trying again later may help."""


class RemoteError(FarmError):
    """A peer sent what RFC 3261 does not allow.

    ``status_hint`` is the SIP status code to answer with, 0 to drop the message.
    """

    def __init__(self, reason: str, status_hint: int = 400) -> None:
        super().__init__(reason)
        self.status_hint = status_hint
