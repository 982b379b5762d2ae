"""ds_count in event, local, timer and startup routes of a running farm (documentation 1.4.7)."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from ds_farm.dispatch.model import State
from shm.layout import Role
from tests.farm.probes import set_state
from tests.support.farm import Farm
from tests.support.uas import Uas, answering
from tests.support.wait import until

SCRIPT = """
loadmodule "dispatcher.so"
loadmodule "sipmsgops.so"
loadmodule "sl.so"
modparam("dispatcher", "ds_ping_interval", 1)
modparam("dispatcher", "ds_probing_mode", 1)

startup_route {
    ds_count("1", "a", "$var(at_start)");
    xlog("L_INFO", "startup: $var(at_start)\\n");
}

timer_route[watch, 1] {
    update_stat("turns", 1);
    ds_count("1", "a", "$avp(active)");
    xlog("L_INFO", "turn: $avp(active) active, $var(at_start) at start, $stat(turns)\\n");
}

local_route {
    ds_count("1", "i", "$var(inactive)");
    append_hf("X-Inactive: $var(inactive)\\r\\n");
}

event_route[E_DISPATCHER_STATUS] {
    ds_count("1", "a", "$var(active)");
    xlog("L_INFO", "event: $param(address) $param(status), $var(active) left\\n");
}

route { sl_send_reply("503", "Nothing Here"); }
"""


def test_each_kind_counts(tmp_path: Path) -> None:
    script = tmp_path / "opensips.cfg"
    script.write_text(SCRIPT)
    with Uas(answering("200 OK")) as one, Uas(answering("200 OK")) as two:
        with Farm(tmp_path, [one.uri, two.uri], script=script) as farm:
            until(lambda: "turn: 2 active, 2 at start, 2" in farm.log(), "two turns")
            set_state(farm, two.uri, State.INACTIVE)
            until(lambda: f"event: {two.uri} inactive, 1 left" in farm.log(), "the event")
            until(lambda: "turn: 1 active, 2 at start" in farm.log(), "one turn more")
            probed = len(one.arrivals)
            until(lambda: len(one.arrivals) > probed + 1, "probes with another number")
            farm.signal(signal.SIGKILL, farm.child(Role.TIMER).pid)
            seen = len(farm.log())
            until(lambda: "turn: 1 active, 0 at start, 1" in farm.log()[seen:], "a successor's")
            assert re.findall(r"startup: (\d+)", farm.log()) == ["2"], "once, by the first one"
        found = [re.search(rb"X-Inactive: (\d)", each.data) for each in one.arrivals]
        headers = [each[1] for each in found if each]
        assert headers[0] == b"0"
        assert headers[-1] == b"1"
        assert len(headers) == len(one.arrivals)
