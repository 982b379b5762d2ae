"""Atomic words in a mapped segment, and the field table of its layout.

Every offset that comes from Python is checked against the mapping and must be a multiple of
eight.  This module knows no field by meaning; `shm/layout.py` does.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t

from shm._layout cimport (
    Change,
    Destination,
    DestinationCounters,
    Header,
    Probe,
    Process,
    Set,
    SetCounters,
    SetProbes,
    Worker,
)


cdef class Memory:
    """A buffer (mmap) as 64-bit words with atomic access.

    ``writable=False`` maps a read-only buffer; stores then raise ``TypeError``.
    """

    def __cinit__(self, owner, bint writable=True):
        PyObject_GetBuffer(owner, &self._view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        self._has_view = True
        self._owner = owner
        self.base = <unsigned char *>self._view.buf
        self.size = self._view.len
        if <size_t>self.base % 64:
            raise ValueError("the mapping is not aligned to a cache line")

    def release(self):
        """Give the buffer back, so that the mapping can be closed; no access after that."""
        if self._has_view:
            self._has_view = False
            self.size = 0
            PyBuffer_Release(&self._view)

    def __dealloc__(self):
        if self._has_view:
            PyBuffer_Release(&self._view)

    cdef uint64_t *at(self, Py_ssize_t offset) except NULL:
        if offset < 0 or offset + 8 > self.size or offset % 8:
            raise IndexError(f"no word at offset {offset} of a segment of {self.size} bytes")
        return <uint64_t *>(self.base + offset)

    cdef uint64_t *_writable_at(self, Py_ssize_t offset) except NULL:
        if self._view.readonly:
            raise TypeError("the segment is mapped read-only")
        return self.at(offset)

    def load(self, Py_ssize_t offset):
        """The word at ``offset``, with acquire order."""
        return ds_load(self.at(offset))

    def words(self, Py_ssize_t offset, Py_ssize_t count, Py_ssize_t stride=1):
        """``count`` words from ``offset`` on, every ``stride``-th, each loaded by itself."""
        if count <= 0:
            return []
        if not 0 < stride <= self.size or count > self.size:
            raise IndexError(f"{count} words, every {stride}th, of a segment of {self.size} bytes")
        self.at(offset)
        self.at(offset + 8 * stride * (count - 1))
        return [ds_load(<uint64_t *>(self.base + offset) + i * stride) for i in range(count)]

    def store(self, Py_ssize_t offset, uint64_t value):
        """Write the word at ``offset``, with release order."""
        ds_store(self._writable_at(offset), value)

    def add(self, Py_ssize_t offset, uint64_t amount):
        """Fetch-and-add; returns the value before.  Wraps at 2**64."""
        return ds_add(self._writable_at(offset), amount)

    def swap(self, Py_ssize_t offset, uint64_t expected, uint64_t value):
        """Compare-and-swap; True if the word was ``expected`` and is now ``value``."""
        return ds_cas(self._writable_at(offset), expected, value)


# One line a field keeps the table readable beside _layout.pxd; `_check` proves that it is whole.
cdef Header _h
cdef Process _p
cdef Worker _w
cdef Set _s
cdef Destination _d
cdef Change _c
cdef SetCounters _sc
cdef DestinationCounters _dc
cdef SetProbes _sp
cdef Probe _pr


cdef object _offset(void *base, void *field, size_t size):
    return (<char *>field - <char *>base, size // 8)


FIELDS = {
    "Header": {
        "magic": _offset(&_h, &_h.magic, sizeof(_h.magic)),
        "layout_version": _offset(&_h, &_h.layout_version, sizeof(_h.layout_version)),
        "total_size": _offset(&_h, &_h.total_size, sizeof(_h.total_size)),
        "max_processes": _offset(&_h, &_h.max_processes, sizeof(_h.max_processes)),
        "max_workers": _offset(&_h, &_h.max_workers, sizeof(_h.max_workers)),
        "max_sets": _offset(&_h, &_h.max_sets, sizeof(_h.max_sets)),
        "max_destinations": _offset(&_h, &_h.max_destinations, sizeof(_h.max_destinations)),
        "supervisor_pid": _offset(&_h, &_h.supervisor_pid, sizeof(_h.supervisor_pid)),
        "supervisor_start": _offset(&_h, &_h.supervisor_start, sizeof(_h.supervisor_start)),
        "created_ns": _offset(&_h, &_h.created_ns, sizeof(_h.created_ns)),
        "secret": _offset(&_h, &_h.secret, sizeof(_h.secret)),
        "children_asked": _offset(&_h, &_h.children_asked, sizeof(_h.children_asked)),
        "generation": _offset(&_h, &_h.generation, sizeof(_h.generation)),
        "sets_used": _offset(&_h, &_h.sets_used, sizeof(_h.sets_used)),
        "destinations_used": _offset(&_h, &_h.destinations_used, sizeof(_h.destinations_used)),
        "reloads_ok": _offset(&_h, &_h.reloads_ok, sizeof(_h.reloads_ok)),
        "reloads_failed": _offset(&_h, &_h.reloads_failed, sizeof(_h.reloads_failed)),
        "discarded": _offset(&_h, &_h.discarded, sizeof(_h.discarded)),
        "load_errors": _offset(&_h, &_h.load_errors, sizeof(_h.load_errors)),
        "last_reload_ns": _offset(&_h, &_h.last_reload_ns, sizeof(_h.last_reload_ns)),
        "reload_requests": _offset(&_h, &_h.reload_requests, sizeof(_h.reload_requests)),
        "database_up": _offset(&_h, &_h.database_up, sizeof(_h.database_up)),
        "reload_served": _offset(&_h, &_h.reload_served, sizeof(_h.reload_served)),
        "reload_fresh": _offset(&_h, &_h.reload_fresh, sizeof(_h.reload_fresh)),
        "reload_successful": _offset(&_h, &_h.reload_successful, sizeof(_h.reload_successful)),
        "size_changes": _offset(&_h, &_h.size_changes, sizeof(_h.size_changes)),
        "sizes": _offset(&_h, &_h.sizes, sizeof(_h.sizes)),
        "size_since_ns": _offset(&_h, &_h.size_since_ns, sizeof(_h.size_since_ns)),
        "dns_names": _offset(&_h, &_h.dns_names, sizeof(_h.dns_names)),
        "dns_failing": _offset(&_h, &_h.dns_failing, sizeof(_h.dns_failing)),
        "dns_questions": _offset(&_h, &_h.dns_questions, sizeof(_h.dns_questions)),
        "dns_failures": _offset(&_h, &_h.dns_failures, sizeof(_h.dns_failures)),
        "flush_due": _offset(&_h, &_h.flush_due, sizeof(_h.flush_due)),
        "flush_oldest_ns": _offset(&_h, &_h.flush_oldest_ns, sizeof(_h.flush_oldest_ns)),
        "flush_failures": _offset(&_h, &_h.flush_failures, sizeof(_h.flush_failures)),
        "probe_replies_ignored": _offset(
            &_h, &_h.probe_replies_ignored, sizeof(_h.probe_replies_ignored)
        ),
        "probe_notices_lost": _offset(&_h, &_h.probe_notices_lost, sizeof(_h.probe_notices_lost)),
        "log_level": _offset(&_h, &_h.log_level, sizeof(_h.log_level)),
        "stop_requests": _offset(&_h, &_h.stop_requests, sizeof(_h.stop_requests)),
        "lock_holder": _offset(&_h, &_h.lock_holder, sizeof(_h.lock_holder)),
        "lock_recoveries": _offset(&_h, &_h.lock_recoveries, sizeof(_h.lock_recoveries)),
        "changes_logged": _offset(&_h, &_h.changes_logged, sizeof(_h.changes_logged)),
        "changes_read": _offset(&_h, &_h.changes_read, sizeof(_h.changes_read)),
        "changes_unknown": _offset(&_h, &_h.changes_unknown, sizeof(_h.changes_unknown)),
        "events_raised": _offset(&_h, &_h.events_raised, sizeof(_h.events_raised)),
        "events_accepted": _offset(&_h, &_h.events_accepted, sizeof(_h.events_accepted)),
        "events_delivered": _offset(&_h, &_h.events_delivered, sizeof(_h.events_delivered)),
        "events_dropped": _offset(&_h, &_h.events_dropped, sizeof(_h.events_dropped)),
        "mi_requests": _offset(&_h, &_h.mi_requests, sizeof(_h.mi_requests)),
        "reload_partitions": _offset(&_h, &_h.reload_partitions, sizeof(_h.reload_partitions)),
        "reload_reason": _offset(&_h, &_h.reload_reason, sizeof(_h.reload_reason)),
        "steering": _offset(&_h, &_h.steering, sizeof(_h.steering)),
    },
    "Process": {
        "pid": _offset(&_p, &_p.pid, sizeof(_p.pid)),
        "role": _offset(&_p, &_p.role, sizeof(_p.role)),
        "rank": _offset(&_p, &_p.rank, sizeof(_p.rank)),
        "status": _offset(&_p, &_p.status, sizeof(_p.status)),
        "heartbeat_ns": _offset(&_p, &_p.heartbeat_ns, sizeof(_p.heartbeat_ns)),
        "started_ns": _offset(&_p, &_p.started_ns, sizeof(_p.started_ns)),
        "starts": _offset(&_p, &_p.starts, sizeof(_p.starts)),
        "generation": _offset(&_p, &_p.generation, sizeof(_p.generation)),
    },
    "Worker": {
        "requests": _offset(&_w, &_w.requests, sizeof(_w.requests)),
        "responses": _offset(&_w, &_w.responses, sizeof(_w.responses)),
        "received_bytes": _offset(&_w, &_w.received_bytes, sizeof(_w.received_bytes)),
        "forwarded_requests": _offset(
            &_w, &_w.forwarded_requests, sizeof(_w.forwarded_requests)
        ),
        "forwarded_responses": _offset(
            &_w, &_w.forwarded_responses, sizeof(_w.forwarded_responses)
        ),
        "sent_bytes": _offset(&_w, &_w.sent_bytes, sizeof(_w.sent_bytes)),
        "send_errors": _offset(&_w, &_w.send_errors, sizeof(_w.send_errors)),
        "route_errors": _offset(&_w, &_w.route_errors, sizeof(_w.route_errors)),
        "batches": _offset(&_w, &_w.batches, sizeof(_w.batches)),
        "transactions": _offset(&_w, &_w.transactions, sizeof(_w.transactions)),
        "retransmissions": _offset(&_w, &_w.retransmissions, sizeof(_w.retransmissions)),
        "handover_port": _offset(&_w, &_w.handover_port, sizeof(_w.handover_port)),
        "repeated": _offset(&_w, &_w.repeated, sizeof(_w.repeated)),
        "queued_bytes": _offset(&_w, &_w.queued_bytes, sizeof(_w.queued_bytes)),
        "queue_limit_bytes": _offset(&_w, &_w.queue_limit_bytes, sizeof(_w.queue_limit_bytes)),
        "kernel_drops": _offset(&_w, &_w.kernel_drops, sizeof(_w.kernel_drops)),
        "waits": _offset(&_w, &_w.waits, sizeof(_w.waits)),
        "wait_ns": _offset(&_w, &_w.wait_ns, sizeof(_w.wait_ns)),
        "joined": _offset(&_w, &_w.joined, sizeof(_w.joined)),
        "unknown_sets": _offset(&_w, &_w.unknown_sets, sizeof(_w.unknown_sets)),
        "unfinished": _offset(&_w, &_w.unfinished, sizeof(_w.unfinished)),
        "handed_over": _offset(&_w, &_w.handed_over, sizeof(_w.handed_over)),
        "busy_ns": _offset(&_w, &_w.busy_ns, sizeof(_w.busy_ns)),
        "absorbed": _offset(&_w, &_w.absorbed, sizeof(_w.absorbed)),
        "replies": _offset(&_w, &_w.replies, sizeof(_w.replies)),
        "malformed": _offset(&_w, &_w.malformed, sizeof(_w.malformed)),
        "dropped": _offset(&_w, &_w.dropped, sizeof(_w.dropped)),
    },
    "Set": {
        "state_version": _offset(&_s, &_s.state_version, sizeof(_s.state_version)),
        "cursor": _offset(&_s, &_s.cursor, sizeof(_s.cursor)),
    },
    "Destination": {
        "word": _offset(&_d, &_d.word, sizeof(_d.word)),
        "changed_ns": _offset(&_d, &_d.changed_ns, sizeof(_d.changed_ns)),
        "set_slot": _offset(&_d, &_d.set_slot, sizeof(_d.set_slot)),
        "changes_base": _offset(&_d, &_d.changes_base, sizeof(_d.changes_base)),
        "announced": _offset(&_d, &_d.announced, sizeof(_d.announced)),
        "address": _offset(&_d, &_d.address, sizeof(_d.address)),
    },
    "Change": {
        "number": _offset(&_c, &_c.number, sizeof(_c.number)),
        "slot": _offset(&_c, &_c.slot, sizeof(_c.slot)),
        "change": _offset(&_c, &_c.change, sizeof(_c.change)),
        "what": _offset(&_c, &_c.what, sizeof(_c.what)),
    },
    "SetCounters": {
        "selections": _offset(&_sc, &_sc.selections, sizeof(_sc.selections)),
        "failures": _offset(&_sc, &_sc.failures, sizeof(_sc.failures)),
    },
    "DestinationCounters": {
        "selected": _offset(&_dc, &_dc.selected, sizeof(_dc.selected)),
        "requests": _offset(&_dc, &_dc.requests, sizeof(_dc.requests)),
        "responses": _offset(&_dc, &_dc.responses, sizeof(_dc.responses)),
        "failures": _offset(&_dc, &_dc.failures, sizeof(_dc.failures)),
        "failovers": _offset(&_dc, &_dc.failovers, sizeof(_dc.failovers)),
        "timeouts": _offset(&_dc, &_dc.timeouts, sizeof(_dc.timeouts)),
        "open": _offset(&_dc, &_dc.open, sizeof(_dc.open)),
        "first_response": _offset(&_dc, &_dc.first_response, sizeof(_dc.first_response)),
        "first_response_ns": _offset(&_dc, &_dc.first_response_ns, sizeof(_dc.first_response_ns)),
        "final_response": _offset(&_dc, &_dc.final_response, sizeof(_dc.final_response)),
        "final_response_ns": _offset(&_dc, &_dc.final_response_ns, sizeof(_dc.final_response_ns)),
        "failovers_away": _offset(&_dc, &_dc.failovers_away, sizeof(_dc.failovers_away)),
    },
    "SetProbes": {
        "rtt_sum_ns": _offset(&_sp, &_sp.rtt_sum_ns, sizeof(_sp.rtt_sum_ns)),
        "rtt_buckets": _offset(&_sp, &_sp.rtt_buckets, sizeof(_sp.rtt_buckets)),
    },
    "Probe": {
        "number": _offset(&_pr, &_pr.number, sizeof(_pr.number)),
        "sent_ns": _offset(&_pr, &_pr.sent_ns, sizeof(_pr.sent_ns)),
        "open": _offset(&_pr, &_pr.open, sizeof(_pr.open)),
        "results": _offset(&_pr, &_pr.results, sizeof(_pr.results)),
        "retransmissions": _offset(&_pr, &_pr.retransmissions, sizeof(_pr.retransmissions)),
        "status": _offset(&_pr, &_pr.status, sizeof(_pr.status)),
        "rtt_ns": _offset(&_pr, &_pr.rtt_ns, sizeof(_pr.rtt_ns)),
        "rtt_smoothed_ns": _offset(&_pr, &_pr.rtt_smoothed_ns, sizeof(_pr.rtt_smoothed_ns)),
    },
}
"""struct -> field -> (offset in bytes, number of 64-bit words)."""

SIZES = {
    "Header": sizeof(Header),
    "Process": sizeof(Process),
    "Worker": sizeof(Worker),
    "Set": sizeof(Set),
    "Destination": sizeof(Destination),
    "Change": sizeof(Change),
    "SetCounters": sizeof(SetCounters),
    "DestinationCounters": sizeof(DestinationCounters),
    "SetProbes": sizeof(SetProbes),
    "Probe": sizeof(Probe),
}
"""struct -> size in bytes."""
