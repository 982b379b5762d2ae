"""Random calls over random sets agree with the plain model of the documentation.

Each example has sets, weights and states, and fifty steps: calls of ds_select_dst with lists of
sets, algorithms and flags, walked to their end, and changes of state.  A short run belongs to
every test run (some ten thousand selections); more than a million with

    pytest tests/script/test_model.py --hypothesis-profile=long --timeout=7200
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.dispatch.model import State
from ds_farm.script._request import Request
from ds_farm.script.pvars import compile_format
from ds_farm.script.settings import ScriptSettings
from tests.dispatch.model import Member, ModelSet, reference_hash
from tests.support.request import Script, dest

STEPS = 50
ALGORITHMS = (0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 77)
MANY = 1 << 30
LOADS: dict[str, float | None] = {}


@dataclass(frozen=True)
class Item:
    """One set of a call."""

    set_id: int
    algorithm: int
    letters: str
    limit: int | None

    @property
    def flags(self) -> str:
        if not self.letters:
            return "" if self.limit is None else str(self.limit)
        return self.letters + ("" if self.limit is None else f" M {self.limit}")

    @property
    def failover(self) -> bool:
        return "f" in self.letters


@dataclass(frozen=True)
class Message:
    call_id: str
    caller: str
    callee: str
    target: str
    user: str
    """Of the credentials; empty: there are none."""

    def text(self) -> bytes:
        lines = [
            f"OPTIONS sip:{self.target}@t.example:5070 SIP/2.0",
            "Via: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKm",
            "Max-Forwards: 70",
            f"From: <sip:{self.caller}@f.example>;tag=1",
            f"To: <sip:{self.callee}@o.example>",
            f"Call-ID: {self.call_id}",
            "CSeq: 1 OPTIONS",
            *([f'Authorization: Digest username="{self.user}"'] if self.user else []),
            "",
            "",
        ]
        return "\r\n".join(lines).encode()

    def hashed(self, algorithm: int, user_only: bool) -> int | None:
        """The number that an algorithm draws with, None if the message does not give one."""
        if algorithm in (0, 7):
            return reference_hash(self.call_id.encode())
        if algorithm == 5:
            return reference_hash(self.user.encode()) if self.user else None
        pairs = {
            1: (self.caller, "f.example"),
            2: (self.callee, "o.example"),
            3: (self.target, "t.example:5070"),
        }
        if algorithm not in pairs:
            return 0
        user, host = pairs[algorithm]
        return reference_hash(user.encode(), b"" if user_only else host.encode())


class Checker:
    """Compares what a script gets, destination by destination, with the model."""

    def __init__(self, sets: dict[int, ModelSet]) -> None:
        self.sets = sets

    def expected(self, items: list[Item], message: Message, found: list[str]) -> Iterator[str]:
        """The walk of a call.  ``found`` is looked at for algorithm 6 alone, whose pick may be any
        that has a share."""
        started = False
        place = 0
        any_failover = any(item.failover for item in items)
        for item in items:
            if started and not item.failover:
                continue
            model = self.sets.get(item.set_id)
            default = "d" in item.letters
            chosen = None if model is None else self._pick(model, item, message, found[place:])
            if model is None or chosen is None:
                continue
            started = True
            indexes = [chosen]
            if item.failover:
                limit = MANY if item.limit is None else item.limit
                indexes = model.failover(item.algorithm, chosen, default, limit)
            for index in indexes:
                place += 1
                yield _uri(item.set_id, index)
            if not any_failover:
                return

    def _pick(self, model: ModelSet, item: Item, message: Message, found: list[str]) -> int | None:
        default = "d" in item.letters
        h = message.hashed(item.algorithm, "u" in item.letters)
        if h is None:
            return model.select(4, 0, default)
        if item.algorithm != 6:
            return model.select(item.algorithm, h, default)
        # Whoever has a share; without any weight all have the same.
        active = [i for i in model.drawn(default) if model.members[i].active]
        possible = [i for i in active if model.members[i].weight] or active
        if not possible and default and model.members[-1].active:
            possible = [len(model.members) - 1]
        if not possible:
            return None
        uris = {_uri(item.set_id, index): index for index in possible}
        assert found, "nothing was chosen though something could be"
        assert found[0] in uris, f"{found[0]} has no share in {uris}"
        return uris[found[0]]


def _uri(set_id: int, index: int) -> str:
    return f"sip:192.0.{set_id}.{index + 1}"


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    settings = ScriptSettings(hash_text=compile_format("$ci"), load=lambda request, uri: LOADS[uri])
    with Script({}, settings, seed=99) as made:
        yield made


def _items(choose: random.Random, numbers: list[int]) -> list[Item]:
    return [
        Item(
            choose.choice(numbers),
            choose.choice(ALGORITHMS),
            "".join(
                letter for letter in "fusd" if choose.random() < (0.6 if letter == "f" else 0.3)
            ),
            choose.choice([None, None, 0, 1, 2, 3, 1000]),
        )
        for _ in range(choose.choice([1, 1, 1, 2, 3]))
    ]


def _walk(script: Script, items: list[Item], message: Message, read: bool) -> list[str]:
    sets = ",".join(str(item.set_id) for item in items)
    algorithms = ",".join(str(item.algorithm) for item in items)
    flags: str | None = ",".join(item.flags for item in items)
    assert flags is not None

    def route(request: Request) -> list[str]:
        found: list[str] = []
        more = request.ds_select_dst(sets, algorithms, flags)
        while more and len(found) < 100:
            found.append(str(request.du))
            if read:
                assert request.avp.all("ds_dst_failover")[:1] in ([], [request.du])
            more = request.ds_next_dst()
        return found

    return script.run(route, message.text())


members = st.builds(
    Member,
    weight=st.one_of(st.integers(0, 4), st.sampled_from([0, 1, 50])),
    active=st.booleans(),
    load=st.sampled_from([None, 0.0, 1.0, 1.0, 2.5]),
)


@given(
    groups=st.lists(st.lists(members, min_size=1, max_size=6), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_selections_agree_with_the_model(
    script: Script, groups: list[list[Member]], seed: int
) -> None:
    choose = random.Random(seed)
    checker = Checker({number: ModelSet(group) for number, group in enumerate(groups, start=1)})
    script.publish([])
    LOADS.clear()
    LOADS.update(
        (_uri(number, index), member.load)
        for number, group in enumerate(groups, start=1)
        for index, member in enumerate(group)
    )
    script.publish(
        {
            number: [
                dest(
                    _uri(number, index),
                    member.weight,
                    state=State.ACTIVE if member.active else choose.choice(list(State)[1:]),
                )
                for index, member in enumerate(group)
            ]
            for number, group in enumerate(groups, start=1)
        }
    )
    script.registry.collect()
    numbers = [*checker.sets, max(checker.sets) + 1]
    keys = itertools.count(choose.getrandbits(30))
    for _ in range(STEPS):
        if choose.random() < 0.2:
            number = choose.choice(list(checker.sets))
            index = choose.randrange(len(groups[number - 1]))
            state = choose.choice(list(State))
            groups[number - 1][index].active = state is State.ACTIVE
            script.set_state(_uri(number, index), state, number)
            continue
        key = next(keys)
        message = Message(
            f"{key:x}@host",
            f"f{key}",
            f"o{key * 7}",
            f"t{key * 3}",
            choose.choice(["", f"user{key}"]),
        )
        items = _items(choose, numbers)
        found = _walk(script, items, message, choose.random() < 0.3)
        assert found == list(checker.expected(items, message, found)), items
    assert not script.complaints
