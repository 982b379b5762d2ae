"""The base of the request that chooses destinations and directs the message to them."""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from ds_farm.dispatch._live cimport Endpoint, LiveSet, LiveTable
from ds_farm.proxy._tm cimport TmRequest
from ds_farm.script._plan cimport Call, Choice, Plan

cdef enum:
    RECENT = 4                   # calls remembered by the identity of their arguments


cdef struct Recent:
    PyObject *sets
    PyObject *algorithms
    PyObject *flags
    PyObject *call


cdef class Selector(TmRequest):
    cdef LiveTable table         # None before the first one
    cdef object settings         # ScriptSettings
    cdef dict plans              # partition -> Plan
    cdef uint64_t serial         # number of the request; a Plan of another one is no longer valid
    cdef list used_blacklists    # names
    cdef readonly dict var       # $var(name): lives as long as the worker
    cdef readonly dict stat      # $stat(name): numbers that live as long
    cdef bint _is_unsettable     # a Request-URI without a host was met
    cdef object _avp             # Avps, None until they are read
    cdef dict _calls             # (sets, algorithms, flags) -> Call
    cdef list _kept              # keeps the objects that `_recent` points to
    cdef Recent _recent[RECENT]
    cdef int _oldest
    cdef dict _listeners         # text of the socket column -> number of our socket, -1 if none
    cdef uint64_t _random

    cdef str expand(self, text)
    cdef object select(self, sets, alg, flags, bint domain)
    cdef bint is_listed(self, name, const Endpoint *wanted) except -1
    cdef bint _next_set(self, Plan plan, bint domain, bint failover) except -1
    cdef bint _is_directed(self, bint domain) except -1
    cdef Call _call(self, sets, alg, flags)
    cdef bint _choose(self, Plan plan, Choice choice, bint domain) except -1
    cdef int _allowed(self, LiveSet live, int chosen, list order, bint use_default) except -2
    cdef bint _direct(self, LiveSet live, int index, bint domain) except -1
    cdef int _listener(self, str text) except -2
    cdef list _by_load(self, LiveSet live, bint use_default)
    cdef bint _is_blacklisted(self, LiveSet live, int index) except -1
