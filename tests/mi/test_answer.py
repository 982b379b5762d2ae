"""Replies byte for byte as OpenSIPS 2.1 and 4.0 give them (semantics section 6)."""

from __future__ import annotations

import json

import pytest

from ds_farm.dispatch.model import State
from ds_farm.mi import answer, commands
from ds_farm.mi.farm import Farm

LIST = (
    "200 OK\n"
    "PARTITION:: default\n"
    "\tSET:: 1\n"
    "\t\tURI:: sip:127.0.0.1:7000 state=Inactive\n"
    "\t\t\tsocket:: udp:127.0.0.1:15160\n"
    "\t\t\tattr:: a0\n"
    "\t\tURI:: sip:127.0.0.1:7001 state=Active\n"
)
"""The text of the semantics file, section 6.1."""


def fifo(farm: Farm, text: str) -> str:
    found = answer.to_fifo_line(farm, text.encode())
    assert found
    assert found[0] == "reply"
    return found[1].decode()


def datagram(farm: Farm, text: str) -> str:
    reply = answer.to_datagram(farm, text.encode())
    assert reply is not None
    return reply.decode()


def test_fifo_text_of_ds_list(spec_farm: Farm) -> None:
    assert fifo(spec_farm, ":ds_list:reply\n") == LIST + "\n"
    assert fifo(spec_farm, ":ds_list:reply\nignored\n") == LIST + "\n"


def test_datagram_text_has_no_empty_line_at_its_end(spec_farm: Farm) -> None:
    assert datagram(spec_farm, ":ds_list:\n") == LIST
    assert datagram(spec_farm, ":ds_reload:\n.\n") == "200 OK\n"
    assert datagram(spec_farm, ":ds_reload:\n.") == "200 OK\n"


def test_names_of_4_0_in_lines(spec_farm: Farm) -> None:
    assert fifo(spec_farm, ":dispatcher:list:reply\n") == LIST + "\n"
    assert datagram(spec_farm, ":dispatcher:list:\n") == LIST
    assert datagram(spec_farm, ":dispatcher:ds_list:\n") == LIST
    text = ":dispatcher:set_state:\na\n1\nsip:127.0.0.1:7000\n"
    assert datagram(spec_farm, text) == "200 OK\n"
    for name in commands.ALIASES:
        assert "not available" not in fifo(spec_farm, f":{name}:reply\n")
    assert fifo(spec_farm, ":a:b:reply\n") == "500 command 'a:b' not available\n"


def test_json_of_4_0(spec_farm: Farm) -> None:
    request = b'{"jsonrpc":"2.0","method":"dispatcher:list","params":[1],"id":1}'
    assert answer.to_http(spec_farm, request) == (
        b'{"jsonrpc":"2.0","result":{"PARTITIONS":[{"name":"default","SETS":[{"id":1,'
        b'"Destinations":[{"URI":"sip:127.0.0.1:7000","state":"Inactive","first_hit_counter":0,'
        b'"socket":"udp:127.0.0.1:15160","attr":"a0","weight":1,"priority":0,'
        b'"resolved_addresses":["127.0.0.1:7000"]},{"URI":"sip:127.0.0.1:7001","state":"Active",'
        b'"first_hit_counter":0,"weight":1,"priority":0,"resolved_addresses":["127.0.0.1:7001"]}'
        b']}]}]},"id":1}'
    )


ERRORS = [
    ("ds_set_state", ["a", "1", "sip:127.0.0.1:7000"], "200 OK"),
    ("ds_set_state", ["active", "1", "SIP:127.0.0.1:7000", "more"], "200 OK"),
    ("ds_set_state", ["a", "1"], "400 Too few or too many arguments"),
    ("ds_set_state", ["x", "1", "sip:127.0.0.1:7000"], "500 Bad state value"),
    ("ds_set_state", ["a", "one", "sip:127.0.0.1:7000"], "500 bad group value"),
    ("ds_set_state", ["a", "p9:1", "sip:127.0.0.1:7000"], "404 ERROR Unknown partition"),
    ("ds_set_state", ["a", "2", "sip:127.0.0.1:7000"], "404 destination not found"),
    ("ds_reload", [], "200 OK"),
    ("ds_reload", ["."], "200 OK"),
    ("ds_reload", ["p9"], "500 ERROR Unknown partition"),
    ("event_subscribe", ["E_NONE", "udp:127.0.0.1:1"], "404 Event not published"),
]


@pytest.mark.parametrize(("command", "arguments", "line"), ERRORS)
def test_replies_of_the_line_protocol(
    spec_farm: Farm, command: str, arguments: list[str], line: str
) -> None:
    text = "".join(f"{each}\n" for each in arguments)
    assert fifo(spec_farm, f":{command}:reply\n{text}") == f"{line}\n\n"
    assert datagram(spec_farm, f":{command}:\n{text}") == f"{line}\n"


def test_reload_that_fails(spec_farm: Farm) -> None:
    made = Farm(spec_farm.config, spec_farm.segment, spec_farm.registry, lambda *_: "no table")
    assert fifo(made, ":ds_reload:reply\n") == "500 ERROR Reloading data\n\n"


def test_errors_of_the_fifo_itself(spec_farm: Farm) -> None:
    assert fifo(spec_farm, ":what:reply\n") == "500 command 'what' not available\n"
    bad = ':ds_list:reply\n"never closed\n'
    assert fifo(spec_farm, bad) == "400 parse error in command 'ds_list'\n"
    long = f":ds_list:reply\n{'x' * 9000}\n"
    assert fifo(spec_farm, long) == "400 parse error in command 'ds_list'\n"


def test_errors_of_the_datagram_socket_itself(spec_farm: Farm) -> None:
    assert datagram(spec_farm, ":what:\n") == "500 command not available\n"
    assert datagram(spec_farm, "::\n") == "500 command not available\n"
    assert datagram(spec_farm, ":ds_list:reply\n") == "500 command not available\n"
    assert datagram(spec_farm, ':ds_list:\n"open\n') == "400 parse error in command\n"
    assert datagram(spec_farm, '{"jsonrpc":') == "400 Parse_error"
    assert datagram(spec_farm, "") == "400 Parse_error"


def test_without_a_reply_name_a_fifo_command_is_not_executed(spec_farm: Farm) -> None:
    request = b":ds_set_state:\ni\n1\nsip:127.0.0.1:7001\n"
    assert answer.to_fifo_line(spec_farm, request) is None
    slot = spec_farm.registry.table().sets[0].destinations[1].slot
    assert spec_farm.registry.state(slot) is State.ACTIVE


def test_named_and_quoted_arguments(spec_farm: Farm) -> None:
    text = ':ds_set_state:reply\n state:: i \ngroup::"1"\naddress:: "sip:127.0.0.1:700\\1"\n'
    assert fifo(spec_farm, text) == "200 OK\n\n"
    slot = spec_farm.registry.table().sets[0].destinations[1].slot
    assert spec_farm.registry.state(slot) is State.INACTIVE


def test_an_ipv6_address_is_no_name(spec_farm: Farm) -> None:
    text = ":ds_set_state:reply\na\n1\nsip:[::1]:5060\n"
    assert fifo(spec_farm, text) == "404 destination not found\n\n"


def test_json_without_method_is_answered_and_garbage_in_a_fifo_is_not(spec_farm: Farm) -> None:
    """The first crashes OpenSIPS 4.0.1."""
    request = b'{"jsonrpc":"2.0","id":1}'
    invalid = b'{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":1}'
    assert answer.to_fifo_json(spec_farm, request) == invalid
    assert answer.to_datagram(spec_farm, request) == invalid
    assert answer.to_fifo_json(spec_farm, b"{nothing}") is None


def test_core_commands_in_the_line_protocol(spec_farm: Farm) -> None:
    assert fifo(spec_farm, ":events_list:reply\n") == (
        "200 OK\nEvent:: E_DISPATCHER_STATUS id=0\n\n"
    )
    assert "\nds_list\n" in fifo(spec_farm, ":which:reply\n")
    assert fifo(spec_farm, ":version:reply\n").startswith("200 OK\nServer:: ds_farm (")
    assert fifo(spec_farm, ":ps:reply\n").startswith("200 OK\nProcess::  ID=0 PID=")
    assert fifo(spec_farm, ":get_statistics:reply\nactive\nprobing\n") == (
        "200 OK\ndispatcher:active:: 1\ndispatcher:probing:: 0\n\n"
    )
    assert fifo(spec_farm, ":get_statistics:reply\nnone\n") == "404 Statistics Not Found\n\n"


def test_subscriber_by_the_line_protocol_gets_its_format(spec_farm: Farm) -> None:
    where = "udp:127.0.0.1:8081"
    request = f":event_subscribe:reply\nE_DISPATCHER_STATUS\n{where}\n60\n"
    assert fifo(spec_farm, request) == "200 OK\n\n"
    shown = fifo(spec_farm, ":subscribers_list:reply\n")
    assert shown.startswith(
        "200 OK\nEvent:: E_DISPATCHER_STATUS id=0\n"
        f"\tSubscriber::  socket=line:{where} expire=60 ttl="
    )


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (["E_DISPATCHER_STATUS"], -32602),
        (["E_DISPATCHER_STATUS", "udp:127.0.0.1:1", -1], -32602),
        (["E_DISPATCHER_STATUS", "udp:127.0.0.1:1", "soon"], -32602),
        (["E_DISPATCHER_STATUS", "tls:127.0.0.1:1"], 400),
        (["E_OTHER", "udp:127.0.0.1:1"], 404),
    ],
)
def test_subscriptions_that_are_refused(spec_farm: Farm, params: list[object], code: int) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "event_subscribe", "params": params}
    reply = answer.to_http(spec_farm, json.dumps(body).encode())
    assert reply
    assert json.loads(reply)["error"]["code"] == code


def test_list_that_does_not_go_into_a_datagram(spec_farm: Farm, monkeypatch: object) -> None:
    big = b'{"jsonrpc":"2.0","method":"raise_event","params":[],"id":"%s"}' % (b"x" * 65400)
    reply = answer.to_datagram(spec_farm, big)
    assert reply is not None
    assert len(reply) < 66000
