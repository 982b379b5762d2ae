"""A file to a configuration, and every mistake of a file with its line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from ds_farm.config import Config, ConfigProblems, Problem, load
from ds_farm.config.opensips import Endpoint
from ds_farm.errors import ConfigError

DOCUMENTED: dict[str, object] = {
    # Table of contents of documentation 1.3, in its order, with the default of each section;
    # "" is its NULL or none.
    "db_url": "",
    "attrs_avp": "",
    "hash_pvar": "",
    "setid_pvar": "",
    "ds_ping_method": "OPTIONS",
    "ds_ping_from": "sip:dispatcher@localhost",
    "ds_ping_interval": 0,
    "ds_probing_sock": "",
    "ds_probing_threshhold": 3,
    "ds_probing_mode": 0,
    "ds_define_blacklist": "",
    "options_reply_codes": "",
    "dst_avp": "$avp(ds_dst_failover)",
    "grp_avp": "$avp(ds_grp_failover)",
    "cnt_avp": "$avp(ds_cnt_failover)",
    "sock_avp": "$avp(ds_sock_failover)",
    "pvar_algo_pattern": "",
    "persistent_state": 1,
    "table_name": "dispatcher",
    "partition": "",
    "setid_col": "setid",
    "destination_col": "destination",
    "state_col": "state",
    "weight_col": "weight",
    "priority_col": "priority",
    "attrs_col": "attrs",
    "socket_col": "socket",
}

EXAMPLES: dict[str, str] = {
    # The examples 1.1 to 1.28, as TOML.
    "db_url": '"mysql://user:passwb@localhost/database"',
    "attrs_avp": '"$avp(272)"',
    "hash_pvar": '"hash the $fU@$ci"',
    "setid_pvar": '"$var(setid)"',
    "ds_ping_method": '"INFO"',
    "ds_ping_from": '"sip:proxy@sip.somehost.com"',
    "ds_ping_interval": "30",
    "ds_probing_sock": '"udp:192.168.1.100:5077"',
    "ds_probing_threshhold": "10",
    "ds_probing_mode": "1",
    "ds_define_blacklist": '["list= 1,4,3", "blist2= 2,10,6"]',
    "options_reply_codes": '"501, 403"',
    "dst_avp": '"$avp(271)"',
    "grp_avp": '"$avp(273)"',
    "cnt_avp": '"$avp(274)"',
    "sock_avp": '"$avp(275)"',
    "pvar_algo_pattern": '"$stat(load_%u)"',
    "persistent_state": "0",
    "table_name": '"my_dispatcher"',
    "partition": '"part2 : db_url=mysql://user:passwd@localhost/database; '
    'table_name = ds_table; ds_define_blacklist= list2= 4,6;"',
    "setid_col": '"groupid"',
    "destination_col": '"uri"',
    "state_col": '"dststate"',
    "weight_col": '"dstweight"',
    "priority_col": '"dstprio"',
    "attrs_col": '"dstattrs"',
    "socket_col": '"my_sock"',
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ds_farm.toml"


def _load(file: Path, text: str, *, for_run: bool = False) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file, for_run=for_run)


def _problems(file: Path, text: str, *, for_run: bool = False) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigProblems) as caught:
        _load(file, text, for_run=for_run)
    problems = [each for each in caught.value.problems if isinstance(each, Problem)]
    assert all(each.file == file for each in problems)
    assert str(caught.value) == "\n".join(map(str, problems))
    return [(each.line, each.key, each.text) for each in problems]


def test_there_are_27_documented_parameters() -> None:
    assert len(DOCUMENTED) == len(EXAMPLES) == 27
    assert DOCUMENTED.keys() == EXAMPLES.keys()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_parameter_with_its_default_changes_nothing(file: Path, name: str) -> None:
    value = DOCUMENTED[name]
    text = f'"{value}"' if isinstance(value, str) else str(value)
    # The default partition is there with and without it (documentation 1.1).
    url = "" if name == "db_url" else 'db_url = "sqlite:////f"\n'
    without = _load(file, f"[dispatcher]\n{url}")
    assert _load(file, f"[dispatcher]\n{url}{name} = {text}\n") == without


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_of_the_documentation_is_accepted(file: Path, name: str) -> None:
    url = "" if name == "db_url" else 'db_url = "sqlite:////f"\n'
    without = _load(file, f"[dispatcher]\n{url}")
    assert _load(file, f"[dispatcher]\n{url}{name} = {EXAMPLES[name]}\n") != without


def test_decision_19_both_spellings_of_the_threshold(file: Path) -> None:
    for name in ("ds_probing_threshhold", "ds_probing_threshold"):
        assert _load(file, f"[dispatcher]\n{name} = 7").dispatcher.ds_probing_threshold == 7
    both = "[dispatcher]\nds_probing_threshhold = 7\nds_probing_threshold = 7\n"
    ((line, key, text),) = _problems(file, both)
    assert (line, key) == (3, "dispatcher.ds_probing_threshold")
    assert "ds_probing_threshhold, which is given too" in text


def test_switches_take_true_and_false(file: Path) -> None:
    assert _load(file, "[dispatcher]\npersistent_state = false").dispatcher.persistent_state == 0


def test_http_services_can_be_switched_off(file: Path) -> None:
    config = _load(file, '[metrics]\nlisten = ""\n[mi]\nhttp = "[::1]:8080"')
    assert config.metrics.listen is None
    assert config.mi.http == Endpoint("::1", 8080)


def test_nothing_can_be_changed_later(file: Path) -> None:
    config = _load(file, "")
    with pytest.raises(ValidationError):
        config.farm.name = "other"
    with pytest.raises(ValidationError):
        config.farm = config.farm


def test_a_relative_sqlite_file_lies_beside_the_configuration(file: Path) -> None:
    config = _load(
        file,
        '[dispatcher]\ndb_url = "sqlite:///a.sqlite"\n'
        'partition = "p : db_url=sqlite:///sub/b.sqlite"\n'
        '[dispatcher.partitions.q]\ndb_url = "sqlite:////c.sqlite"\n',
    )
    assert config.dispatcher.db_url == f"sqlite:///{file.parent}/a.sqlite"
    assert config.dispatcher.partition[0].db_url == f"sqlite:///{file.parent}/sub/b.sqlite"
    assert config.dispatcher.partitions["q"].db_url == "sqlite:////c.sqlite"


def test_the_routing_module_lies_beside_the_configuration(file: Path) -> None:
    assert _load(file, "").route_module is None
    config = _load(file, '[farm]\nroute_module = "routes.py"')
    assert config.route_module == file.parent / "routes.py"
    assert config.path == file


def test_children_follow_the_machine_but_not_beyond_the_ceiling(file: Path) -> None:
    assert 1 <= _load(file, "").farm.children <= 32
    assert _load(file, "[farm]\nmax_children = 1").farm.children == 1


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("[farm]\nnam = 1", 2, "farm.nam", "did you mean farm.name?"),
        ("\n[dispather]\ndb_url = ''", 2, "dispather", "did you mean dispatcher?"),
        ("[dispatcher]\nchildren = 1", 2, "dispatcher.children", "did you mean farm.children?"),
        ("[log]\nxyz = 1", 2, "log.xyz", "known are level, format"),
        ("[farm]\nchildren = '4'", 2, "farm.children", "got '4' (text), expected a whole number"),
        ("[farm]\nchildren = 0", 2, "farm.children", "from 1 to 1024"),
        ("[farm]\nchildren = true", 2, "farm.children", "got true, expected a whole number"),
        ("[farm]\nstop_timeout_s = 0", 2, "farm.stop_timeout_s", "above 0 to 3600"),
        ("[farm]\nhang_timeout_s = 1", 2, "farm.hang_timeout_s", "from 2 to 3600"),
        ("[farm]\nmax_destinations = 0", 2, "farm.max_destinations", "from 1 to 1048576"),
        ("[farm]\nname = 'a/b'", 2, "farm.name", "letters, digits"),
        ("farm = 3", 1, "farm", "got 3 (a whole number), expected a table"),
        ("[farm]\nsocket = 5", 2, "farm.socket", "expected a list"),
        ("[farm]\nsocket = [\n  '127.0.0.1',\n  'x:y:z',\n]", 4, "farm.socket[1]", "'x'"),
        ("[log]\nlevel = 'loud'", 2, "log.level", "'debug', 'info'"),
        ("[mi]\nmode = '0668'", 2, "mi.mode", "expected an octal mode as chmod takes it"),
        ("[dispatcher]\nds_ping_from = 'x'", 2, "dispatcher.ds_ping_from", "a SIP URI"),
        ("[dispatcher]\nds_ping_method = 'a b'", 2, "dispatcher.ds_ping_method", "SIP method"),
        (
            "[dispatcher]\nds_ping_method = 'INVITE'",
            2,
            "dispatcher.ds_ping_method",
            "whose transaction ends with one reply",
        ),
        ("[dispatcher]\nds_probing_mode = 2", 2, "dispatcher.ds_probing_mode", "from 0 to 1"),
        ("[dispatcher]\nds_probing_threshold = 0", 2, "dispatcher.ds_probing_threshold", "from 1"),
        ("[dispatcher]\npartition = [\n'p:x=1']", 3, "dispatcher.partition[0]", "unknown key 'x'"),
        (
            "[dispatcher.partitions.p]\ndb_url = 'sqlite:////f'\ntabel_name = 'x'",
            3,
            "dispatcher.partitions.p.tabel_name",
            "did you mean dispatcher.partitions.p.table_name?",
        ),
        ("[dispatcher.partitions.'a:b']", 1, "dispatcher.partitions.a:b", "no partition name"),
        ("[route]\nset = 1", 2, "route.set", "got 1 (a whole number), expected text"),
        ("[route]\nset = 'x'", 2, "route.set", "'x' is not a number"),
        ("[route]\nflags = 'fx'", 2, "route.flags", "unknown flag 'x'"),
        ("[route]\nalgorithm = ''", 2, "route.algorithm", "not a number"),
    ],
)
def test_a_mistake_has_its_line_and_key(
    file: Path, text: str, line: int, key: str, words: str
) -> None:
    ((found_line, found_key, found_text),) = _problems(file, text)
    assert (found_line, found_key) == (line, key)
    assert words in found_text


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[farm", 1, "not TOML"),
        ("[farm]\nname = \n", 2, "not TOML"),
        ('[farm]\nname = "x', 2, "not TOML"),
        ("[farm]\n[farm]\n", 2, "not TOML"),
    ],
)
def test_a_syntax_error_has_its_line(file: Path, text: str, line: int, words: str) -> None:
    ((found_line, key, found_text),) = _problems(file, text)
    assert (found_line, key) == (line, "")
    assert found_text.startswith(words)


def test_what_is_no_text_or_no_file(file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(file)
    file.write_bytes(b"[farm]\n# \xff\n")
    with pytest.raises(ConfigError, match=r"ds_farm\.toml:2: this is not UTF-8"):
        load(file)


def test_a_file_of_another_system_is_read(file: Path) -> None:
    file.write_bytes(b"[farm]\r\nname = 'x'\r\nchildren = 0\r\n")
    with pytest.raises(ConfigError, match=r":3: farm\.children"):
        load(file)


def test_all_mistakes_come_at_once_in_order(file: Path) -> None:
    found = _problems(
        file,
        "[farm]\nchildren = 40\nname = ''\n[route]\nset = '1,2'\n[x]\n[log]\nlevel = 5\n",
    )
    assert [(line, key) for line, key, _ in found] == [
        (2, "farm.children"),
        (3, "farm.name"),
        (5, "route.set"),
        (6, "x"),
        (8, "log.level"),
    ]


def test_a_rule_is_silent_about_a_key_that_is_wrong_itself(file: Path) -> None:
    found = _problems(file, "[farm]\nchildren = 40\nmax_children = 'many'\n")
    assert [key for _, key, _ in found] == ["farm.max_children"]


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[farm]\nsocket = ['127.0.0.1', 'udp:127.0.0.1:5060']", "farm.socket[1]", "twice"),
        ("[mi]\nhttp = '127.0.0.1:9464'", "mi.http", "both 127.0.0.1:9464"),
        ("[dispatcher]\ntable_name = 'x'", "dispatcher.db_url", "has no db_url"),
        (
            "[dispatcher]\npartition = 'p : table_name=x'",
            "dispatcher.partition[0].db_url",
            "none to inherit",
        ),
        (
            "[dispatcher]\ndb_url='sqlite:////f'\nds_define_blacklist = ['a=1', 'a=2']",
            "dispatcher.ds_define_blacklist",
            "'a' is defined twice",
        ),
        ("[route]\nset = '1,2,3'\nalgorithm = '4,0'", "route.set", "3 sets"),
    ],
)
def test_rules_between_keys(file: Path, text: str, key: str, words: str) -> None:
    ((_, found_key, found_text),) = _problems(file, text)
    assert found_key == key
    assert words in found_text


def test_decision_9_unequal_lists_name_both_lengths(file: Path) -> None:
    ((_, _, text),) = _problems(file, "[route]\nset = '1,2,3'\nalgorithm = '4,0'")
    assert "3 sets" in text
    assert "2 algorithms" in text


def test_what_a_farm_cannot_start_without(file: Path) -> None:
    _load(file, "")
    found = _problems(file, "", for_run=True)
    assert {key for _, key, _ in found} == {"farm.socket", "dispatcher.db_url"}


def test_the_built_in_route_needs_its_partition(file: Path) -> None:
    text = "farm.socket = '127.0.0.1'\ndispatcher.db_url = 'sqlite:////f'\nroute.set = 'q : 1'\n"
    _load(file, text)
    assert _problems(file, text, for_run=True) == [
        (3, "route.set", "the built-in route is for partition 'q', there is only default")
    ]
    _load(file, text + "farm.route_module = 'routes.py'\n", for_run=True)


def test_values_that_come_with_the_command_count_instead(file: Path) -> None:
    file.write_text("[farm]\nname = 'a'\n")
    config = load(file, instead={("farm", "name"): "b", ("log", "level"): "debug"})
    assert (config.farm.name, config.log.level) == ("b", "debug")
    with pytest.raises(ConfigError, match=r"^--set: farm\.children: got 0"):
        load(file, instead={("farm", "children"): 0})


def test_no_text_shows_a_password(file: Path) -> None:
    config = _load(
        file,
        '[dispatcher]\ndb_url = "mysql://u:secret@h/d"\n'
        'partition = "p : db_url=mysql://u:secret@h/e"\n',
    )
    assert "secret" not in repr(config)
    for line in ('db_url = "user:secret@h"', 'partition = "p : db_url=user:secret@h"'):
        assert "secret" not in str(_problems(file, f"[dispatcher]\n{line}"))


@pytest.mark.parametrize(
    ("socket", "known"),
    [
        ("udp:127.0.0.1:5070", True),
        ("127.0.0.1", True),
        ("sip.example.net:5060", True),
        ("SIP.example.net", True),
        ("udp:127.0.0.1:5071", False),
        ("tcp:127.0.0.1:5070", False),
        ("udp:192.0.2.1:5070", False),
    ],
)
def test_ds_probing_sock_is_one_of_ours(file: Path, socket: str, known: bool) -> None:
    # Semantics 5; OpenSIPS does not start with another one.
    text = (
        "farm.socket = ['127.0.0.1:5070', '0.0.0.0:5060 as sip.example.net']\n"
        "dispatcher.db_url = 'sqlite:////f'\n"
        f"dispatcher.ds_probing_sock = '{socket}'\n"
    )
    if known:
        _load(file, text, for_run=True)
    else:
        ((line, key, words),) = _problems(file, text, for_run=True)
        assert (line, key) == (3, "dispatcher.ds_probing_sock")
        assert f"'{socket}' is none of farm.socket: udp:127.0.0.1:5070, udp:0.0.0.0:5060" in words
