"""What the segment knows of probes: enough for a successor to go on with the open ones.

Only the timer writes here.  Orders that a SIGKILL between two words leaves harmless:

 (a) number, time, open; then the request is sent.  Who dies before it is sent has a probe open that
     its successor sends again in due time (timer E); nobody sends a second one.
 (b) the destination's state, then the probe's end.  Who dies in between has its successor wait for
     a probe that was judged already; a failure is never lost.
"""

from __future__ import annotations

from ds_farm.probe.prober import Ended, Result
from ds_farm.probe.request import Probe
from ds_farm.probe.rtt import bucket, smooth
from shm.segment import Segment


class Records:
    """Access to `Probe` and `SetProbes` of the segment."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment

    def last(self, slot: int) -> Probe | None:
        """The destination's last probe, None if it never had one."""
        view = self._segment.probe(slot)
        return Probe(slot, view.number, view.sent_ns) if view.sent_ns else None

    def is_open(self, slot: int) -> bool:
        """Whether its last probe has not ended."""
        return bool(self._segment.probe(slot).open)

    def begin(self, slot: int, now_ns: int) -> Probe:
        """Write that a probe is sent now; it is sent after that (order a)."""
        view = self._segment.probe(slot)
        number = view.number + 1
        view.number = number
        view.sent_ns = now_ns
        view.open = 1
        return Probe(slot, number, now_ns)

    def sent_again(self, slot: int) -> None:
        """Count a retransmission."""
        view = self._segment.probe(slot)
        view.retransmissions = view.retransmissions + 1

    def end(self, set_slot: int, ended: Ended) -> None:
        """Write how a probe ended; its destination's state has been told (order b)."""
        view = self._segment.probe(ended.slot)
        offset = view.offset("results", ended.result)
        self._segment.memory.store(offset, self._segment.memory.load(offset) + 1)
        if ended.result in (Result.GOOD, Result.BAD):
            view.status = ended.status
            view.rtt_ns = ended.rtt_ns
            view.rtt_smoothed_ns = smooth(view.rtt_smoothed_ns, ended.rtt_ns)
            answers = self._segment.set_probes(set_slot)
            answers.rtt_sum_ns = answers.rtt_sum_ns + ended.rtt_ns
            offset = answers.offset("rtt_buckets", bucket(ended.rtt_ns))
            self._segment.memory.store(offset, self._segment.memory.load(offset) + 1)
        view.open = 0

    def ignored(self) -> None:
        """Count a reply that belongs to no open probe."""
        self._segment.header.add("probe_replies_ignored")
