"""The families of errors: what the operator did, what the database did.

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
