"""The request with the dispatcher's functions (documentation section 1.4).

Arguments are text as in a script and are parsed once: a call with the same objects costs three
pointer comparisons, one with equal text a dictionary look-up.
"""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ds_farm.dispatch._hash cimport add_key, finish
from ds_farm.dispatch._live cimport Endpoint, LiveSet, LiveTable
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.proxy._wire cimport AF_INET, AF_INET6, Network, Outbox, htons
from ds_farm.sip._auth cimport Credentials, parse_credentials
from ds_farm.sip._text cimport same
from ds_farm.sip._names cimport SIPS
from ds_farm.sip._uri cimport Uri, parse_uri
from shm._native cimport ds_load

from ds_farm.errors import ConfigError
from ds_farm.proxy.codes import FAILED, UNEQUAL_LISTS
from ds_farm.dispatch.arguments import UnequalLists, parse_choices

cdef enum:
    RECENT = 4                   # calls remembered by the identity of their arguments
    REMEMBERED = 4096            # calls remembered by their text; text may come from the network
    NOBODY = 0x7FFFFFFF          # no index of any set


cdef class Choice:
    """One set of a call, bound to the current table."""
    cdef str partition
    cdef int set_id
    cdef int algorithm
    cdef bint user_only
    cdef bint keep
    cdef bint use_default
    cdef LiveSet live            # None: the table has no such set
    cdef uint64_t generation

    def __cinit__(self, choice):
        self.partition = choice.partition
        self.set_id = choice.set_id
        self.algorithm = choice.algorithm
        self.user_only = choice.flags.user_only
        self.keep = choice.flags.keep
        self.use_default = choice.flags.use_default


cdef class Call:
    """A parsed call: its choices, or the code that it returns because it cannot be parsed."""
    cdef tuple choices
    cdef object failure


cdef struct Recent:
    PyObject *sets
    PyObject *algorithms
    PyObject *flags
    PyObject *call


cdef class Request(BaseRequest):
    """What a routing function is called with.

    ``settings`` gives what algorithms 7 and 9 read (`ds_farm.script.settings`); ``complain(text)``
    hears of calls that cannot be parsed; ``seed`` starts the random numbers of algorithm 6.
    """

    cdef LiveTable _table
    cdef dict _calls
    cdef list _kept              # keeps the objects that `_recent` points to
    cdef Recent _recent[RECENT]
    cdef int _oldest
    cdef object _settings
    cdef object _complain
    cdef uint64_t _random
    cdef dict _avp
    cdef readonly dict var       # $var(name): lives as long as the worker

    def __init__(self, Network network, Outbox out, segment, int rank, settings, complain, seed):
        super().__init__(network, out, segment, rank)
        self._settings = settings
        self._complain = complain
        self._random = (seed & 0xFFFFFFFFFFFFFFFF) or 1
        self._calls = {}
        self._kept = [None] * RECENT
        self.var = {}

    def use_table(self, LiveTable table):
        """Select from this table from now on."""
        self._table = table

    cdef void begin(self) noexcept:
        BaseRequest.begin(self)
        self._avp = None

    @property
    def avp(self):
        """AVPs of this request ($avp(name)), a dictionary."""
        self.check_open()
        if self._avp is None:
            self._avp = {}
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

    cdef object _select(self, sets, alg, flags, bint domain):
        cdef Call call
        cdef Choice choice
        self.check_open()
        call = self._call(sets, alg, flags)
        if call.choices is None:
            return call.failure
        for choice in call.choices:
            if choice.keep and (self.new_ruri if domain else self.dst_uri) is not None:
                return 1  # decision 11
            if self._choose(choice, domain):
                return 1
        return FAILED

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
            call = self._parse(sets, alg, flags)
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

    cdef Call _parse(self, sets, alg, flags):
        cdef Call call = Call()
        try:
            call.choices = tuple([Choice(one) for one in parse_choices(sets, alg, flags)])
        except ConfigError as error:
            self._complain(str(error))
            call.failure = UNEQUAL_LISTS if isinstance(error, UnequalLists) else FAILED
        return call

    cdef bint _choose(self, Choice choice, bint domain) except -1:
        """Select from one set and direct the request; whether it worked."""
        cdef LiveSet live
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
                h = self._least_loaded(live, choice.use_default)
                if h == NOBODY:
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
        return self._direct(live, index, domain)

    cdef bint _direct(self, LiveSet live, int index, bint domain) except -1:
        """Make destination ``index`` the request's next hop."""
        cdef const Endpoint *endpoint = &live.endpoints[index]
        cdef int start = live.uri_ends[index - 1] if index else 0
        cdef bytes current
        cdef Uri uri
        if endpoint.version == 0:
            return False
        if domain:
            current = self.new_ruri
            if current is None:
                current = self.x.data[self.x.m.uri:self.x.m.uri_end]
            if parse_uri(current, 0, len(current), &uri) or not uri.host:
                return False
            self.set_ruri(
                current[:uri.host]
                + live.uris[start + live.host_spans[2 * index]:start + live.host_spans[2 * index + 1]]
                + current[uri.hostport_end:]
            )
        else:
            self.dst_uri = live.uris[start:live.uri_ends[index]]
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
        return True

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

    cdef uint64_t _least_loaded(self, LiveSet live, bint use_default) except? 0:
        """Index of the active destination with the lowest value of pvar_algo_pattern
        (decision 8), of equal ones the first; NOBODY if no active one has a number."""
        cdef int size = live.size - 1 if use_default and live.size > 1 else live.size
        cdef uint64_t best = NOBODY
        lowest = None
        for index in live.active():
            if index >= size:
                continue
            value = self._settings.load(self, live.uri(index))
            if value is not None and (lowest is None or value < lowest):
                lowest = value
                best = index
        return best
