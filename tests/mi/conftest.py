"""A segment with destinations for commands, without processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ds_farm.config import Config
from ds_farm.dispatch.model import Address, Destination, DestinationSet, State
from ds_farm.dispatch.registry import Registry
from ds_farm.mi.farm import Farm
from shm.segment import Segment, remove_leftovers

SETS = [
    DestinationSet(
        "default",
        1,
        (
            Destination(
                "sip:127.0.0.1:7000",
                state=State.INACTIVE,
                socket="udp:127.0.0.1:15160",
                attrs="a0",
                addresses=(Address("127.0.0.1", 7000),),
            ),
            Destination("sip:127.0.0.1:7001", addresses=(Address("127.0.0.1", 7001),)),
        ),
    ),
]


@pytest.fixture
def spec_farm() -> Iterator[Farm]:
    """The destinations of the examples in semantics section 6.1."""
    name = f"test-mi-spec-{os.getpid()}"
    segment = Segment.create(name, max_workers=1, max_sets=8, max_destinations=16)
    registry = Registry(segment)
    registry.publish(SETS)
    config = Config.model_validate({"dispatcher": {"db_url": "sqlite:////nowhere"}})
    yield Farm(config, segment, registry, lambda *_: "")
    segment.unlink()
    remove_leftovers(name)
    segment.close()
