"""Inheritance between partitions (documentation 1.1, semantics 1.8)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ds_farm.config import PartitionConfig, load, resolve
from ds_farm.config.opensips import Blacklist

Resolve = Callable[[str], dict[str, PartitionConfig]]


@pytest.fixture
def partitions(tmp_path: Path) -> Resolve:
    """The partitions of a [dispatcher] section, by name and in order."""

    def resolved(text: str) -> dict[str, PartitionConfig]:
        file = tmp_path / "ds_farm.toml"
        file.write_text("[dispatcher]\n" + text)
        return {each.name: each for each in resolve(load(file).dispatcher)}

    return resolved


def test_without_any_parameter_there_is_no_partition(partitions: Resolve) -> None:
    assert partitions("ds_ping_interval = 30") == {}


def test_the_default_partition_with_documented_defaults(partitions: Resolve) -> None:
    (default,) = partitions("db_url = 'sqlite:////f'").values()
    assert default == PartitionConfig(
        name="default",
        db_url="sqlite:////f",
        table_name="dispatcher",
        dst_avp="$avp(ds_dst_failover)",
        grp_avp="$avp(ds_grp_failover)",
        cnt_avp="$avp(ds_cnt_failover)",
        sock_avp="$avp(ds_sock_failover)",
        attrs_avp=None,
        blacklists=(),
    )


def test_decision_28_partitions_without_a_default_one(partitions: Resolve) -> None:
    found = partitions("partition = 'p : db_url=sqlite:////f'")
    assert list(found) == ["p"]
    assert found["p"].table_name == "dispatcher"
    assert found["p"].dst_avp == "$avp(ds_dst_failover_p)"


def test_what_is_left_out_comes_from_the_default_partition(partitions: Resolve) -> None:
    found = partitions(
        "db_url = 'sqlite:////f'\ntable_name = 't'\ndst_avp = '$avp(271)'\n"
        "attrs_avp = '$avp(272)'\nds_define_blacklist = 'a = 1'\n"
        "partition = ['p : grp_avp = $avp(g); ds_define_blacklist = b = 2, 3']"
    )
    p = found["p"]
    assert (p.db_url, p.table_name) == ("sqlite:////f", "t")
    assert (p.dst_avp, p.attrs_avp) == ("$avp(271_p)", "$avp(272_p)")
    assert p.grp_avp == "$avp(g)"
    assert p.blacklists == (Blacklist("b", (2, 3)),)
    assert found["default"].blacklists == (Blacklist("a", (1,)),)


def test_named_partitions_in_their_order_and_default_last(partitions: Resolve) -> None:
    found = partitions(
        "db_url = 'sqlite:////f'\npartition = ['z : table_name=z', 'a : table_name=a']\n"
        "partitions.m.table_name = 'm'"
    )
    assert list(found) == ["z", "a", "m", "default"]


def test_whole_names_are_compared(partitions: Resolve) -> None:
    found = partitions(
        "db_url = 'sqlite:////f'\npartition = ['part2 : table_name=a', 'part : table_name=b']"
    )
    assert found["part2"].table_name == "a"
    assert found["part"].table_name == "b"


def test_the_default_partition_can_be_described_by_a_line(partitions: Resolve) -> None:
    found = partitions("table_name = 'x'\npartition = 'default : db_url=sqlite:////f'")
    assert list(found) == ["default"]
    assert (found["default"].db_url, found["default"].table_name) == ("sqlite:////f", "x")


def test_described_twice_is_one_partition(partitions: Resolve) -> None:
    found = partitions(
        "partition = ['p : db_url=sqlite:////f; table_name=a', 'p : table_name=b']\n"
        "partitions.p.cnt_avp = '$avp(c)'"
    )
    assert list(found) == ["p"]
    assert (found["p"].table_name, found["p"].cnt_avp) == ("b", "$avp(c)")


def test_an_empty_value_is_not_set(partitions: Resolve) -> None:
    found = partitions("db_url = 'sqlite:////f'\npartitions.p.db_url = ''")
    assert found["p"].db_url == "sqlite:////f"
