"""The scan: every way in which RFC 3261 lets a sender write, and every fault, compiled and pure."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.sip.names import Fault, Method
from tests.support.parts import COMPILED, PURE, agreed, text

TORTURE = sorted((Path(__file__).parents[1] / "data" / "torture").glob("*.dat"))

PLAIN = (
    b"INVITE sip:bob@example.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776\r\n"
    b"Max-Forwards: 70\r\n"
    b"To: Bob <sip:bob@example.com>\r\n"
    b"From: Alice <sip:alice@example.org>;tag=19283\r\n"
    b"Call-ID: a84b4c76e66710@pc33\r\n"
    b"CSeq: 314159 INVITE\r\n"
    b"Content-Length: 4\r\n"
    b"\r\n"
    b"body"
)


def replaced(old: bytes, new: bytes, message: bytes = PLAIN) -> bytes:
    assert old in message
    return message.replace(old, new, 1)


def test_a_plain_request() -> None:
    found = agreed("scan", PLAIN)
    assert found["fault"] == Fault.NONE
    assert found["is_request"]
    assert found["method"] == Method.INVITE
    assert found["hops"] == 70
    assert found["content_length"] == 4
    assert found["length"] == len(PLAIN)
    assert PLAIN[found["body"] :] == b"body"
    for name, value in {
        "uri": b"sip:bob@example.com",
        "via": b"SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776",
        "max_forwards": b"70",
        "to": b"Bob <sip:bob@example.com>",
        "from_": b"Alice <sip:alice@example.org>;tag=19283",
        "call_id": b"a84b4c76e66710@pc33",
        "cseq": b"314159",
        "cseq_method": b"INVITE",
        "next_via": b"",
    }.items():
        assert text(PLAIN, found, name) == value, name


def test_a_plain_response() -> None:
    message = replaced(b"INVITE sip:bob@example.com SIP/2.0", b"SIP/2.0 180 Ringing at Bob's")
    found = agreed("scan", message)
    assert (found["fault"], found["is_request"], found["status"]) == (Fault.NONE, False, 180)
    assert found["method"] == Method.INVITE  # of the CSeq


COMPACT = {b"Via": b"v", b"To": b"t", b"From": b"f", b"Call-ID": b"i", b"Content-Length": b"l"}


@pytest.mark.parametrize("change", ["compact", "upper", "lower", "blanks", "folded", "tabs"])
def test_the_same_message_in_other_clothes(change: str) -> None:
    """Sections 7.3.1 and 7.3.3: compact names, any case, blanks before the colon, folding."""
    head, _, body = PLAIN.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    written = []
    for line in lines:
        name, _, value = line.partition(b": ")
        written.append(
            {
                "compact": COMPACT.get(name, name) + b": " + value,
                "upper": name.upper() + b": " + value,
                "lower": name.lower() + b": " + value,
                "blanks": name + b"  :   " + value + b"  ",
                "folded": name + b":\r\n  " + value,
                "tabs": name + b"\t:\t" + value + b"\t",
            }[change]
        )
    message = b"\r\n".join([start, *written, b"", body])
    found = agreed("scan", message)
    assert found["fault"] == Fault.NONE
    original = agreed("scan", PLAIN)
    for part in ("via", "max_forwards", "to", "from_", "call_id", "cseq", "cseq_method"):
        assert text(message, found, part) == text(PLAIN, original, part), part
    assert (found["hops"], found["content_length"]) == (70, 4)


@pytest.mark.parametrize(
    "vias",
    [
        b"Via: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2\r\n",
        b"Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK2\r\n",
        b"v: SIP/2.0/UDP a;branch=z9hG4bK1 ,\r\n SIP/2.0/UDP b;branch=z9hG4bK2\r\n",
        b'Via: SIP/2.0/UDP a;branch=z9hG4bK1;x="1,2"\r\nSubject: x\r\n'
        b"VIA: SIP/2.0/UDP b;branch=z9hG4bK2\r\n",
    ],
)
def test_two_via_values_in_any_form(vias: bytes) -> None:
    message = replaced(b"Via: SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776\r\n", vias)
    found = agreed("scan", message)
    assert found["fault"] == Fault.NONE
    assert text(message, found, "via").startswith(b"SIP/2.0/UDP a;branch=z9hG4bK1")
    assert text(message, found, "next_via") == b"SIP/2.0/UDP b;branch=z9hG4bK2"


FAULTS = {
    Fault.START_LINE: PLAIN.replace(b"INVITE sip:bob@example.com SIP/2.0", b"INVITE", 1),
    Fault.VERSION: PLAIN.replace(b"SIP/2.0\r\n", b"SIP/3.0\r\n", 1),
    Fault.LINE_END: PLAIN.replace(b"70\r\n", b"70\n", 1),
    Fault.HEADER: PLAIN.replace(b"Max-Forwards: 70", b"Max-Forwards 70", 1),
    Fault.NO_END: PLAIN.partition(b"\r\n\r\n")[0] + b"\r\n",
    Fault.NO_VIA: PLAIN.replace(b"Via", b"Vie", 1),
    Fault.NO_FROM: PLAIN.replace(b"From", b"Form", 1),
    Fault.NO_TO: PLAIN.replace(b"To:", b"Tu:", 1),
    Fault.NO_CALL_ID: PLAIN.replace(b"Call-ID", b"Call-IT", 1),
    Fault.NO_CSEQ: PLAIN.replace(b"CSeq", b"CSec", 1),
    Fault.REPEATED: PLAIN.replace(b"Max-", b"Call-ID: x\r\nMax-", 1),
    Fault.CALL_ID: PLAIN.replace(b"a84b4c76e66710@pc33", b"", 1),
    Fault.CSEQ: PLAIN.replace(b"314159 INVITE", b"314159 OPTIONS", 1),
    Fault.MAX_FORWARDS: PLAIN.replace(b"70\r\n", b"seventy\r\n", 1),
    Fault.CONTENT_LENGTH: PLAIN.replace(b"Content-Length: 4", b"Content-Length: 5", 1),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_is_named(fault: Fault) -> None:
    assert FAULTS[fault] != PLAIN
    assert agreed("scan", FAULTS[fault])["fault"] == fault


@pytest.mark.parametrize(
    "cseq", [b"4294967296 INVITE", b"-1 INVITE", b"INVITE", b"1", b"1 INVITE x", b"1INVITE"]
)
def test_a_wrong_cseq(cseq: bytes) -> None:
    message = replaced(b"314159 INVITE", cseq)
    assert agreed("scan", message)["fault"] == Fault.CSEQ


def test_a_datagram_longer_than_its_message_is_cut() -> None:
    """Section 18.3: what lies beyond Content-Length is discarded."""
    found = agreed("scan", PLAIN + b"beyond")
    assert found["fault"] == Fault.NONE
    assert found["length"] == len(PLAIN)


def test_cut_anywhere_it_is_read_no_further() -> None:
    """No offset lies beyond the end; the pure twin would raise IndexError."""
    for end in range(len(PLAIN)):
        found = agreed("scan", PLAIN[:end])
        assert all(0 <= found[name] <= end for name in found if name.endswith("_end")), end
        if end:
            assert found["fault"] != Fault.NONE, end


@pytest.mark.parametrize("path", TORTURE, ids=lambda path: path.stem)
def test_rfc4475_compiled_and_pure_agree(path: Path) -> None:
    agreed("scan", path.read_bytes())


def test_the_corpus_is_whole() -> None:
    assert len(TORTURE) == 49


@given(st.sampled_from(TORTURE), st.data())
def test_damaged_messages_are_read_alike(path: Path, data: st.DataObject) -> None:
    message = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(message) - 1))
        action = data.draw(st.integers(0, 2))
        if action == 0:
            message[at] = data.draw(st.sampled_from(b'\r\n\t :;,<>"@\\=/0aZ\x00\xff'))
        elif action == 1:
            del message[at]
        else:
            message[at:at] = data.draw(st.sampled_from([b"\r\n", b",", b";", b" ", b'"', b"\r\n "]))
        if not message:
            break
    agreed("scan", bytes(message))


@given(st.binary(max_size=300))
def test_noise_is_read_alike(noise: bytes) -> None:
    agreed("scan", noise)


def test_one_is_compiled_and_one_is_not() -> None:
    assert COMPILED["scan"] is not PURE["scan"]
