"""Via, URI, name-addr and credentials: what their offsets name, compiled and pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.sip import _auth, _branch, _edit
from ds_farm.sip.names import Scheme
from tests.support.parts import agreed, text
from tests.support.pure import pure

VIAS = {
    b"SIP/2.0/UDP h": {"host": b"h", "transport": b"UDP"},
    b"SIP / 2.0 / UDP h:5061 ;branch=z9hG4bKx": {"host": b"h", "branch": b"z9hG4bKx"},
    b"SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKa": {"host": b"[2001:db8::9:1]"},
    b"SIP/2.0/UDP [2001:db8::9:1]:5070;Branch=B;RECEIVED=192.0.2.1": {
        "host": b"[2001:db8::9:1]",
        "branch": b"B",
        "received": b"192.0.2.1",
    },
    b"SIP/2.0/UDP h;x=y;maddr=224.2.0.1;ttl=16;branch=b": {"maddr": b"224.2.0.1", "branch": b"b"},
    b'SIP/2.0/UDP h;x="a;branch=no";branch=yes': {"branch": b"yes"},
    b"SIP/2.0/UDP h ; branch = b1": {"branch": b"b1"},
}


@pytest.mark.parametrize("via", VIAS)
def test_parts_of_a_via(via: bytes) -> None:
    found = agreed("via", via)
    assert not found["fault"]
    for name, value in VIAS[via].items():
        assert text(via, found, name) == value, name


@pytest.mark.parametrize(
    ("via", "port", "rport"),
    [
        (b"SIP/2.0/UDP h", 0, -1),
        (b"SIP/2.0/UDP h:5070;rport", 5070, 0),
        (b"SIP/2.0/UDP h;rport=6001", 0, 6001),
        (b"SIP/2.0/UDP [::1]:5070;RPORT=1", 5070, 1),
    ],
)
def test_ports_of_a_via(via: bytes, port: int, rport: int) -> None:
    """RFC 3581: rport without a value asks, with one it has been filled in."""
    found = agreed("via", via)
    assert (found["fault"], found["port"], found["rport"]) == (False, port, rport)


@pytest.mark.parametrize(
    "via",
    [
        b"",
        b"SIP/2.0/UDP",
        b"SIP/2.0 h",
        b"SIP/2.0/UDP h:99999",
        b"SIP/2.0/UDP h:0x1",
        b"SIP/2.0/UDP [::1;branch=b",
        b"SIP/2.0/UDP ;branch=b",
        b"HTTP/1.1/TCP h",
    ],
)
def test_a_via_that_is_none(via: bytes) -> None:
    assert agreed("via", via)["fault"]


URIS: dict[bytes, dict[str, bytes | int]] = {
    b"sip:alice@example.com": {"scheme": Scheme.SIP, "user": b"alice", "host": b"example.com"},
    b"sip:alice:secret@example.com:5070;transport=udp;lr": {
        "user": b"alice",
        "host": b"example.com",
        "port": 5070,
        "transport": b"udp",
        "lr": True,
    },
    b"SIPS:a%40b@[2001:db8::1]:5061": {
        "scheme": Scheme.SIPS,
        "user": b"a%40b",
        "host": b"[2001:db8::1]",
        "port": 5061,
    },
    b"sip:example.com": {"user": b"", "host": b"example.com", "port": 0, "lr": False},
    b"sip:user;par=u%40example.net@example.com": {"user": b"user;par=u%40example.net"},
    b"sip:h;maddr=192.0.2.1;LR": {"maddr": b"192.0.2.1", "lr": True},
    b"sip:u@h;x=lr": {"lr": False},
    b"tel:+49301234": {"scheme": Scheme.TEL, "host": b""},
    b"mailto:a@b": {"scheme": Scheme.UNKNOWN_SCHEME},
}


@pytest.mark.parametrize("uri", URIS)
def test_parts_of_a_uri(uri: bytes) -> None:
    found = agreed("uri", uri)
    assert not found["fault"]
    for name, value in URIS[uri].items():
        assert (text(uri, found, name) if isinstance(value, bytes) else found[name]) == value, name


def test_headers_of_a_uri() -> None:
    uri = b"sip:u@h:5060;x?Subject=hi&y=z"
    found = agreed("uri", uri)
    assert uri[found["headers"] :] == b"?Subject=hi&y=z"
    assert uri[found["params"] : found["params_end"]] == b";x"
    assert uri[found["host"] : found["hostport_end"]] == b"h:5060"


@pytest.mark.parametrize(
    "uri", [b"", b"sip", b"sip:", b"sip:@h", b"sip:u@", b"sip:u@h:x", b"sip:u@h:70000", b"sip:[::1"]
)
def test_a_uri_that_is_none(uri: bytes) -> None:
    assert agreed("uri", uri)["fault"]


ADDRESSES = {
    b"<sip:a@b>;tag=t1": (b"sip:a@b", b"t1"),
    b'"A <sip:x@y>, \\" B" <sip:a@b;lr>;x=y;Tag=t2': (b"sip:a@b;lr", b"t2"),
    b"Alice Smith <sip:a@b>": (b"sip:a@b", b""),
    b"sip:a@b;tag=t3": (b"sip:a@b", b"t3"),  # without brackets parameters are the header's
    b"<sip:a@b;tag=no>;tag=yes": (b"sip:a@b;tag=no", b"yes"),
    b'<sip:a@b>;x="tag=no";tag=yes': (b"sip:a@b", b"yes"),
    b"<tel:+1>;tag=z": (b"tel:+1", b"z"),
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_parts_of_an_address(address: bytes) -> None:
    found = agreed("address", address)
    assert not found["fault"]
    assert (text(address, found, "uri"), text(address, found, "tag")) == ADDRESSES[address]


@pytest.mark.parametrize("address", [b"", b"<sip:a@b", b'"open <sip:a@b>', b"<>"])
def test_an_address_that_is_none(address: bytes) -> None:
    assert agreed("address", address)["fault"]


def test_the_user_of_credentials() -> None:
    value = b'Digest realm="r, x", username="al\\"ice" , nonce="n"'
    found = agreed("credentials", value)
    assert text(value, found, "user") == b'al\\"ice'
    assert _auth.credentials(b'Digest realm="username=x"')["user_end"] == 0


WORDS = rb'sip: SIP/2.0/UDP < > " \ @ : ; = , [::1] tag branch rport lr Digest username= h 5'
grammar = st.lists(
    st.sampled_from([*WORDS.split(b" "), b"SIP/2.0/UDP ", b"Digest ", b" ", b"\r\n "]), max_size=25
).map(b"".join)


@given(st.sampled_from(["via", "uri", "address", "credentials"]), grammar)
def test_whatever_is_written_is_read_alike(name: str, data: bytes) -> None:
    found = agreed(name, data)
    for key, value in found.items():
        if key.endswith("_end"):
            assert 0 <= value <= len(data), (key, data)


# -- branches and edits


def siphash_1_3(key: bytes, data: bytes) -> int:
    """Aumasson's and Bernstein's paper, with one and three rounds: for what stands in one piece."""
    mask = (1 << 64) - 1
    k0, k1 = (int.from_bytes(key[i : i + 8], "little") for i in (0, 8))
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]

    def turn(x: int, n: int) -> int:
        return ((x << n) | (x >> (64 - n))) & mask

    def rounds(n: int) -> None:
        for _ in range(n):
            v[0] = (v[0] + v[1]) & mask
            v[1] = turn(v[1], 13) ^ v[0]
            v[0] = turn(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = turn(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = turn(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = turn(v[1], 17) ^ v[2]
            v[2] = turn(v[2], 32)

    tail = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for i in range(0, len(tail), 8):
        word = int.from_bytes(tail[i : i + 8], "little")
        v[3] ^= word
        rounds(1)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(3)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=64))
def test_the_keyed_hash_of_one_piece_is_siphash(key: bytes, data: bytes) -> None:
    assert _branch.keyed_hash(key, data) == siphash_1_3(key, data)


@given(st.lists(st.binary(max_size=20), max_size=4))
def test_pieces_have_borders(pieces: list[bytes]) -> None:
    key = bytes(range(16))
    whole = _branch.keyed_hash(key, *pieces)
    if len(pieces) > 1 and pieces[0] and pieces[1]:
        assert whole != _branch.keyed_hash(key, pieces[0] + pieces[1], *pieces[2:])
    assert pure("ds_farm.sip._branch") is not _branch


@given(st.binary(min_size=1, max_size=60), st.data())
def test_edits_are_what_a_slice_would_be(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), min_size=2, max_size=8)))
    edits, expected, last = [], b"", 0
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        new = draw.draw(st.binary(max_size=9))
        edits.append((start, end, new))
        expected += data[last:start] + new
        last = end
    expected += data[last:]
    assert _edit.apply(data, edits) == expected
    if len(set(cuts)) == len(cuts):  # at one place the order of edits is theirs
        assert _edit.apply(data, edits[::-1]) == expected
