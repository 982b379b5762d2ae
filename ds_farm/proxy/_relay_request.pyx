"""Functions of OpenSIPS's tm module as methods of the request, over `_relay.pyx`.

What a routing function arms with t_on_failure() is kept with the transaction: the function, and
what the request knows beside its text (AVPs, the rest of a selection).
"""

import re

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF

from ds_farm.proxy._exchange cimport FORWARDED
from ds_farm.proxy._relay cimport Relay
from ds_farm.proxy._reply cimport reply
from ds_farm.proxy._request cimport DONE, OPEN, BaseRequest, reason_for
from ds_farm.proxy._transaction cimport Branch, Transaction
from ds_farm.proxy._wire cimport Network, Outbox
from ds_farm.sip._names cimport ACK, CANCEL, OVERSIZED
from shm._native cimport ds_count

from ds_farm.proxy.codes import FAILED


cdef class RelayRequest(BaseRequest):
    """``relay`` is None in a farm that forwards without state; the functions here then say -1."""

    def __init__(self, Network network, Outbox out, segment, int rank, Relay relay, on_error,
                 routes):
        super().__init__(network, out, segment, rank)
        self.relay = relay
        self.on_error = on_error
        self._routes = routes or {}

    cdef void begin(self) noexcept:
        BaseRequest.begin(self)
        self._failure_route = None
        self._is_failure = False
        self._fr_timeout_ms = self._fr_inv_timeout_ms = 0

    cdef int answer(self, int status, bytes reason, bytes headers) except -1:
        if self.transaction == NULL:
            return BaseRequest.answer(self, status, reason, headers)
        if status >= 200:
            self.stage = DONE
        if self.transaction.is_over:
            return 0
        if reply(&self.x, self.network, self.out, status, reason, len(reason), headers,
                 len(headers)) < 0:
            ds_count(&self.counters.dropped[<int>OVERSIZED], 1)
            return 0
        ds_count(&self.counters.replies[min(7, status // 100)], 1)
        self.relay.replied(self.transaction, status)
        return 1

    cdef object save(self):
        """What a failure route is to find again; subclasses add to it."""
        return (self.x.hops, self.dst_uri, self.new_ruri)

    cdef int restore(self, saved) except -1:
        """Put back what `save` returned."""
        self.x.hops, self.dst_uri, ruri = saved
        if ruri is not None:
            self.set_ruri(ruri)
        return 0

    cdef int _arm(self) except -1:
        """Leave with the transaction what is to be run when all its branches fail."""
        cdef object context
        if self._failure_route is not None:
            context = (self._failure_route, self.save())
            Py_INCREF(context)
            Py_XDECREF(self.transaction.context)
            self.transaction.context = <PyObject *>context
        return 0

    cdef int on_failure(self, Transaction *t) except -1:
        """Run the failure route that is armed, with the request of the transaction."""
        cdef object context = <object>t.context
        Py_XDECREF(t.context)
        t.context = NULL
        route, saved = context
        self.relay.load(t, &self.x)
        self.begin()
        self.x.unique = t.key
        self.transaction = t
        self._is_failure = True
        try:
            self.restore(saved)
            route(self)
        except Exception as error:
            ds_count(&self.counters.route_errors, 1)
            self.on_error(error)
            if not t.is_over and t.pending == 0:
                self.answer(500, b"Server Internal Error", b"")
        finally:
            self.end()
            self.transaction = NULL
        return 0

    # -- functions of a script

    def t_newtran(self):
        """Make the request's transaction now: retransmissions are absorbed from here on.
        Returns 1; -1 for ACK and CANCEL, which have none of their own."""
        self.check_open()
        if self.relay is None or self.x.m.method == ACK or self.x.m.method == CANCEL:
            return FAILED
        if self.transaction == NULL:
            self.transaction = self.relay.start(self)
            if self.transaction == NULL:
                return FAILED
            if self._fr_timeout_ms:
                self.transaction.fr_timeout_ms = self._fr_timeout_ms
            if self._fr_inv_timeout_ms:
                self.transaction.fr_inv_timeout_ms = self._fr_inv_timeout_ms
        return 1

    def t_relay(self):
        """Send the request on and keep its transaction (RFC 3261 section 16 and 17): to the
        destination that was selected ($du), else by its Route, else to its Request-URI.

        An ACK goes on without state.  Returns 1; -1 if it could not be sent, and then its sender
        has been told why.
        """
        cdef int outcome
        self.check_open()
        if self.stage == DONE and not self._is_failure:
            return FAILED
        if self.relay is None or self.x.m.method == ACK or self.x.m.method == CANCEL:
            return self.forward()
        if not self.t_newtran() or self.transaction.is_over or self.transaction.is_cancelled:
            return FAILED
        outcome = self.relay.send(self)
        if outcome == FORWARDED:
            self.stage = DONE
            self._arm()
            ds_count(&self.counters.forwarded_requests, 1)
            if self.x.slot >= 0:
                ds_count(&self.destinations[self.x.slot].requests, 1)
            return 1
        if not self._is_failure:
            self.answer(outcome, reason_for(outcome), b"")
        return FAILED

    def t_reply(self, code, reason, headers=""):
        """`send_reply` of the transaction, which is made if there is none yet."""
        self.check_open()
        self.t_newtran()
        if self._is_failure:
            self.stage = OPEN
        return self.send_reply(code, reason, headers)

    def t_on_failure(self, name=""):
        """Have ``failure_route_<name>(request)``, or ``failure_route`` without a name, run when
        every branch of this call has failed.  It may select again and t_relay(), or t_reply();
        else the best response goes upstream.  Returns 1; -1 if the module has no such function.
        """
        cdef str wanted = f"failure_route_{name}" if name else "failure_route"
        self.check_open()
        self._failure_route = self._routes.get(wanted)
        return FAILED if self._failure_route is None else 1

    def t_check_status(self, pattern):
        """1 if the status that the last branch ended with matches a regular expression such as
        ``"408|5[0-9][0-9]"``; else -1.  For failure routes."""
        cdef int status = self.reply_status()
        return 1 if status and re.fullmatch(str(pattern), str(status)) else FAILED

    def t_was_cancelled(self):
        """1 if the caller has cancelled this transaction; else -1."""
        self.check_open()
        return 1 if self.transaction != NULL and self.transaction.is_cancelled else FAILED

    def t_check_trans(self):
        """1 if the request has a transaction; else -1.  What belongs to an earlier one
        (retransmissions, CANCEL, ACK of a negative response) never gets to a routing function."""
        self.check_open()
        return 1 if self.transaction != NULL else FAILED

    cdef int reply_status(self) except -1:
        cdef Branch *b
        self.check_open()
        if self.transaction == NULL:
            return 0
        b = self.transaction.branches
        while b != NULL and b.is_cancel:
            b = b.next
        return b.status if b != NULL else 0

    @property
    def T_reply_code(self):
        """Status that the last branch has got ($T_reply_code), 408 if none came; 0 before."""
        return self.reply_status()

    @property
    def T_fr_timeout(self):
        """Seconds without any response after which a branch has failed ($T_fr_timeout)."""
        return self._seconds(self._fr_timeout_ms, 0 if self.relay is None
                             else self.relay.fr_timeout_ms)

    @T_fr_timeout.setter
    def T_fr_timeout(self, seconds):
        self.check_open()
        self._fr_timeout_ms = _milliseconds(seconds)
        if self.transaction != NULL:
            self.transaction.fr_timeout_ms = self._fr_timeout_ms

    @property
    def T_fr_inv_timeout(self):
        """Seconds without a final response to an INVITE after a provisional one
        ($T_fr_inv_timeout)."""
        return self._seconds(self._fr_inv_timeout_ms, 0 if self.relay is None
                             else self.relay.fr_inv_timeout_ms)

    @T_fr_inv_timeout.setter
    def T_fr_inv_timeout(self, seconds):
        self.check_open()
        self._fr_inv_timeout_ms = _milliseconds(seconds)
        if self.transaction != NULL:
            self.transaction.fr_inv_timeout_ms = self._fr_inv_timeout_ms

    cdef object _seconds(self, int own_ms, int configured_ms):
        self.check_open()
        return (own_ms if own_ms else configured_ms) / 1000


cdef int _milliseconds(seconds) except -1:
    if not 0 < seconds <= 3600:
        raise ValueError(f"{seconds!r} is not a time of up to 3600 seconds")
    return int(seconds * 1000)
