"""JSON-RPC 2.0: every kind of bytes has its reply (semantics section 6.4)."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.mi.jsonrpc import Json, MiError, Params, handle


def echo(method: str, params: Params) -> Json:
    if method == "refuse":
        raise MiError(404, "destination not found")
    if method == "explain":
        raise MiError(-32602, "Invalid params", "Named parameters do not match")
    if method == "break":
        raise ZeroDivisionError("a bug")
    return {"method": method, "params": params}


def reply(data: bytes) -> Json:
    answer = handle(data, echo)
    assert answer is not None
    return json.loads(answer)


def test_result_has_the_id_of_the_request() -> None:
    assert handle(b'{"jsonrpc":"2.0","method":"x","params":[1,"b"],"id":7}', echo) == (
        b'{"jsonrpc":"2.0","result":{"method":"x","params":[1,"b"]},"id":7}'
    )


@pytest.mark.parametrize("request_id", [0, 1, -5, 1.5, "abc", "", None])
def test_id_comes_back_as_it_was(request_id: object) -> None:
    data = json.dumps({"jsonrpc": "2.0", "method": "x", "id": request_id}).encode()
    assert reply(data)["id"] == request_id


def test_params_by_name_and_none_at_all() -> None:
    named = reply(b'{"jsonrpc":"2.0","method":"x","params":{"a":1},"id":1}')
    assert named["result"]["params"] == {"a": 1}
    assert reply(b'{"jsonrpc":"2.0","method":"x","id":1}')["result"]["params"] == []


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("refuse", {"code": 404, "message": "destination not found"}),
        (
            "explain",
            {
                "code": -32602,
                "message": "Invalid params",
                "data": "Named parameters do not match",
            },
        ),
    ],
)
def test_refused_command(method: str, error: Json) -> None:
    answer = reply(json.dumps({"jsonrpc": "2.0", "method": method, "id": 1}).encode())
    assert answer == {"jsonrpc": "2.0", "error": error, "id": 1}


def test_bug_in_a_command_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = reply(b'{"jsonrpc":"2.0","method":"break","id":1}')
    assert answer["error"] == {"code": -32603, "message": "Internal error"}
    assert "ZeroDivisionError: a bug" in caplog.text


@pytest.mark.parametrize(
    ("data", "code", "request_id"),
    [
        (b"", -32700, None),
        (b"{", -32700, None),
        (b"\xff\xfe\xfa", -32700, None),
        (b"[" * 100_000, -32700, None),
        (b'{"a":' * 100_000, -32700, None),
        (b"9" * 10_000, -32700, None),
        (b'{"jsonrpc":"2.0","method":"x","id":NaN}', -32700, None),
        (b"null", -32600, None),
        (b"7", -32600, None),
        (b"[]", -32600, None),
        (b'[{"jsonrpc":"2.0","method":"x","id":1}]', -32600, None),
        (b"{}", -32600, None),
        (b'{"jsonrpc":"2.0","id":1}', -32600, 1),
        (b'{"jsonrpc":"2.0","method":null,"id":1}', -32600, 1),
        (b'{"jsonrpc":"2.0","method":["x"],"id":1}', -32600, 1),
        (b'{"jsonrpc":"1.0","method":"x","id":1}', -32600, 1),
        (b'{"jsonrpc":2.0,"method":"x","id":1}', -32600, 1),
        (b'{"method":"x","id":1}', -32600, 1),
        (b'{"jsonrpc":"2.0","method":"x","id":true}', -32600, None),
        (b'{"jsonrpc":"2.0","method":"x","id":{}}', -32600, None),
        (b'{"jsonrpc":"2.0","method":"x","id":1e999}', -32600, None),
        (b'{"jsonrpc":"2.0","method":"x","params":7,"id":1}', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"x","params":null,"id":1}', -32602, 1),
    ],
)
def test_bad_request(data: bytes, code: int, request_id: object) -> None:
    answer = reply(data)
    assert (answer["error"]["code"], answer["id"]) == (code, request_id)


@pytest.mark.parametrize("method", ["x", "refuse", "break"])
def test_notification_gets_no_reply(method: str) -> None:
    assert handle(json.dumps({"jsonrpc": "2.0", "method": method}).encode(), echo) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.binary(max_size=100)
    | st.fixed_dictionaries(
        {},
        optional={"jsonrpc": st.just("2.0") | _json, "method": _json, "params": _json, "id": _json},
    ).map(lambda body: json.dumps(body).encode())
)
def test_any_bytes_give_a_reply_or_none(data: bytes) -> None:
    answer = handle(data, echo)
    if answer is not None:
        body = json.loads(answer)
        assert body["jsonrpc"] == "2.0"
        assert ("result" in body) != ("error" in body)
