"""How a call of ds_select_dst becomes a next hop: parsed calls, draws, blacklists.

Arguments are text as in a script and are parsed once: a call with the same objects costs three
pointer comparisons, one with equal text a dictionary look-up.
"""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from ds_farm.dispatch._live cimport Endpoint, LiveSet, LiveTable
from ds_farm.proxy._relay cimport Relay
from ds_farm.proxy._tm cimport TmRequest
from ds_farm.proxy._wire cimport AF_INET, AF_INET6, Network, Outbox, htons
from ds_farm.script._keys cimport message_key, text_key
from ds_farm.script._plan cimport Call, Choice, Plan
from ds_farm.sip._text cimport same
from ds_farm.sip._uri cimport Uri, parse_uri
from shm._native cimport ds_count

from ds_farm.proxy.codes import FAILED, NOT_SET
from ds_farm.script.pvars import compile_format

cdef enum:
    REMEMBERED = 4096            # calls remembered by their text; text may come from the network
    NOBODY = 0x7FFFFFFF          # no index of any set


cdef class Selector(TmRequest):
    """The machinery under `ds_farm.script._request.Request`, which describes the arguments."""

    def __init__(self, Network network, Outbox out, segment, int rank, settings, complain,
                 seed, Relay relay, on_error, routes):
        super().__init__(network, out, segment, rank, relay, on_error, routes)
        self.settings = settings
        self.complain = complain
        self._random = (seed & 0xFFFFFFFFFFFFFFFF) or 1
        self._calls = {}
        self._kept = [None] * RECENT
        self.plans = {partition: Plan() for partition in settings.avps}
        self._listeners = {}
        self.used_blacklists = []
        self.var = {}
        self.stat = {}

    def use_table(self, LiveTable table):
        """Select from this table from now on."""
        self.table = table

    cdef void begin(self) noexcept:
        TmRequest.begin(self)
        self.serial += 1
        self._avp = None
        if self.used_blacklists:
            self.used_blacklists.clear()

    cdef object save(self):
        cdef Plan plan
        plans = {}
        for partition, one in self.plans.items():
            plan = <Plan>one
            if plan.serial == self.serial and plan.live is not None:
                plans[partition] = plan.copy()
        return (TmRequest.save(self), plans, self._avp, list(self.used_blacklists))

    cdef int restore(self, saved) except -1:
        return TmRequest.restore(self, saved[0])

    cdef int restore_knowledge(self, saved) except -1:
        cdef Plan plan
        base, plans, self._avp, self.used_blacklists = saved
        TmRequest.restore_knowledge(self, base)
        for partition, one in plans.items():
            plan = (<Plan>one).copy()
            plan.serial = self.serial
            self.plans[partition] = plan
        return 0

    cdef str expand(self, text):
        """An argument as text, its variables filled in.  Raises ConfigError for one that does not
        exist."""
        cdef str value = str(text)
        return compile_format(value)(self) if "$" in value else value

    # -- selection

    cdef object select(self, sets, alg, flags, bint domain):
        cdef Call call
        cdef Choice choice
        cdef Plan plan
        self.check_open()
        call = self._call(sets, alg, flags)
        if call.formats is not None:
            sets, alg, flags = [None if one is None else one(self) for one in call.formats]
            call = self._call(sets, alg, flags)
            if call.formats is not None:
                self.complain(f"{sets!r}, {alg!r}, {flags!r}: a variable's value has a $")
                return FAILED
        if call.choices is None:
            return call.failure
        choice = <Choice>call.choices[0]
        if choice.keep and self._is_directed(domain):
            return 1
        plan = self.plans.get(choice.partition)
        if plan is None:
            return FAILED
        plan.begin(call, self.serial)
        self._is_unsettable = False
        if self._next_set(plan, domain, False):
            return 1
        return NOT_SET if self._is_unsettable else FAILED

    cdef bint _next_set(self, Plan plan, bint domain, bint failover) except -1:
        """Select from the first set after the current one that has something to offer; for
        `failover` only sets with flag f do, otherwise flag S leaves what is set (decision 11)."""
        cdef Choice choice
        while plan.item + 1 < len(plan.call.choices):
            plan.item += 1
            choice = plan.choice()
            if failover:
                if choice.failover and self._choose(plan, choice, domain):
                    return True
            elif choice.keep and self._is_directed(domain):
                return True
            elif self._choose(plan, choice, domain):
                return True
        return False

    cdef bint _is_directed(self, bint domain) except -1:
        """Whether there is a destination that flag S leaves alone (decision 11): for ds_select_domain
        the host of the Request-URI is another one than it came with."""
        cdef Uri came, now
        cdef const unsigned char *data
        if not domain:
            return self.dst_uri is not None
        if self.new_ruri is None:
            return False
        data = self.new_ruri
        if (
            parse_uri(data, 0, len(self.new_ruri), &now)
            or parse_uri(self.x.data, self.x.m.uri, self.x.m.uri_end, &came)
        ):
            return True
        return now.port != came.port or not same(
            self.x.data, came.host, came.host_end,
            <const char *>data + now.host, now.host_end - now.host,
        )

    # -- calls

    cdef Call _call(self, sets, alg, flags):
        cdef Recent *recent
        cdef Call call
        cdef int i
        for i in range(RECENT):
            recent = &self._recent[i]
            if (
                recent.sets == <PyObject *>sets
                and recent.algorithms == <PyObject *>alg
                and recent.flags == <PyObject *>flags
            ):
                return <Call>recent.call
        key = (sets, alg, flags)
        call = self._calls.get(key)
        if call is None:
            call = Call(sets, alg, flags, self.complain)
            if len(self._calls) >= REMEMBERED:
                self._calls.clear()
            self._calls[key] = call
        i = self._oldest
        self._oldest = (i + 1) % RECENT
        self._kept[i] = (sets, alg, flags, call)
        recent = &self._recent[i]
        recent.sets = <PyObject *>sets
        recent.algorithms = <PyObject *>alg
        recent.flags = <PyObject *>flags
        recent.call = <PyObject *>call
        return call

    cdef bint _choose(self, Plan plan, Choice choice, bint domain) except -1:
        """Select from one set and direct the request; whether it worked."""
        cdef LiveSet live
        cdef list order = None
        cdef uint64_t h = 0
        cdef int algorithm = choice.algorithm, index
        if self.table is None:
            return False
        if choice.generation != self.table.generation:
            choice.live = self.table.find(choice.partition, choice.set_id)
            choice.generation = self.table.generation
        live = choice.live
        if live is None:
            ds_count(&self.counters.unknown_sets, 1)
            return False
        if live.size == 0:
            return False
        if algorithm == 6:
            # xorshift64*; the upper half, used as a hash is.
            self._random ^= self._random >> 12
            self._random ^= self._random << 25
            self._random ^= self._random >> 27
            h = (self._random * <uint64_t>0x2545F4914F6CDD1D) >> 33
        elif algorithm == 9:
            if self.settings.load is None:
                algorithm = 8  # decision 8
            else:
                order = self._by_load(live, choice.use_default)
                h = order[0] if order else NOBODY
        elif 0 <= algorithm <= 7 and algorithm != 4:
            if algorithm == 7:
                text = self.settings.hash_text
                h = 0 if text is None else text_key(text(self))
            else:
                h = message_key(&self.x, self.new_ruri, algorithm, choice.user_only)
            if h == 0:
                if algorithm != 5:
                    return False
                algorithm = 4  # decision 3
        index = live.select(algorithm, h, choice.use_default)
        if index >= 0 and self._is_blacklisted(live, index):
            index = self._allowed(live, index, order, choice.use_default)
            order = order[order.index(index):] if order and index in order else None
        live.count_choice(algorithm, index)
        if index < 0:
            return False
        if not self._direct(live, index, domain):
            return False
        plan.start(live, index, order)
        return True

    cdef int _allowed(self, LiveSet live, int chosen, list order, bint use_default) except -2:
        """The first destination after `chosen` that is active and on no list in use, -1 if none."""
        cdef int size = live.size - 1 if use_default and live.size > 1 else live.size
        cdef int index
        others = order[1:] if order else [(chosen + i) % size for i in range(1, size)]
        if use_default:
            others.append(live.size - 1)
        for index in others:
            if live.is_active(index) and not self._is_blacklisted(live, index):
                return index
        return -1

    cdef bint _direct(self, LiveSet live, int index, bint domain) except -1:
        """Make destination ``index`` the request's next hop."""
        cdef uint64_t address = live.address(index)
        cdef const Endpoint *endpoint = live.endpoint(index)
        cdef bytes current
        cdef Uri uri
        if endpoint == NULL:
            return False
        if domain:
            current = self.new_ruri
            if current is None:
                current = self.x.data[self.x.m.uri:self.x.m.uri_end]
            if parse_uri(current, 0, len(current), &uri) or not uri.host:
                self._is_unsettable = True
                return False
            self.set_ruri(
                current[:uri.host] + live.hostport(index) + current[uri.hostport_end:]
            )
        else:
            self.dst_uri = live.uri_text(index)
        memset(&self.x.next, 0, sizeof(self.x.next))
        if endpoint.version == 4:
            self.x.next.v4.sin_family = AF_INET
            self.x.next.v4.sin_port = htons(endpoint.port)
            memcpy(&self.x.next.v4.sin_addr, endpoint.address, 4)
        else:
            self.x.next.v6.sin6_family = AF_INET6
            self.x.next.v6.sin6_port = htons(endpoint.port)
            memcpy(&self.x.next.v6.sin6_addr, endpoint.address, 16)
        self.x.has_next = True
        self.x.slot = live.slots[index]
        self.x.address = address
        self.x.next_listener = self._listener(live.socket(index))
        return True

    cdef int _listener(self, str text) except -2:
        """Our socket that the socket column names, -1 if it names none of ours."""
        if not text:
            return -1
        found = self._listeners.get(text)
        if found is None:
            if len(self._listeners) >= REMEMBERED:
                self._listeners.clear()
            found = self._listeners[text] = self.network.find(text)
            if found < 0:
                self.complain(f"socket {text!r} of a destination is none of ours: not used")
        return found

    cdef list _by_load(self, LiveSet live, bint use_default):
        """Active destinations by rising value of pvar_algo_pattern, of equal ones the first in
        the set first (decision 8).  Those whose value is no number are left out."""
        cdef int size = live.size - 1 if use_default and live.size > 1 else live.size
        values = [
            (self.settings.load(self, live.uri(index)), index)
            for index in live.active() if index < size
        ]
        return [index for _, index in sorted(one for one in values if one[0] is not None)]

    # -- blacklists (documentation 1.3.11)

    cdef bint is_listed(self, name, const Endpoint *wanted) except -1:
        cdef LiveSet live
        cdef int index
        if self.table is None:
            return False
        partition, ids = self.settings.blacklists[name]
        for set_id in ids:
            live = self.table.find(partition, set_id)
            if live is not None:
                for index in range(live.size):
                    if live.holds(index, wanted):
                        return True
        return False

    cdef bint _is_blacklisted(self, LiveSet live, int index) except -1:
        cdef Endpoint endpoint
        if not self.used_blacklists or live.endpoint(index) == NULL:
            return False
        endpoint = live.endpoint(index)[0]
        endpoint.port = 0
        for name in self.used_blacklists:
            if self.is_listed(name, &endpoint):
                return True
        return False
