"""Functions of OpenSIPS's tm module as methods of the request, over `_relay.pyx`.

What a routing function arms with t_on_failure() is kept with the transaction: the function, and
what the request knows beside its text (AVPs, the rest of a selection).
"""

import re

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.string cimport memcpy, memset

from ds_farm.proxy._exchange cimport FORWARDED
from ds_farm.proxy._relay cimport Relay
from ds_farm.proxy._reply cimport reply
from ds_farm.proxy._dialog cimport DialogRequest
from ds_farm.proxy._request cimport DONE, OPEN, BaseRequest, reason_for
from ds_farm.proxy._transaction cimport Branch, Transaction
from ds_farm.proxy._wire cimport Network, Outbox, Peer
from ds_farm.sip._names cimport ACK, CANCEL, OVERSIZED
from ds_farm.sip._scan cimport Message
from ds_farm.sip._uri cimport parse_address
from shm._native cimport ds_count

from ds_farm.proxy.codes import FAILED


cdef enum:
    DROPPED = 1                  # by a branch route; no status of any response


cdef class RelayRequest(DialogRequest):
    """``relay`` is None in a farm that forwards without state; the functions here then say -1."""

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
        if reply(&self.x, self.network, self.out, status, reason, len(reason), headers,
                 len(headers)) < 0:
            ds_count(&self.counters.dropped[<int>OVERSIZED], 1)
            return 0
        ds_count(&self.counters.replies[min(7, status // 100)], 1)
        self.relay.replied(self.transaction, status)
        return 1

    cdef int _arm(self) except -1:
        """Leave with the transaction what is to be run when all its branches fail."""
        cdef object context, saved
        if self._failure_route is None and self._reply_route is None:
            return 0
        saved = self.save()
        if self._failure_route is not None:
            context = (self._failure_route, self._reply_route, self._branch_route, saved)
            Py_INCREF(context)
            Py_XDECREF(self.transaction.context)
            self.transaction.context = <PyObject *>context
        if self._reply_route is not None:
            context = (self._reply_route, saved)
            Py_INCREF(context)
            Py_XDECREF(self.transaction.reply_context)
            self.transaction.reply_context = <PyObject *>context
        return 0

    cdef int on_failure(self, Transaction *t) except -1:
        """Run the failure route that is armed, with the request of the transaction."""
        cdef object context = <object>t.context
        Py_XDECREF(t.context)
        t.context = NULL
        route, reply_route, branch_route, saved = context
        self.relay.load(t, &self.x)
        self.begin()
        self.x.unique = t.key
        self.transaction = t
        self._is_failure = True
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
        self, Transaction *t, const unsigned char *data, Message *m, const Peer *source,
        int listener, int kept
    ) except -1:
        """Run the reply route of a transaction, or the one for all; ``kept`` changes that an
        earlier route has made to the response stay."""
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
            if t != NULL:
                route, saved = <object>t.reply_context
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

    # -- functions of a script

    def t_newtran(self):
        """Make the request's transaction now: retransmissions are absorbed from here on.
        Returns 1; -1 for ACK and CANCEL, which have none of their own."""
        self.check_open()
        if self.relay is None or self.is_reply or self.x.m.method in (ACK, CANCEL):
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

    def t_relay(self, *arguments):
        """Send the request on and keep its transaction (RFC 3261 section 16 and 17): to the
        destination that was selected ($du), else by its Route, else to its Request-URI; and to
        every branch of `append_branch` at the same time.

        ``t_relay([proxy,] [flags])``: a SIP URI or ``udp:host:port`` to send it to; flags as text
        such as "0x02" or "no-reply-on-error", which leaves telling the sender to the script.  An
        ACK goes on without state.  Returns 1; -1 if it could not be sent anywhere, and then its
        sender has been told why.
        """
        cdef int outcome, failure = 0
        cdef bint is_sent = False, quiet = False
        self.check_open()
        for argument in arguments:
            text = str(argument).strip()
            if text.startswith(("sip:", "udp:")):
                self.du = f"sip:{text[4:]}"
            else:
                quiet = quiet or _is_quiet(text)
        if self.stage == DONE and not self._is_failure:
            return FAILED
        if self.relay is None or self.x.m.method == ACK or self.x.m.method == CANCEL:
            return self.forward()
        if not self.t_newtran() or self.transaction.is_over or self.transaction.is_cancelled:
            return FAILED
        if self._is_failure and self.transaction.best_status >= 600:
            return FAILED  # 16.7 step 5: nobody else is asked after a 6xx
        for target in [None, *self._branches]:
            if target is not None:
                self._aim(target)
            outcome = self._send()
            if outcome == FORWARDED:
                is_sent = True
                ds_count(&self.counters.forwarded_requests, 1)
                if self.x.slot >= 0:
                    ds_count(&self.destinations[self.x.slot].requests, 1)
            elif not failure:
                failure = outcome
        self._branches.clear()
        if is_sent:
            self.stage = DONE
            self._arm()
            return 1
        if not self._is_failure and not quiet:
            if failure == DROPPED:
                self.answer(500, b"Server Internal Error", b"")
            else:
                self.answer(failure, reason_for(failure), b"")
        return FAILED

    cdef int _send(self) except? -2:
        """One branch, after its branch route: changes that this makes are for it alone."""
        cdef int outcome, kept = self.x.lump_count
        if self._branch_route is None:
            return self.relay.send(self)
        texts = self._texts[:kept]
        self._is_dropped = False
        target = self._target()
        self._branch_route(self)
        outcome = DROPPED if self._is_dropped else self.relay.send(self)
        self._aim(target)
        self.x.lump_count = kept
        self._texts = texts
        return outcome

    cdef object _target(self):
        """Where the request is directed to now."""
        cdef const char *peer = <const char *>&self.x.next
        return (self.new_ruri, self.dst_uri, self.x.slot, self.x.address, self.x.next_listener,
                self.x.has_next, peer[:sizeof(Peer)])

    cdef int _aim(self, target) except -1:
        """Direct it to what `_target` has returned."""
        cdef bytes peer
        (ruri, self.dst_uri, self.x.slot, self.x.address, self.x.next_listener, self.x.has_next,
         peer) = target
        memcpy(&self.x.next, <const char *>peer, sizeof(Peer))
        self.new_ruri = None
        self.x.new_uri = NULL
        if ruri is not None:
            self.set_ruri(ruri)
        return 0

    def append_branch(self, uri=None):
        """Let the next `t_relay` send the request to one more place at the same time: to ``uri``,
        or to where it is directed now ($ru and $du).  Returns 1; -1 if that is no URI."""
        self.check_open()
        if uri is None:
            self._branches.append(self._target())
            return 1
        before = self._target()
        self.du = None
        self.x.next_listener = -1
        done = self.rewriteuri(uri)
        if done:
            self._branches.append(self._target())
        self._aim(before)
        return done

    def drop(self):
        """In a reply route: do not forward this provisional response (a final one always goes).
        In a branch route: do not send this branch.  1."""
        self.check_open()
        self._is_dropped = True
        return 1

    def sl_send_reply(self, code, reason, headers=""):
        """`send_reply`."""
        return self.send_reply(code, reason, headers)

    def sl_reply_error(self):
        """Answer 500 if the request has got no answer yet.  1; -1 if it has one."""
        return self.send_reply(500, "Server Internal Error")

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
        self._failure_route = self._named("failure_route", name)
        return FAILED if self._failure_route is None else 1

    def t_on_reply(self, name):
        """Have ``onreply_route_<name>(reply)`` run for each response but 100 that this call gets,
        before it is forwarded: it may look, change headers, or `drop`.  (``onreply_route(reply)``
        of a module runs for each response of all calls.)  Returns 1; -1 if there is none."""
        self._reply_route = self._named("onreply_route", name)
        return FAILED if self._reply_route is None else 1

    def t_on_branch(self, name=""):
        """Have ``branch_route_<name>(request)`` run for each branch that `t_relay` sends, before
        it goes: what it changes is changed for that branch.  Returns 1; -1 if there is none."""
        self._branch_route = self._named("branch_route", name)
        return FAILED if self._branch_route is None else 1

    cdef object _named(self, str kind, name):
        """A route of the module; ``name`` may be the function itself."""
        self.check_open()
        if callable(name):
            return name
        return self._routes.get(f"{kind}_{name}" if name else kind)

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


cdef bint _is_quiet(str flags) except -1:
    """Whether flags of t_relay keep it from telling the sender of a failure."""
    try:
        return int(flags or "0", 0) & 2 != 0
    except ValueError:
        return "no-reply-on-error" in flags


cdef int _milliseconds(seconds) except -1:
    if not 0 < seconds <= 3600:
        raise ValueError(f"{seconds!r} is not a time of up to 3600 seconds")
    return int(seconds * 1000)
