"""Functions of OpenSIPS's tm module as methods of the request, over `_relay_request.pyx`."""

import re

from libc.string cimport memcpy

from ds_farm.proxy._exchange cimport FORWARDED
from ds_farm.proxy._relay_request cimport RelayRequest
from ds_farm.proxy._request cimport DONE, OPEN, reason_for, sip_uri
from ds_farm.proxy._sender cimport rank_of
from ds_farm.proxy._transaction cimport Branch
from ds_farm.proxy._wire cimport Peer
from ds_farm.sip._edit cimport Edit
from ds_farm.sip._names cimport ACK, CANCEL
from shm._native cimport ds_count

from ds_farm.proxy.codes import FAILED


cdef enum:
    DROPPED = 1                  # by a branch route; no status of any response


cdef class TmRequest(RelayRequest):
    """In a farm that forwards without state these functions say -1."""

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

        ``t_relay([proxy,] [flags])``: a SIP URI or ``[udp:]host[:port]`` to send it to, unless a
        destination has been selected; flags as text such as "0x02" or "no-reply-on-error", which
        leaves telling the sender to the script.  An ACK goes on without state.  Returns 1; -1 if
        it could not be sent anywhere, and then its sender has been told why.
        """
        cdef int outcome, first, failure = 0
        cdef bint is_sent = False, quiet = False
        self.check_open()
        for argument in arguments:
            text = str(argument).strip()
            if "." in text or ":" in text:
                if self.dst_uri is None:
                    self.du = sip_uri(text)
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
        first = self.transaction.branch_nr
        before = self._target()
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
        if self._branches:
            self._branches.clear()
            self._aim(before)
        if is_sent:
            self.stage = DONE
            self._arm(first)
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
        cdef const char *lumps = <const char *>self._lumps
        cdef bytes before
        if self._branch_route is None:
            return self.relay.send(self)
        self._keep_base()
        texts, before = self._texts[:kept], lumps[:kept * sizeof(Edit)]
        rr_params = self._rr_params if self.x.record_route else None
        self._is_dropped = False
        target, reply_route = self._target(), self._reply_route
        self._branch_route(self)
        outcome = DROPPED if self._is_dropped else self.relay.send(self)
        if self._reply_route is not reply_route:
            if outcome == FORWARDED and self._reply_route is not None:
                self._arm_reply(&self.transaction.branches.reply_context, self.save())
            self._reply_route = reply_route
        self._aim(target)
        self.x.lump_count = kept
        memcpy(self._lumps, <const char *>before, len(before))
        self._texts = texts
        self.x.record_route = False
        if rr_params is not None:
            self._keep_rr_params(rr_params)
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
        """Let the next `t_relay` send the request to one more place at the same time: to where it
        is directed now ($ru and $du, which then is open again), or with ``uri`` as its
        Request-URI; a destination that is set ($du) is this branch's as well, as in OpenSIPS.
        Returns 1; -1 if that is no URI."""
        self.check_open()
        if uri is None:
            self._branches.append(self._target())
            self.du = None
            self.x.next_listener = -1
            return 1
        before = self._target()
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
        before it is forwarded: it may look, change headers, or `drop`.  Of a branch route: for
        the responses of that branch, before the one of the whole call.  (``onreply_route(reply)``
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
        """1 if a regular expression such as ``"408|5[0-9][0-9]"`` matches somewhere in the status
        that `T_reply_code` has; else -1."""
        cdef int status = self.reply_status()
        return 1 if status and re.search(str(pattern), str(status)) else FAILED

    def t_local_replied(self, which):
        """In a failure route: 1 if "all" branches have ended without any response, or if the one
        that decides has ("branch"), or has without a final response ("last"): timeouts,
        destinations that refuse; else -1."""
        cdef Branch *b
        self.check_open()
        which = str(which).lower()
        if which not in ("all", "last", "branch"):
            self.complain(f"t_local_replied: {which!r} is none of all, last, branch")
            return FAILED
        if not self._is_failure:
            return FAILED
        if which != "all":
            b = self._winner()
            return 1 if b != NULL and b.heard < (2 if which == "last" else 1) else FAILED
        b = self.transaction.branches
        while b != NULL:
            if not b.is_cancel and b.index >= self._first_branch and b.heard:
                return FAILED
            b = b.next
        return 1

    def t_reply_with_body(self, code, reason, body, headers=""):
        """`t_reply` with a body, whose Content-Type is among the headers, or has been given to
        `append_to_reply`."""
        self.check_open()
        self.reply_body = body if isinstance(body, bytes) else str(body).encode()
        try:
            return self.t_reply(code, reason, headers)
        finally:
            self.reply_body = b""

    def t_was_cancelled(self):
        """1 if the caller has cancelled this transaction; else -1."""
        self.check_open()
        return 1 if self.transaction != NULL and self.transaction.is_cancelled else FAILED

    def t_check_trans(self):
        """1 if the request has a transaction; else -1.  What belongs to an earlier one
        (retransmissions, CANCEL, ACK of a negative response) never gets to a routing function."""
        self.check_open()
        return 1 if self.transaction != NULL else FAILED

    cdef Branch *_winner(self) noexcept:
        """The best (16.7 step 6) of the branches that have failed together."""
        cdef Branch *best = NULL
        cdef Branch *b = self.transaction.branches
        while b != NULL:
            if not b.is_cancel and b.index >= self._first_branch and b.status >= 300:
                if best == NULL or rank_of(b.status) <= rank_of(best.status):
                    best = b
            b = b.next
        return best

    cdef int reply_status(self) except -1:
        cdef Branch *b
        self.check_open()
        if self.is_reply:
            return self.x.m.status
        if self.transaction == NULL:
            return 0
        if not self._is_failure:
            return self.transaction.status
        b = self._winner()
        return b.status if b != NULL else 0

    @property
    def T_reply_code(self):
        """A status ($T_reply_code): in a failure route the best one of the branches that have
        failed, 408 for those without a response; in a reply route that of the response; else that
        of the last response to the request, 0 before."""
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
