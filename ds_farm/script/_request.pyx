"""The request with the dispatcher's functions (documentation section 1.4).

Arguments are text as in a script and are parsed once: a call with the same objects costs three
pointer comparisons, one with equal text a dictionary look-up.
"""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ds_farm.dispatch._hash cimport add_key, finish
from ds_farm.dispatch._live cimport Endpoint, LiveSet, LiveTable
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.proxy._wire cimport AF_INET, AF_INET6, Network, Outbox, Peer, htons, parse_ip
from ds_farm.script._plan cimport Call, Choice, Plan
from ds_farm.sip._auth cimport Credentials, parse_credentials
from ds_farm.sip._text cimport same
from ds_farm.sip._names cimport SIPS
from ds_farm.sip._uri cimport Uri, parse_uri

from ds_farm.dispatch.arguments import parse_sets
from ds_farm.dispatch.model import DEFAULT_PARTITION
from ds_farm.dispatch.state import Event
from ds_farm.errors import ConfigError
from ds_farm.proxy.codes import FAILED
from ds_farm.script.avps import Avps
from ds_farm.script.pvars import compile_format, compile_setter

# States as ds_mark_dst and ds_count write them (documentation 1.4.6, 1.4.7).
MARKS = {
    "a": Event.ACTIVATE,
    "1": Event.ACTIVATE,
    "i": Event.DEACTIVATE,
    "0": Event.DEACTIVATE,
    "p": Event.FAIL,
    "2": Event.FAIL,
}

cdef enum:
    RECENT = 4                   # calls remembered by the identity of their arguments
    REMEMBERED = 4096            # calls remembered by their text; text may come from the network
    NOBODY = 0x7FFFFFFF          # no index of any set


cdef struct Recent:
    PyObject *sets
    PyObject *algorithms
    PyObject *flags
    PyObject *call


cdef class Request(BaseRequest):
    """What a routing function is called with.

    ``settings`` is the configuration as `ds_farm.script.settings` compiles it; ``mark(slot,
    event)`` applies an event to a destination's state; ``complain(text)`` hears of calls that
    cannot be done as they are written; ``seed`` starts the random numbers of algorithm 6.
    """

    cdef LiveTable _table
    cdef dict _calls
    cdef list _kept              # keeps the objects that `_recent` points to
    cdef Recent _recent[RECENT]
    cdef int _oldest
    cdef dict _plans             # partition -> Plan
    cdef uint64_t _serial        # number of the request; a Plan of another one is no longer valid
    cdef dict _listeners         # text of the socket column -> number of our socket, -1 if none
    cdef object _settings
    cdef object _mark
    cdef object _complain
    cdef uint64_t _random
    cdef object _avp
    cdef list _used_blacklists
    cdef readonly dict var       # $var(name): lives as long as the worker

    def __init__(self, Network network, Outbox out, segment, int rank, settings, mark, complain,
                 seed):
        super().__init__(network, out, segment, rank)
        self._settings = settings
        self._mark = mark
        self._complain = complain
        self._random = (seed & 0xFFFFFFFFFFFFFFFF) or 1
        self._calls = {}
        self._kept = [None] * RECENT
        self._plans = {partition: Plan() for partition in settings.avps}
        self._listeners = {}
        self._used_blacklists = []
        self.var = {}

    def use_table(self, LiveTable table):
        """Select from this table from now on."""
        self._table = table

    cdef void begin(self) noexcept:
        BaseRequest.begin(self)
        self._serial += 1
        self._avp = None
        if self._used_blacklists:
            self._used_blacklists.clear()

    @property
    def avp(self):
        """AVPs of this request ($avp(name)); those of the dispatcher are made when first read."""
        cdef Plan plan
        self.check_open()
        if self._avp is None:
            self._avp = Avps()
        for partition, one in self._plans.items():
            plan = <Plan>one
            if plan.serial == self._serial and plan.live is not None and not plan.listed:
                self._list_plan(partition, plan)
        return self._avp

    # -- selection

    def ds_select_dst(self, sets, alg, flags=None):
        """Select a destination; the request will be sent there ($du).  Documentation 1.4.1.

        Returns 1; -1 if nothing can be selected; -2 if lists differ in length.
        """
        return self._select(sets, alg, flags, False)

    def ds_select_domain(self, sets, alg, flags=None):
        """Select a destination and write its host and port into the Request-URI.
        Documentation 1.4.2; returns as `ds_select_dst`."""
        return self._select(sets, alg, flags, True)

    def ds_next_dst(self, partition=""):
        """Direct the request to the next destination of the last selection with flag f.
        Documentation 1.4.3.  Returns 1; -1 if there is none."""
        return self._next(partition, False)

    def ds_next_domain(self, partition=""):
        """The same, into the Request-URI's host and port.  Documentation 1.4.4."""
        return self._next(partition, True)

    cdef object _select(self, sets, alg, flags, bint domain):
        cdef Call call
        cdef Choice choice
        cdef Plan plan
        self.check_open()
        call = self._call(sets, alg, flags)
        if call.formats is not None:
            sets, alg, flags = [None if one is None else one(self) for one in call.formats]
            call = self._call(sets, alg, flags)
            if call.formats is not None:
                return FAILED  # a variable whose value has a "$": no second round
        if call.choices is None:
            return call.failure
        choice = <Choice>call.choices[0]
        if choice.keep and (self.new_ruri if domain else self.dst_uri) is not None:
            return 1  # decision 11
        plan = self._plans.get(choice.partition)
        if plan is None:
            return FAILED
        plan.begin(call, self._serial)
        return 1 if self._next_set(plan, domain) else FAILED

    cdef bint _next_set(self, Plan plan, bint domain) except -1:
        """Select from the first set after the current one that has something to offer."""
        while plan.item + 1 < len(plan.call.choices):
            plan.item += 1
            if self._choose(plan, plan.choice(), domain):
                return True
        return False

    cdef object _next(self, partition, bint domain):
        cdef Plan plan
        cdef int index
        self.check_open()
        plan = self._plans.get(partition.strip() or DEFAULT_PARTITION)
        if plan is None or plan.serial != self._serial or plan.live is None:
            return FAILED
        if plan.listed:
            return self._next_listed(partition.strip() or DEFAULT_PARTITION, plan, domain)
        while True:
            index = plan.following()
            if index < 0:
                break
            if not self._is_blacklisted(plan.live, index) and self._direct(plan.live, index, domain):
                plan.index = index
                plan.live.count_failover(index)
                return 1
        if self._next_set(plan, domain):
            plan.live.count_failover(plan.index)
            return 1
        return FAILED

    def ds_mark_dst(self, *arguments):
        """Mark the destination in use: ``ds_mark_dst([partition,] state)``, by default inactive.
        Documentation 1.4.5 and 1.4.6: i, a, p or 0, 1, 2; "p" counts towards the threshold.
        Returns 1; -1 if nothing has been selected or an argument is wrong."""
        cdef Plan plan
        self.check_open()
        if len(arguments) > 2:
            raise TypeError("ds_mark_dst takes a partition and a state at most")
        *before, last = arguments or ("i",)
        state = str(last).strip().lower()
        partition = str(before[0]).strip() if before else DEFAULT_PARTITION
        plan = self._plans.get(partition or DEFAULT_PARTITION)
        event = MARKS.get(state)
        if event is None:
            self._complain(f"ds_mark_dst: unknown state {state!r}, expected i, a, p or 0, 1, 2")
        if event is None or plan is None or plan.serial != self._serial or plan.live is None:
            return FAILED
        self._mark(plan.live.slots[plan.index], event)
        return 1

    # -- looking at sets

    def ds_count(self, sets, filter, result):
        """Store in ``result`` ($avp(name) or $var(name)) how many destinations of a set are in
        the states that ``filter`` names: letters of a, i, p or 1, 0, 2; none of them means all.
        Documentation 1.4.7.  Returns 1, also for 0 of them; -1 if there is no such set."""
        cdef LiveSet live
        self.check_open()
        try:
            partition, ids = parse_sets(self._expand(sets))
            assign = compile_setter(result)
        except ConfigError as error:
            self._complain(f"ds_count: {error}")
            return FAILED
        live = self._table.find(partition, <int>ids[0]) if self._table is not None else None
        if live is None or len(ids) != 1:
            return FAILED
        letters = str(filter).lower()
        wanted = {event for letter, event in MARKS.items() if letter in letters}
        wanted = wanted or set(MARKS.values())
        assign(self, live.count(Event.ACTIVATE in wanted, Event.DEACTIVATE in wanted,
                                Event.FAIL in wanted))
        return 1

    def ds_is_in_list(self, ip, port="", set="", active_only=0):
        """Whether an IP address and port (0 or "": any) belong to a destination.
        Documentation 1.4.8; ``set`` is ``[partition:][id]``, without id or with -1 all sets.
        With all sets setid_pvar gets the set's id.  Returns 1, or -1."""
        cdef Endpoint wanted
        cdef LiveSet live
        cdef int index
        self.check_open()
        name, colon, number = self._expand(set).rpartition(":")
        partition = (name.strip() if colon else "") or DEFAULT_PARTITION
        number = number.strip()
        port = self._expand(port).strip() or "0"
        if not _endpoint(self._expand(ip).strip(), port, &wanted) or not (
            number == "" or number.removeprefix("-").isdigit()
        ):
            self._complain(f"ds_is_in_list: {ip!r}, {port!r}, {set!r}: expected an IP address, a "
                           "port and [partition:]id")
            return FAILED
        if self._table is None:
            return FAILED
        any_set = number in ("", "-1")
        only_active = str(active_only).strip() not in ("", "0")
        for live in self._table.in_partition(partition, None if any_set else int(number)):
            for index in range(live.size):
                if live.holds(index, &wanted) and not (only_active and live.state(index)):
                    if any_set and self._settings.set_setid is not None:
                        self._settings.set_setid(self, live.id)
                    attrs = self._settings.avps[partition].attrs
                    if attrs:
                        self.avp.push(attrs, live.attrs[index])
                    return 1
        return FAILED

    def use_blacklist(self, name):
        """From here on skip destinations whose address is on the list of that name
        (documentation 1.3.11).  Returns 1; -1 if there is no such list."""
        self.check_open()
        if name not in self._settings.blacklists:
            return FAILED
        if name not in self._used_blacklists:
            self._used_blacklists.append(name)
        return 1

    def unuse_blacklist(self, name):
        """End what `use_blacklist` began.  Returns 1; -1 if the list was not in use."""
        self.check_open()
        if name not in self._used_blacklists:
            return FAILED
        self._used_blacklists.remove(name)
        return 1

    def is_blacklisted(self, name, ip):
        """Whether an IP address is on the list of that name.  Returns 1, or -1."""
        cdef Endpoint wanted
        self.check_open()
        if name not in self._settings.blacklists or not _endpoint(self._expand(ip), "0", &wanted):
            return FAILED
        return 1 if self._is_listed(name, &wanted) else FAILED

    cdef bint _is_listed(self, name, const Endpoint *wanted) except -1:
        cdef LiveSet live
        cdef int index
        if self._table is None:
            return False
        partition, ids = self._settings.blacklists[name]
        for set_id in ids:
            live = self._table.find(partition, set_id)
            if live is not None:
                for index in range(live.size):
                    if live.holds(index, wanted):
                        return True
        return False

    cdef bint _is_blacklisted(self, LiveSet live, int index) except -1:
        cdef Endpoint endpoint
        if not self._used_blacklists or live.endpoint(index) == NULL:
            return False
        endpoint = live.endpoint(index)[0]
        endpoint.port = 0
        for name in self._used_blacklists:
            if self._is_listed(name, &endpoint):
                return True
        return False

    cdef str _expand(self, text):
        """An argument as text, its variables filled in."""
        cdef str value = str(text)
        return compile_format(value)(self) if "$" in value else value

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
            call = Call(sets, alg, flags, self._complain)
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
        if self._table is None:
            return False
        if choice.generation != self._table.generation:
            choice.live = self._table.find(choice.partition, choice.set_id)
            choice.generation = self._table.generation
        live = choice.live
        if live is None or live.size == 0:
            return False
        if algorithm == 6:
            # xorshift64*; the upper half, used as a hash is.
            self._random ^= self._random >> 12
            self._random ^= self._random << 25
            self._random ^= self._random >> 27
            h = (self._random * <uint64_t>0x2545F4914F6CDD1D) >> 33
        elif algorithm == 9:
            h = NOBODY
            if self._settings.load is not None:
                order = self._by_load(live, choice.use_default)
                if order:
                    h = order[0]
                elif not choice.use_default:
                    return False
        elif 0 <= algorithm <= 7 and algorithm != 4:
            h = self._hash(algorithm, choice.user_only)
            if h == 0:
                if algorithm != 5:
                    return False
                algorithm = 4  # decision 3
        index = live.select(algorithm, h, choice.use_default)
        if index < 0:
            return False
        plan.start(live, index, order)
        if not self._used_blacklists or not self._is_blacklisted(live, index):
            return self._direct(live, index, domain)
        for index in [(plan.chosen + i) % plan.size for i in range(1, plan.size)]:
            if live.is_active(index) and not self._is_blacklisted(live, index):
                plan.start(live, index, None)
                return self._direct(live, index, domain)
        return False

    cdef bint _direct(self, LiveSet live, int index, bint domain) except -1:
        """Make destination ``index`` the request's next hop."""
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
        self.x.next_listener = self._listener(<str>live.sockets[index])
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
                self._complain(f"socket {text!r} of a destination is none of ours: not used")
        return found

    # -- the AVPs of a selection (documentation 1.3.13 to 1.3.17), made when they are read

    cdef int _list_plan(self, str partition, Plan plan) except -1:
        """Write what a selection has to offer into its AVPs; from then on they are what counts."""
        cdef Plan ahead = plan.copy()
        cdef Choice choice
        cdef int index = plan.index
        names = self._settings.avps[partition]
        uris, sockets, attrs, groups, counts = [], [], [], [], []
        du, ruri, x = self.dst_uri, self.new_ruri, self.x
        while True:
            choice = ahead.choice()
            before = len(uris)
            while index >= 0:
                attrs.append(ahead.live.attrs[index])
                if choice.failover:
                    uris.append(ahead.live.uri_text(index).decode())
                    sockets.append(ahead.live.sockets[index])
                index = ahead.following()
            groups.append(choice.set_id)
            counts.append(len(uris) - before)
            if not self._next_set(ahead, False):
                break
            index = ahead.index
        self.dst_uri, self.new_ruri, self.x = du, ruri, x
        for name, values in (
            (names.dst, uris), (names.sock, sockets), (names.grp, groups), (names.cnt, counts)
        ):
            self._avp.put_all(name, values)
        if names.attrs:
            self._avp.put_all(names.attrs, attrs)
        plan.listed = True
        plan.left = counts[0]
        return 0

    cdef object _next_listed(self, str partition, Plan plan, bint domain):
        """`_next` after the AVPs were made: by what they hold, also what a script wrote there."""
        cdef LiveSet live
        cdef int index
        names = self._settings.avps[partition]
        avp = self._avp
        while avp.pop(names.dst, "") and names.dst in avp:
            avp.pop(names.sock, "")
            if names.attrs:
                avp.pop(names.attrs, "")
            plan.left -= 1
            if plan.left <= 0 and len(avp.all(names.grp)) > 1:
                avp.pop(names.grp)
                avp.pop(names.cnt, 0)
                plan.left = int(avp.get(names.cnt, 0))
            uri = str(avp[names.dst])
            try:
                live = self._table.find(partition, int(avp.get(names.grp, -1)))
            except ValueError:
                live = None
            index = -1 if live is None else live.find_uri(uri.encode())
            if index >= 0:
                if self._direct(live, index, domain):
                    plan.live, plan.index = live, index
                    live.count_failover(index)
                    return 1
                continue
            try:
                if domain:
                    return self._foreign_domain(uri)
                self.du = uri  # not of the set: a script has put it there
            except ValueError as error:
                self._complain(f"ds_next_dst: {error}")
                continue
            return 1
        return FAILED

    cdef object _foreign_domain(self, str text):
        """Host and port of a URI that is in no set into the Request-URI."""
        cdef bytes uri = text.encode(), current = self.ru.encode()
        cdef Uri parsed, own
        if parse_uri(uri, 0, len(uri), &parsed) or parse_uri(current, 0, len(current), &own):
            raise ValueError(f"{text!r} is not a URI")
        self.set_ruri(
            current[:own.host] + uri[parsed.host:parsed.hostport_end] + current[own.hostport_end:]
        )
        self.x.has_next = False
        self.x.slot = -1
        return 1

    # -- what algorithms hash (semantics section 2.2)

    cdef uint64_t _hash(self, int algorithm, bint user_only) except? 0:
        """Hash of what the algorithm looks at, 0 if the request does not have it."""
        cdef Credentials credentials
        cdef const unsigned char *data = self.x.data
        cdef bytes text
        if algorithm == 0:
            return finish(add_key(0, data + self.x.m.call_id,
                                  self.x.m.call_id_end - self.x.m.call_id))
        if algorithm == 1:
            return self._hash_uri(data, self.x.from_.uri, self.x.from_.uri_end, user_only)
        if algorithm == 2:
            return self._hash_uri(data, self.x.to.uri, self.x.to.uri_end, user_only)
        if algorithm == 3:
            if self.new_ruri is not None:
                text = self.new_ruri
                return self._hash_uri(text, 0, len(text), user_only)
            return self._hash_uri(data, self.x.m.uri, self.x.m.uri_end, user_only)
        if algorithm == 5:
            if parse_credentials(data, self.x.m.proxy_authorization,
                                 self.x.m.proxy_authorization_end, &credentials) and \
                    parse_credentials(data, self.x.m.authorization,
                                      self.x.m.authorization_end, &credentials):
                return 0
            return finish(add_key(0, data + credentials.user,
                                  credentials.user_end - credentials.user))
        if self._settings.hash_text is None:
            return 0
        text = self._settings.hash_text(self).strip().encode()
        return finish(add_key(0, text, len(text))) if text else 0

    cdef uint64_t _hash_uri(
        self, const unsigned char *data, int start, int end, bint user_only
    ) except? 0:
        """User part, then host with its port unless that is the transport's default one."""
        cdef Uri uri
        cdef uint32_t h
        cdef int default
        if parse_uri(data, start, end, &uri) or not uri.host_end:
            return 0
        h = add_key(0, data + uri.user, uri.user_end - uri.user)
        if user_only:
            return finish(add_key(h, data, 0))
        default = 5060
        if uri.scheme == SIPS or (
            uri.transport and same(data, uri.transport, uri.transport_end, b"tls", 3)
        ):
            default = 5061
        if uri.port and uri.port != default:
            end = uri.hostport_end
        else:
            end = uri.host_end
        return finish(add_key(h, data + uri.host, end - uri.host))

    cdef list _by_load(self, LiveSet live, bint use_default):
        """Active destinations by rising value of pvar_algo_pattern, of equal ones the first in
        the set first (decision 8).  Those whose value is no number are left out."""
        cdef int size = live.size - 1 if use_default and live.size > 1 else live.size
        values = [
            (self._settings.load(self, live.uri(index)), index)
            for index in live.active() if index < size
        ]
        return [index for _, index in sorted(one for one in values if one[0] is not None)]


cdef bint _endpoint(str ip, str port, Endpoint *endpoint) except -1:
    """An IP address and port (0: any) as the table has them; False if they are none."""
    cdef Peer peer
    cdef bytes text = ip.encode()
    if not port.isdigit() or int(port) > 65535:
        return False
    if parse_ip(text, 0, len(text), int(port), &peer) < 0:
        return False
    memset(endpoint, 0, sizeof(Endpoint))
    endpoint.port = int(port)
    if peer.any.sa_family == AF_INET:
        endpoint.version = 4
        memcpy(endpoint.address, &peer.v4.sin_addr, 4)
    else:
        endpoint.version = 6
        memcpy(endpoint.address, &peer.v6.sin6_addr, 16)
    return True
