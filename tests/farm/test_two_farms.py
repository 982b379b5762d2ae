"""Two farms on one host, with different names: neither sees anything of the other."""

from __future__ import annotations

import signal
from pathlib import Path

from ds_farm.dispatch.model import State
from tests.support import counts
from tests.support.command import ds_farm
from tests.support.farm import Farm
from tests.support.sipp import Caller, Destination
from tests.support.wait import until


def test_each_has_its_own(tmp_path: Path, destinations: list[Destination]) -> None:
    uris = [each.uri for each in destinations]
    with Farm(tmp_path / "a", uris[:2]) as one, Farm(tmp_path / "b", uris) as two:
        assert not set(one.shared_objects()) & set(two.shared_objects())
        with Caller(tmp_path, one.sip, 60, 300) as caller:
            result = caller.wait()
            assert (result.successful, result.failed) == (60, 0), caller.report()
        sent = result.sent
        until(lambda: sum(counts.of(one).responses.values()) == sent, "all responses counted")
        assert sum(counts.of(two).requests.values()) == 0
        assert counts.of(two).cursors == {1: 0}
        name = "ds_farm_destination_requests_total"
        assert (one.metrics().total(name), two.metrics().total(name)) == (sent, 0)
        # States, reloads, signals.
        done = ds_farm("mi", "ds_set_state", "i", "1", uris[0], "-c", one.config, cwd=tmp_path)
        assert done.returncode == 0, done
        assert counts.of(one).states[uris[0]] is State.INACTIVE
        assert counts.of(two).states[uris[0]] is State.ACTIVE
        one.reload(uris[:1])
        assert (one.reloads()[0], two.reloads()[0]) == (2, 1)
        before = {child.pid for child in two.processes()}
        assert one.stop(signal.SIGINT) == 0
        assert one.shared_objects() == []
        assert {child.pid for child in two.processes()} == before
        with Caller(tmp_path, two.sip, 60, 300) as caller:
            assert caller.wait().failed == 0
