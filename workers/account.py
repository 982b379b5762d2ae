"""The user and group that children become (``farm.user``, ``farm.group``)."""

from __future__ import annotations

import grp
import os
import pwd

from ds_farm.errors import ConfigError


def ids(user: str | None, group: str | None) -> tuple[int, int]:
    """Of a user and a group, which is the user's own without one; -1: it stays as it is.

    Raises ConfigError if there is no such name."""
    try:
        account = pwd.getpwnam(user) if user else None
    except KeyError:
        raise ConfigError(f"farm.user: there is no user {user!r}") from None
    try:
        gid = grp.getgrnam(group).gr_gid if group else account.pw_gid if account else -1
    except KeyError:
        raise ConfigError(f"farm.group: there is no group {group!r}") from None
    return (account.pw_uid if account else -1), gid


def give(path: str, user: str | None, group: str | None) -> None:
    """Make a file theirs.  Raises ConfigError."""
    if user or group:
        try:
            os.chown(path, *ids(user, group))
        except PermissionError as error:
            raise _refusal(user, group, error) from None


def drop_privileges(user: str | None, group: str | None) -> None:
    """Become ``user`` and ``group`` for good.  Raises ConfigError."""
    if not user and not group:
        return
    uid, gid = ids(user, group)
    try:
        if user:
            os.initgroups(user, gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except PermissionError as error:
        raise _refusal(user, group, error) from None


def _refusal(user: str | None, group: str | None, error: PermissionError) -> ConfigError:
    return ConfigError(
        f"farm.user, farm.group: only root can change to {user or group}: {error.strerror}"
    )
