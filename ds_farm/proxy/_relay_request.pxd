"""The request with the routes that the transaction layer runs."""

from cpython.object cimport PyObject

from ds_farm.proxy._dialog cimport DialogRequest
from ds_farm.proxy._relay cimport Relay
from ds_farm.proxy._transaction cimport Transaction
from ds_farm.proxy._wire cimport Peer
from ds_farm.sip._scan cimport Message


cdef class RelayRequest(DialogRequest):
    cdef readonly Relay relay    # None: this farm keeps no transactions
    cdef object _routes          # name -> function of the user's module
    cdef object on_error         # hears of exceptions in failure routes
    cdef object _failure_route   # armed by t_on_failure, or None
    cdef object _reply_route     # armed by t_on_reply
    cdef object _branch_route    # armed by t_on_branch
    cdef list _branches          # what append_branch has added
    cdef bint _is_failure        # a failure route is being run
    cdef int _first_branch       # of those that have failed
    cdef bint _is_dropped        # by drop()
    cdef int _fr_timeout_ms      # of this call, 0: the configured ones
    cdef int _fr_inv_timeout_ms

    cdef int _arm(self, int first) except -1
    cdef void _arm_reply(self, PyObject **where, saved)
    cdef bint _run_reply_route(
        self, Transaction *t, PyObject *context, const unsigned char *data, Message *m,
        const Peer *source, int listener, int kept
    ) except -1
