"""Functions of OpenSIPS's core and its module rr, as methods of the request: where it goes now, and
how the requests that follow it in a dialog find us.
"""

import re

from ds_farm.proxy._exchange cimport MAX_RR_PARAMS
from ds_farm.proxy._message cimport MessageRequest
from ds_farm.proxy._route cimport MAX_ROUTES, RouteValue, own_socket, read_routes
from ds_farm.sip._uri cimport Address, Uri, parse_address, parse_uri

from ds_farm.proxy.codes import FAILED

_RR_PARAMS = re.compile(r"(?:;[A-Za-z0-9_.!~*'()\[\]/:&+$%-]+(?:=[A-Za-z0-9_.!~*'()\[\]/:&+$%-]+)?)*")


cdef class DialogRequest(MessageRequest):
    """Under `RelayRequest`."""

    # -- Request-URI and destination

    cdef object _rewrite(self, str function, str uri):
        """Give the request another URI; 1, or -1 if it is none."""
        try:
            self.ru = uri
        except ValueError as error:
            self.complain(f"{function}: {error}")
            return FAILED
        return 1

    def rewriteuri(self, uri):
        """Replace the Request-URI; `ru` can be assigned as well.  1, or -1 if it is no URI."""
        return self._rewrite("rewriteuri", str(uri))

    def rewritehost(self, host):
        """Replace the Request-URI's host, and remove its port.  1, or -1."""
        return self.rewritehostport(host)

    def rewritehostport(self, hostport):
        """Replace the Request-URI's host and port.  1, or -1."""
        before, _, after = _split(self.ru)
        return self._rewrite("rewritehostport", f"{before}{hostport}{after}")

    def rewriteport(self, port):
        """Replace the Request-URI's port.  1, or -1."""
        before, hostport, after = _split(self.ru)
        host = hostport[:hostport.rindex("]") + 1] if "]" in hostport else hostport.partition(":")[0]
        return self._rewrite("rewriteport", f"{before}{host}:{port}{after}")

    def rewriteuser(self, user):
        """Replace the Request-URI's user part, and remove a password.  1, or -1."""
        scheme, _, rest = _at_user(self.ru)
        return self._rewrite("rewriteuser", f"{scheme}{user}@{rest}")

    def prefix(self, text):
        """Put text before the Request-URI's user part.  1, or -1."""
        scheme, user, rest = _at_user(self.ru)
        return self._rewrite("prefix", f"{scheme}{text}{user}@{rest}")

    def strip(self, count):
        """Remove the first ``count`` characters of the Request-URI's user part.  1, or -1."""
        scheme, user, rest = _at_user(self.ru)
        user = user[int(count):]
        return self._rewrite("strip", f"{scheme}{user}{'@' if user else ''}{rest}")

    def strip_tail(self, count):
        """Remove its last ``count`` characters.  1, or -1."""
        scheme, user, rest = _at_user(self.ru)
        user = user[:max(0, len(user) - int(count))]
        return self._rewrite("strip_tail", f"{scheme}{user}{'@' if user else ''}{rest}")

    def revert_uri(self):
        """Back to the Request-URI as received.  1."""
        self.check_open()
        self.new_ruri = None
        self.x.new_uri = NULL
        return 1

    def setdsturi(self, uri):
        """Set the destination URI; `du` can be assigned as well.  1, or -1 if it is none."""
        try:
            self.du = uri
        except ValueError as error:
            self.complain(f"setdsturi: {error}")
            return FAILED
        return 1

    def resetdsturi(self):
        """Forget the destination URI.  1."""
        self.du = None
        return 1

    def isdsturiset(self):
        """1 if there is a destination URI; else -1."""
        return 1 if self.du is not None else FAILED

    def force_send_socket(self, socket):
        """Send it by one of our sockets, ``[proto:]host[:port]``, whatever is selected before or
        came with it.  Returns 1; -1 if it is none of ours."""
        cdef int number = self.network.find(str(socket))
        self.check_open()
        if number < 0:
            return FAILED
        self.x.next_listener = number
        return 1

    def force_rport(self):
        """Answer to the port that the request came from, as if its Via had asked (RFC 3581).  1."""
        self.check_open()
        self.x.force_rport = True
        return 1

    # -- Record-Route and Route

    def record_route(self, params=""):
        """Stay in the path of the dialog (RFC 3261 16.6 step 4): the request goes out with a
        Record-Route of ours, two if it leaves by another socket than it came in by.  ``params``
        (``";name=value"``) go into its URI.  Returns 1; -1 if they are no URI parameters."""
        self.check_open()
        tag = f";ftag={self.ft}" if self.ft else ""
        text = str(params)
        if text and not text.startswith(";"):
            text = f";{text}"
        whole = (tag if _RR_PARAMS.fullmatch(tag) else "") + text
        if not _RR_PARAMS.fullmatch(text) or len(whole) > MAX_RR_PARAMS:
            self.complain(f"record_route: {params!r} are not URI parameters such as ';name=value'")
            return FAILED
        self._rr_params = whole.encode()
        self.x.rr_params = <const unsigned char *><const char *>self._rr_params
        self.x.rr_params_length = len(self._rr_params)
        self.x.record_route = True
        return 1

    def add_rr_param(self, param):
        """Add a parameter to the Record-Route of `record_route`.  1; -1 without one."""
        self.check_open()
        if not self.x.record_route:
            return FAILED
        before = self._rr_params.decode()
        tag = f";ftag={self.ft}" if before.startswith(f";ftag={self.ft}") else ""
        return self.record_route(before[len(tag):] + (param if param[:1] == ";" else f";{param}"))

    def loose_route(self):
        """1 if the request has a Route to follow; then `forward` or `t_relay` go by it, and our
        own values are removed on the way (RFC 3261 16.4, 16.6, 16.12).  -1 if it has none, or
        none but our own and is in no dialog yet."""
        cdef RouteValue values[MAX_ROUTES]
        cdef Address address
        cdef int n, i
        self.check_open()
        n = read_routes(self.x.data, &self.x, values) if self.x.m.routes else 0
        for i in range(n):
            if parse_address(self.x.data, values[i].start, values[i].end, &address):
                return FAILED
            if own_socket(self.x.data, address.uri, address.uri_end, self.network) < 0:
                self.dst_uri = self.x.data[address.uri:address.uri_end]
                return 1
        return 1 if n and self.x.to.tag else FAILED

    cdef int _own_route(self, int *start, int *end) except -1:
        """The parameters of our topmost Route value's URI; 0 if it is not ours."""
        cdef RouteValue values[MAX_ROUTES]
        cdef Address address
        cdef Uri uri
        self.check_open()
        if not self.x.m.routes or not read_routes(self.x.data, &self.x, values):
            return 0
        if parse_address(self.x.data, values[0].start, values[0].end, &address):
            return 0
        if own_socket(self.x.data, address.uri, address.uri_end, self.network) < 0:
            return 0
        if parse_uri(self.x.data, address.uri, address.uri_end, &uri):
            return 0
        start[0] = uri.params
        end[0] = uri.params_end
        return 1

    def check_route_param(self, pattern):
        """1 if a regular expression matches the parameters of our own topmost Route; else -1."""
        cdef int start = 0, end = 0
        if not self._own_route(&start, &end):
            return FAILED
        return 1 if re.search(pattern.encode(), self.x.data[start:end]) else FAILED

    def is_direction(self, direction):
        """1 if the request goes "downstream" (as the dialog's first one) or "upstream", by the
        ftag parameter of our own topmost Route; else -1, also without one."""
        wanted = str(direction).lower()
        if wanted not in ("downstream", "upstream"):
            self.complain(f"is_direction: {direction!r} is neither downstream nor upstream")
            return FAILED
        if self.check_route_param("") is FAILED:
            return FAILED
        same_way = self.check_route_param(rf";ftag={re.escape(self.ft)}(?:;|\Z)")
        return 1 if bool(same_way) == (wanted == "downstream") else FAILED


cdef tuple _split(str uri):
    """A SIP URI as (what is before the host, host and port, what follows)."""
    cdef Uri parsed
    cdef bytes text = uri.encode()
    parse_uri(text, 0, len(text), &parsed)
    return (
        text[:parsed.host].decode("utf-8", "replace"),
        text[parsed.host:parsed.hostport_end].decode("utf-8", "replace"),
        text[parsed.hostport_end:].decode("utf-8", "replace"),
    )


cdef tuple _at_user(str uri):
    """(scheme with its colon, user, what follows the @)."""
    before, hostport, after = _split(uri)
    scheme, _, user = before.partition(":")
    return f"{scheme}:", user.removesuffix("@").partition(":")[0], hostport + after
