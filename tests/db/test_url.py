"""Database URLs: OpenSIPS's bytes, SQLAlchemy's encoding, and no password in any text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.db import url as urls
from ds_farm.errors import ConfigError, DatabaseError


def test_opensips_spelling_of_mysql() -> None:
    url = urls.parse("mysql://opensips:opensipsrw@localhost/opensips")
    assert url.drivername == "mysql+pymysql"
    assert (url.username, url.password) == ("opensips", "opensipsrw")
    assert (url.host, url.port, url.database) == ("localhost", None, "opensips")


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_password_of_opensips_is_taken_byte_for_byte(password: str) -> None:
    url = urls.parse(f"mysql://u:{password}@[::1]:3307/db?charset=latin1")
    assert url.password == password
    assert (url.host, url.port, url.database) == ("::1", 3307, "db")
    assert url.query == {"charset": "latin1"}
    assert urls.show(url) == "mysql+pymysql://u:***@[::1]:3307/db?charset=latin1"


def test_file_name_is_percent_encoded() -> None:
    url = urls.parse("sqlite:////a%253F/b%3Fc#d e.db?timeout=3")
    assert (url.database, url.query) == ("/a%3F/b?c#d e.db", {"timeout": "3"})
    assert urls.show(url) == "sqlite:////a%3F/b?c#d e.db"


def test_a_url_with_a_driver_is_percent_encoded() -> None:
    assert urls.parse("mysql+pymysql://u:p%40%25@h/d").password == "p@%"


@pytest.mark.parametrize("text", ["mysql://u:secret@h", "mysql+pymysql://u:secret@h:port/d"])
def test_refused_without_showing_the_password(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        urls.parse(text)
    assert "secret" not in str(caught.value)


def test_databases_that_nothing_here_can_talk_to() -> None:
    with pytest.raises(ConfigError, match="unknown kind of database 'nosuch'"):
        urls.engine(urls.parse("nosuch://h/d"))


def test_a_missing_sqlite_file_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "absent.sqlite"
    with pytest.raises(DatabaseError, match="no such file; 'ds-farm init' makes one"):
        urls.engine(urls.parse(f"sqlite:///{file}"))
    assert not file.exists()
