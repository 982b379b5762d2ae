"""What the segment knows of probes: enough for a successor to go on with the open ones.

Only the timer writes here.  Orders that a SIGKILL between two words leaves harmless:

 (a) number, time, open; then the request is sent.  Who dies before it is sent has a probe open that
     its successor sends again in due time (timer E); nobody sends a second one.
 (b) the destination's state, then the probe's end.  Who dies in between has its successor wait for
     a probe that was judged already; a failure is never lost.
"""

from __future__ import annotations

from ds_farm.probe.prober import Ended
from ds_farm.probe.request import Probe
from ds_farm.probe.rtt import bucket, smooth
from shm._native import FIELDS, SIZES
from shm.segment import Segment

_NUMBER, _SENT_NS, _OPEN, _RESULTS, _AGAIN, _STATUS, _RTT, _SMOOTHED = (
    FIELDS["Probe"][name][0]
    for name in (
        "number",
        "sent_ns",
        "open",
        "results",
        "retransmissions",
        "status",
        "rtt_ns",
        "rtt_smoothed_ns",
    )
)
_SUM, _BUCKETS = (FIELDS["SetProbes"][name][0] for name in ("rtt_sum_ns", "rtt_buckets"))
_SIZE, _SET_SIZE = SIZES["Probe"], SIZES["SetProbes"]


class Records:
    """Access to `Probe` and `SetProbes` of the segment.

    By address: with the views of `shm.layout`, this was half of the timer's work.
    """

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._load = segment.memory.load
        self._store = segment.memory.store
        self._first = segment.layout.probe
        self._first_set = segment.layout.set_probes

    def _at(self, slot: int) -> int:
        return self._first + slot * _SIZE

    def last(self, slot: int) -> Probe | None:
        """The destination's last probe, None if it never had one."""
        at = self._at(slot)
        sent_ns = self._load(at + _SENT_NS)
        return Probe(slot, self._load(at + _NUMBER), sent_ns) if sent_ns else None

    def is_open(self, slot: int) -> bool:
        """Whether its last probe has not ended."""
        return bool(self._load(self._at(slot) + _OPEN))

    def begin(self, slot: int, now_ns: int) -> Probe:
        """Write that a probe is sent now; it is sent after that (order a)."""
        at = self._at(slot)
        number = self._load(at + _NUMBER) + 1
        self._store(at + _NUMBER, number)
        self._store(at + _SENT_NS, now_ns)
        self._store(at + _OPEN, 1)
        return Probe(slot, number, now_ns)

    def sent_again(self, slot: int) -> None:
        """Count a retransmission."""
        self._count(self._at(slot) + _AGAIN)

    def end(self, set_slot: int, ended: Ended) -> None:
        """Write how a probe ended; its destination's state has been told (order b)."""
        at = self._at(ended.slot)
        self._count(at + _RESULTS + 8 * ended.result)
        if ended.status:
            self._store(at + _STATUS, ended.status)
            self._store(at + _RTT, ended.rtt_ns)
            self._store(at + _SMOOTHED, smooth(self._load(at + _SMOOTHED), ended.rtt_ns))
            answers = self._first_set + set_slot * _SET_SIZE
            self._count(answers + _SUM, ended.rtt_ns)
            self._count(answers + _BUCKETS + 8 * bucket(ended.rtt_ns))
        self._store(at + _OPEN, 0)

    def ignored(self) -> None:
        """Count a reply that belongs to no open probe."""
        self._segment.header.add("probe_replies_ignored")

    def _count(self, offset: int, amount: int = 1) -> None:
        self._store(offset, self._load(offset) + amount)
