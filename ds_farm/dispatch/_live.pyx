"""Selecting from sets in a SIP worker (semantics section 2; decisions 2 to 8, 13).

A `LiveSet` is rebuilt from the table at each generation; its hot state (cursor, states) is in the
segment and outlives it.  What is chosen here is an index in the set's order.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from ds_farm.dispatch._select cimport (
    draw,
    draw_active,
    golden_step,
    keep_active,
    probe_up,
    stride,
    sum_up,
)
from shm._layout cimport Destination, DestinationCounters, Set, SetCounters
from shm._native cimport Memory, ds_add, ds_count, ds_load

from ds_farm.dispatch.table import unpack

# Algorithms by their documented numbers; every other number is X, the first entry.
cdef enum:
    CALL_ID = 0
    FROM_URI = 1
    TO_URI = 2
    REQUEST_URI = 3
    ROUND_ROBIN = 4
    AUTH_USER = 5
    RANDOM = 6
    VARIABLES = 7
    FIRST = 8
    LOAD = 9
    X = 10                       # any other


cdef const uint32_t *_words(bytes column, Py_ssize_t count) except NULL:
    if len(column) < 4 * count:
        raise ValueError("a column is too short")
    return <const uint32_t *><const char *>column


cdef int _check_ends(const uint32_t *ends, int count, Py_ssize_t total) except -1:
    """Ends must not go back and must stay within what they divide."""
    cdef uint32_t last = 0
    for i in range(count):
        if ends[i] < last or ends[i] > total:
            raise ValueError("a column has ends out of order")
        last = ends[i]
    return 0


cdef str _text(bytes column, const uint32_t *ends, int index):
    cdef uint32_t start = ends[index - 1] if index else 0
    if start == ends[index]:
        return ""
    return column[start:ends[index]].decode("utf-8", "replace")


cdef class LiveSet:
    """One set.  Made by `LiveTable`; `pick` is the Python way in, workers call `select`."""

    def __cinit__(self, dict columns, segment, int rank):
        cdef Memory memory = segment.memory
        cdef int set_slot = columns["slot"]
        cdef uint32_t most = segment.layout.max_destinations
        self._columns = columns
        self._memory = memory
        self.partition = columns["partition"]
        self.id = columns["id"]
        self.size = len(columns["slots"]) // 4
        self.shared = <Set *>memory.at(segment.set(set_slot).base)
        self.counters = <SetCounters *>memory.at(segment.set_counters(rank, set_slot).base)
        self._destinations = <Destination *>memory.at(segment.destination(0).base)
        self._destination_counters = <DestinationCounters *>memory.at(
            segment.counters(rank, 0).base
        )
        self.slots = _words(columns["slots"], self.size)
        for i in range(self.size):
            if self.slots[i] >= most:
                raise ValueError(f"there is no destination slot {self.slots[i]}")
        self.weights = _words(columns["weights"], self.size)
        self.uri_ends = _words(columns["uri_ends"], self.size)
        self.host_spans = _words(columns["host_spans"], 2 * self.size)
        self.uris = columns["uris"]
        self.attrs = columns["attrs"]
        self.attr_ends = _words(columns["attr_ends"], self.size)
        _check_ends(self.attr_ends, self.size, len(self.attrs))
        self.sockets = columns["sockets"]
        self.socket_ends = _words(columns["socket_ends"], self.size)
        _check_ends(self.socket_ends, self.size, len(self.sockets))
        self._endpoint_ends = _words(columns["endpoint_ends"], self.size)
        self._endpoints = <const Endpoint *><const char *>columns["endpoints"]
        _check_ends(self._endpoint_ends, self.size, len(columns["endpoints"]) // <int>sizeof(Endpoint))
        _check_ends(self.uri_ends, self.size, len(columns["uris"]))
        self._check_hosts()
        self._prepare(&self._views[0], self.size, columns["turns"])
        # With flag D and more than one entry the last one is kept for the end (decision 13).
        self._prepare(&self._views[1], self.size - 1 if self.size > 1 else self.size,
                      columns["turns_but_last" if self.size > 1 else "turns"])

    cdef int _check_hosts(self) except -1:
        """The host of each URI must lie in it."""
        cdef uint32_t start = 0
        cdef int i
        for i in range(self.size):
            if not (
                self.host_spans[2 * i] <= self.host_spans[2 * i + 1] <= self.uri_ends[i] - start
            ):
                raise ValueError(f"destination {i} has a host outside of its URI")
            start = self.uri_ends[i]
        return 0

    cdef int _prepare(self, View *view, int size, bytes turns) except -1:
        cdef uint32_t total = 0
        cdef int i
        view.size = size
        view.turns = _words(turns, 0)
        view.turns_nr = len(turns) // 4
        for i in range(view.turns_nr):
            if view.turns[i] >= <uint32_t>size:
                raise ValueError(f"a turn for destination {view.turns[i]} of {size}")
        view.active = <unsigned char *>calloc(size + 1, 1)
        view.running = <uint32_t *>calloc(size + 1, 4)
        view.active_running = <uint32_t *>calloc(size + 1, 4)
        view.active_turns = <uint32_t *>calloc(view.turns_nr + 1, 4)
        if not (view.active and view.running and view.active_running and view.active_turns):
            raise MemoryError
        for i in range(size):
            total += self.weights[i]
            view.running[i] = total
        return 0

    def __dealloc__(self):
        for i in range(2):
            free(self._views[i].active)
            free(self._views[i].running)
            free(self._views[i].active_running)
            free(self._views[i].active_turns)

    cdef int state(self, int index) noexcept nogil:
        """State of a destination, a number of `model.State`."""
        return ds_load(&self._destinations[self.slots[index]].word) & 0xFF

    cdef bint is_active(self, int index) noexcept nogil:
        """Takes calls: its state is active and its address is known (decision 23)."""
        return self.state(index) == 0 and self.endpoint(index) != NULL

    cdef uint64_t address(self, int index) noexcept nogil:
        """Number of the address in use; who finds it dead goes on from it."""
        return ds_load(&self._destinations[self.slots[index]].address)

    cdef const Endpoint *endpoint(self, int index) noexcept nogil:
        """Where requests to a destination go: its address in use; NULL if it has none."""
        cdef uint32_t first = self._endpoint_ends[index - 1] if index else 0
        cdef uint32_t count = self._endpoint_ends[index] - first
        if count > 1:
            first += <uint32_t>(self.address(index) % count)
        return &self._endpoints[first] if count else NULL

    cdef int holds(self, int index, const Endpoint *wanted) noexcept nogil:
        """Whether one of a destination's addresses is `wanted`; port 0 there matches any."""
        cdef uint32_t i = self._endpoint_ends[index - 1] if index else 0
        while i < self._endpoint_ends[index]:
            if (
                self._endpoints[i].version == wanted.version
                and (wanted.port == 0 or self._endpoints[i].port == wanted.port)
                and memcmp(self._endpoints[i].address, wanted.address, 16) == 0
            ):
                return True
            i += 1
        return False

    cdef bytes uri_text(self, int index):
        """URI of a destination, the database's text."""
        cdef uint32_t start = self.uri_ends[index - 1] if index else 0
        return self.uris[start:self.uri_ends[index]]

    cdef str attr(self, int index):
        """Attributes of a destination."""
        return _text(self.attrs, self.attr_ends, index)

    cdef str socket(self, int index):
        """What its row says of the sending socket."""
        return _text(self.sockets, self.socket_ends, index)

    cdef bytes hostport(self, int index):
        """``host[:port]`` of its URI."""
        cdef uint32_t start = self.uri_ends[index - 1] if index else 0
        return self.uris[start + self.host_spans[2 * index]:start + self.host_spans[2 * index + 1]]

    cdef int find_uri(self, bytes uri):
        """Index of the first destination with this URI, in any case; -1 if there is none."""
        wanted = uri.lower()
        for i in range(self.size):
            if self.uri_text(i).lower() == wanted:
                return i
        return -1

    cdef View *view(self, bint but_last) except NULL:
        """Arrays for a draw, made anew if a state has moved since the last one."""
        cdef View *view = &self._views[1 if but_last else 0]
        if view.version != ds_load(&self.shared.state_version) + 1:
            self._rebuild(view)
        return view

    cdef int _rebuild(self, View *view) except -1:
        # The version is read first: a change during the walk is seen again at the next pick.
        cdef uint64_t version = ds_load(&self.shared.state_version) + 1
        cdef int i
        for i in range(view.size):
            view.active[i] = self.is_active(i)
        view.active_nr = sum_up(self.weights, view.active, view.size, view.active_running)
        view.active_turns_nr = keep_active(
            view.turns, view.turns_nr, view.active, view.active_turns
        )
        view.step = golden_step(view.active_running[view.size - 1])
        view.version = version
        return 0

    cdef int select(self, int algorithm, uint64_t h, bint use_default) except -2:
        """Index of the chosen destination, -1 if there is none.

        ``h`` is the hash or random number of the algorithms that use one, for LOAD the index
        that the caller found, the set's size or more if it found none.  Algorithm 5 without a
        user comes as ROUND_ROBIN (decision 3), LOAD without a pattern as FIRST (decision 8).
        """
        cdef View *view
        cdef uint32_t total
        cdef int chosen
        if self.size == 0:
            return -1
        view = self.view(use_default and self.size > 1)
        if view.active_nr == 0:
            chosen = -1
        elif algorithm == ROUND_ROBIN:
            h = ds_add(&self.shared.cursor, 1)
            total = view.active_running[view.size - 1]
            if view.active_turns_nr:
                chosen = view.active_turns[h % <uint64_t>view.active_turns_nr]
            else:
                # The cycle is too long, or only destinations of weight 0 are active: these have no
                # turn, and share alike.
                if total:
                    h = stride(h, view.step, total)
                chosen = draw_active(
                    view.active_running, view.active, view.size, view.active_nr, h
                )
        elif algorithm == LOAD:
            # What was active a moment ago may not be so now: then the next one up.
            chosen = -1 if h >= <uint64_t>view.size else probe_up(view.active, view.size, <int>h)
        elif algorithm < 0 or algorithm >= FIRST:
            chosen = probe_up(view.active, view.size, 0)
        else:
            chosen = draw(view.running, view.size, h)
            if not view.active[chosen]:
                chosen = draw_active(
                    view.active_running, view.active, view.size, view.active_nr, h
                )
        if chosen < 0 and use_default and self.is_active(self.size - 1):
            chosen = self.size - 1
        return chosen

    cdef void count_choice(self, int algorithm, int index) noexcept nogil:
        """What a selection came to: a destination, or -1."""
        if index < 0:
            ds_count(&self.counters.failures, 1)
        else:
            ds_count(&self.counters.selections[algorithm if 0 <= algorithm < X else X], 1)
            ds_count(&self._destination_counters[self.slots[index]].selected, 1)

    cdef void count_failover(self, int index) noexcept nogil:
        ds_count(&self._destination_counters[self.slots[index]].failovers, 1)

    def count(self, bint active, bint inactive, bint probing):
        """How many destinations are in one of these states (documentation 1.4.7)."""
        cdef int i, state, found = 0
        for i in range(self.size):
            state = self.state(i)
            if (active, inactive, probing)[state]:
                found += 1
        return found

    def pick(self, int algorithm, uint64_t h=0, bint use_default=False):
        """What `select` chooses, counted, for tests and tools; None if there is none."""
        cdef int chosen = self.select(algorithm, h, use_default)
        self.count_choice(algorithm, chosen)
        return None if chosen < 0 else chosen

    def active(self):
        """Indexes of the destinations that take calls now, in order."""
        return [i for i in range(self.size) if self.is_active(i)]

    def uri(self, int index):
        """URI of a destination, the database's text."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        return self.uri_text(index).decode()


cdef class LiveTable:
    """All sets of one generation, for the SIP worker of one rank.

    ``data`` as `ds_farm.dispatch.table.encode` makes it; every number in it is checked before it
    is used as an address or index.  Raises ValueError, naming generation and set, for anything
    else.
    """

    def __cinit__(self, segment, uint64_t generation, bytes data, int rank):
        cdef Memory memory = segment.memory
        self.generation = generation
        self.destinations_used = segment.header.destinations_used
        self.counters = <DestinationCounters *>memory.at(segment.counters(rank, 0).base)
        self.sets = {}
        where = ""
        try:
            for columns in unpack(data):
                where = f", set {columns['id']} of partition {columns['partition']!r}"
                self.sets[columns["partition"], columns["id"]] = LiveSet(columns, segment, rank)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"table {generation}{where} is damaged: {type(error).__name__}: {error}"
            ) from error

    def in_partition(self, str partition, set_id=None):
        """The sets of a partition, or the one of that id, in OpenSIPS's order of searching: the
        one that the database names last comes first (semantics 1.3)."""
        if set_id is None:
            return [one for one in reversed(self.sets.values()) if one.partition == partition]
        return [one for one in (self.sets.get((partition, set_id)),) if one is not None]

    cpdef LiveSet find(self, str partition, int set_id):
        """The set of that number, None if there is none."""
        return self.sets.get((partition, set_id))
