"""The request as the transaction layer runs its failure and reply routes.

What a routing function arms with t_on_failure() is kept with the transaction: the function, and
what the request knows beside its text (AVPs, the rest of a selection).
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.string cimport memset

from ds_farm.proxy._relay cimport Relay
from ds_farm.proxy._reply cimport reply
from ds_farm.proxy._dialog cimport DialogRequest
from ds_farm.proxy._request cimport DONE, BaseRequest
from ds_farm.proxy._transaction cimport Branch, Transaction
from ds_farm.proxy._wire cimport Network, Outbox, Peer
from ds_farm.sip._names cimport OVERSIZED
from ds_farm.sip._scan cimport Message
from ds_farm.sip._uri cimport parse_address
from shm._native cimport ds_count


cdef class RelayRequest(DialogRequest):
    """Under `TmRequest`.  ``relay`` is None in a farm that forwards without state."""

    def __init__(self, Network network, Outbox out, segment, int rank, Relay relay, on_error,
                 routes):
        super().__init__(network, out, segment, rank)
        self.relay = relay
        self.on_error = on_error
        self._routes = routes or {}
        self.reply_route = self._routes.get("onreply_route")
        self._branches = []

    cdef void begin(self) noexcept:
        DialogRequest.begin(self)
        self._failure_route = self._reply_route = self._branch_route = None
        self._is_failure = self._is_dropped = False
        self._first_branch = 0
        if self._branches:
            self._branches.clear()
        self._fr_timeout_ms = self._fr_inv_timeout_ms = 0

    cdef int answer(self, int status, bytes reason, bytes headers) except -1:
        if self.transaction == NULL:
            return BaseRequest.answer(self, status, reason, headers)
        if status >= 200:
            self.stage = DONE
        if self.transaction.is_over:
            return 0
        headers += self.reply_headers
        if reply(&self.x, self.network, self.out, status, reason, len(reason), headers,
                 len(headers), self.reply_body, len(self.reply_body)) < 0:
            ds_count(&self.counters.dropped[<int>OVERSIZED], 1)
            return 0
        ds_count(&self.counters.replies[min(7, status // 100)], 1)
        self.relay.replied(self.transaction, status)
        return 1

    cdef int _arm(self, int first) except -1:
        """Leave with the transaction what is to be run when all its branches fail, from number
        ``first`` on."""
        cdef object context, saved
        if self._failure_route is None and self._reply_route is None:
            return 0
        saved = self.save()
        if self._failure_route is not None:
            context = (self._failure_route, self._reply_route, self._branch_route, saved, first)
            Py_INCREF(context)
            Py_XDECREF(self.transaction.context)
            self.transaction.context = <PyObject *>context
        if self._reply_route is not None:
            self._arm_reply(&self.transaction.reply_context, saved)
        return 0

    cdef void _arm_reply(self, PyObject **where, saved):
        cdef object context = (self._reply_route, saved)
        Py_INCREF(context)
        Py_XDECREF(where[0])
        where[0] = <PyObject *>context

    cdef int on_failure(self, Transaction *t) except -1:
        """Run the failure route that is armed, with the request of the transaction."""
        cdef object context = <object>t.context
        Py_XDECREF(t.context)
        t.context = NULL
        route, reply_route, branch_route, saved, first = context
        self.relay.load(t, &self.x)
        self.begin()
        self.x.unique = t.key
        self.transaction = t
        self._is_failure = True
        self._first_branch = first
        self._reply_route, self._branch_route = reply_route, branch_route
        try:
            self.restore(saved)
            self.restore_knowledge(saved)
            route(self)
        except BaseException as error:
            ds_count(&self.counters.route_errors, 1)
            self.on_error(error)
            if not t.is_over and t.pending == 0:
                self.answer(500, b"Server Internal Error", b"")
        finally:
            self.end()
            self.transaction = NULL
            self.relay.forget_request(t)
        return 0

    cdef bint on_reply(
        self, Branch *b, const unsigned char *data, Message *m, const Peer *source,
        int listener, int kept
    ) except -1:
        """Run the reply routes of a branch and of its transaction, or the one for all; ``kept``
        changes that an earlier route has made to the response stay."""
        cdef bint dropped = False
        if b == NULL:
            return self._run_reply_route(NULL, NULL, data, m, source, listener, kept)
        if b.reply_context != NULL:
            dropped = self._run_reply_route(
                b.transaction, b.reply_context, data, m, source, listener, kept
            )
            kept = self.x.lump_count
        if b.transaction.reply_context != NULL:
            dropped = self._run_reply_route(
                b.transaction, b.transaction.reply_context, data, m, source, listener, kept
            ) or dropped
        return dropped

    cdef bint _run_reply_route(
        self, Transaction *t, PyObject *context, const unsigned char *data, Message *m,
        const Peer *source, int listener, int kept
    ) except -1:
        cdef list texts = self._texts[:kept]
        cdef object route = self.reply_route, saved = None
        cdef bint dropped
        self.x.data = data
        self.x.m = m[0]
        self.x.source = source[0]
        self.x.listener = listener
        memset(&self.x.via, 0, sizeof(self.x.via))
        memset(&self.x.uri, 0, sizeof(self.x.uri))
        parse_address(data, m.from_, m.from_end, &self.x.from_)
        parse_address(data, m.to, m.to_end, &self.x.to)
        self.begin()
        self._texts = texts
        self.x.lump_count = kept
        self.is_reply = True
        self.stage = DONE
        self.transaction = t
        try:
            if context != NULL:
                route, saved = <object>context
                self.restore_knowledge(saved)
            route(self)
        except BaseException as error:
            ds_count(&self.counters.route_errors, 1)
            self.on_error(error)
        finally:
            dropped = self._is_dropped
            self.end()
            self.transaction = NULL
        return dropped
