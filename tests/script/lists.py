"""Two partitions with lists of destinations to fail over in, for the tests of these lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ds_farm.script.settings import AvpNames, ScriptSettings
from tests.support.request import Script, dest, make_sets

A, B, C = (f"sip:192.0.2.{i}" for i in range(1, 4))
X, Y = "sip:198.51.100.1", "sip:198.51.100.2"
SOCKETS = [
    ("127.0.0.1", 5060, "127.0.0.1", 5060),
    ("127.0.0.2", 5070, "sip.example.net", 5070),
    ("127.0.0.1", 5080, "127.0.0.1", 5080),
]
SETTINGS = ScriptSettings(
    avps={"default": AvpNames(attrs="attrs"), "part2": AvpNames("d2", "g2", "c2", "s2", "a2")}
)
ROWS = [
    dest(A, attrs="a=1", socket="udp:127.0.0.2:5070"),
    dest(B, attrs=""),
    dest(C, attrs="c=3", socket="127.0.0.1:5080"),
]
AVPS = ("ds_dst_failover", "ds_sock_failover", "attrs", "ds_grp_failover", "ds_cnt_failover")


@contextmanager
def two_partitions() -> Iterator[Script]:
    """Sets 1 and 2 of the default partition, set 1 of part2; three sockets."""
    sets = make_sets({1: ROWS, 2: [dest(X, attrs="x"), Y]})
    sets += make_sets({1: [Y, X]}, "part2")
    with Script(sets, SETTINGS, sockets=SOCKETS) as made:
        yield made
