"""Functions of OpenSIPS's core and its module rr, as methods of the request: where it goes now, and
how the requests that follow it in a dialog find us.
"""

import re

from ds_farm.proxy._exchange cimport MAX_RR_PARAMS
from ds_farm.proxy._message cimport MessageRequest
from ds_farm.proxy._route cimport MAX_ROUTES, RouteValue, own_socket, read_routes
from ds_farm.sip._names cimport Scheme
from ds_farm.sip._uri cimport Address, Uri, parse_address, parse_uri

from ds_farm.proxy.codes import FAILED

cdef enum Part:
    """Of a URI, see `_split`."""
    SCHEME, USER, PASSWORD, HOST, PORT, REST

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

    cdef object _replace(self, str function, list parts, int first, int end, object text):
        """Put a text in the place of some of the Request-URI's parts; all others stay.  1, or -1."""
        if not parts[HOST] and (first >= HOST or parts[SCHEME].lower() != "tel:"):
            self.complain(f"{function}: {self.ru!r} has no such part")
            return FAILED
        mark = "@" if parts[HOST] else ""
        parts[first:end] = ["" if text is None else str(text)] + [""] * (end - first - 1)
        scheme, user, password, *rest = parts
        userinfo = f"{user}{password}{mark}" if user else ""
        return self._rewrite(function, f"{scheme}{userinfo}{''.join(rest)}")

    def rewritehost(self, host):
        """Replace the Request-URI's host; a port stays.  1, or -1."""
        return self._replace("rewritehost", _split(self.ru), HOST, PORT, host)

    def rewritehostport(self, hostport):
        """Replace the Request-URI's host and port.  1, or -1."""
        return self._replace("rewritehostport", _split(self.ru), HOST, REST, hostport)

    def rewriteport(self, port):
        """Replace the Request-URI's port.  1, or -1."""
        return self._replace("rewriteport", _split(self.ru), PORT, REST, f":{port}")

    def rewriteuser(self, user):
        """Replace the Request-URI's user part, or remove it (``""``); a password stays with a user,
        as in OpenSIPS.  1, or -1."""
        return self._replace("rewriteuser", _split(self.ru), USER, PASSWORD, user)

    def rewriteuserpass(self, user):
        """Replace the Request-URI's user part and password, ``user[:password]``.  1, or -1."""
        return self._replace("rewriteuserpass", _split(self.ru), USER, HOST, user)

    def prefix(self, text):
        """Put text before the Request-URI's user part.  1, or -1."""
        parts = _split(self.ru)
        return self._replace("prefix", parts, USER, PASSWORD, f"{text}{parts[USER]}")

    def strip(self, count):
        """Remove the first ``count`` characters of the Request-URI's user part.  1, or -1."""
        parts = _split(self.ru)
        return self._replace("strip", parts, USER, PASSWORD, parts[USER][max(0, int(count)):])

    def strip_tail(self, count):
        """Remove its last ``count`` characters.  1, or -1."""
        parts = _split(self.ru)
        kept = max(0, len(parts[USER]) - max(0, int(count)))
        return self._replace("strip_tail", parts, USER, PASSWORD, parts[USER][:kept])

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
        came with it; by the one that fits, if it is None or empty.  Returns 1; -1 if it is none of
        ours."""
        cdef int number
        self.check_open()
        if not socket:
            self.x.next_listener = -1
            return 1
        number = self.network.find(str(socket))
        if number < 0:
            return FAILED
        self.x.next_listener = number
        return 1

    @property
    def fs(self):
        """Our socket that it will be sent by ($fs), ``udp:host:port``; None while that is open."""
        self.check_open()
        if self.x.next_listener < 0:
            return None
        host, port = self.network.descriptions[self.x.next_listener][:2]
        return f"udp:[{host}]:{port}" if ":" in host else f"udp:{host}:{port}"

    def force_rport(self):
        """Answer to the port that the request came from, as if its Via had asked (RFC 3581).  1."""
        self.check_open()
        self.x.force_rport = True
        return 1

    # -- Record-Route and Route

    def record_route(self, params=""):
        """Stay in the path of the dialog (RFC 3261 16.6 step 4): the request goes out with a
        Record-Route of ours, two if it leaves by another socket than it came in by.  ``params``
        (``";name=value"``) go into its URI, after those of `add_rr_param`.  Returns 1; -1 if they
        are no URI parameters."""
        self.check_open()
        tag = f";ftag={self.ft}" if self.ft else ""
        text = self.rr_added + _parameters(str(params))
        # Without a tag that does not fit is_direction() does not know, but the dialog stays here.
        is_fit = _RR_PARAMS.fullmatch(tag) and len(tag) + len(text) <= MAX_RR_PARAMS
        whole = (tag if is_fit else "") + text
        if not _RR_PARAMS.fullmatch(text) or len(whole) > MAX_RR_PARAMS:
            self.complain(f"record_route: {params!r} are not URI parameters such as ';name=value'")
            return FAILED
        self._keep_rr_params(whole.encode())
        return 1

    def add_rr_param(self, param):
        """Add a parameter to the Record-Route of `record_route`, which may be called before or
        after.  1; -1 if it is none."""
        self.check_open()
        added = self.rr_added + _parameters(str(param))
        if not _RR_PARAMS.fullmatch(added) or len(added) > MAX_RR_PARAMS:
            self.complain(f"add_rr_param: {param!r} is not a URI parameter such as ';name=value'")
            return FAILED
        if self.x.record_route:
            whole = self._rr_params + _parameters(str(param)).encode()
            if len(whole) > MAX_RR_PARAMS:
                return FAILED
            self._keep_rr_params(whole)
        self.rr_added = added
        return 1

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
        """1 if a regular expression matches the parameters of our own topmost Route, in any case
        of letters; else -1."""
        cdef int start = 0, end = 0
        if not self._own_route(&start, &end):
            return FAILED
        found = re.search(pattern.encode(), self.x.data[start:end], re.IGNORECASE)
        return 1 if found else FAILED

    def is_direction(self, direction):
        """1 if the request goes "downstream" (as the dialog's first one, or if nothing tells) or
        "upstream", by the ftag parameter of our own topmost Route; else -1."""
        wanted = str(direction).lower()
        if wanted not in ("downstream", "upstream"):
            self.complain(f"is_direction: {direction!r} is neither downstream nor upstream")
            return FAILED
        is_told = self.ft and self.check_route_param(r";ftag=[^;]")
        same_way = self.check_route_param(rf";ftag={re.escape(self.ft)}(?:;|\Z)")
        is_downstream = not is_told or bool(same_way)
        return 1 if is_downstream == (wanted == "downstream") else FAILED


cdef str _parameters(str text):
    """URI parameters with the semicolon before them."""
    return f";{text}" if text and not text.startswith(";") else text


cdef list _split(str uri):
    """A URI in the parts of `Part`, each with the mark before it: ``sip:``, ``alice``, ``:secret``,
    ``example.com``, ``:5070``, ``;lr``.  The number of a tel URI is its user; a URI of another
    scheme stays whole."""
    cdef Uri parsed
    cdef bytes text = uri.encode()
    cdef int end, begin = text.find(b":") + 1
    cdef list ends = [len(text)] * 5
    if not parse_uri(text, 0, len(text), &parsed):
        if parsed.scheme == Scheme.TEL:
            end = begin + len(re.split(rb"[;?]", text[begin:], maxsplit=1)[0])
            ends = [begin, end, end, end, end]
        elif parsed.host:
            end = parsed.host - 1 if parsed.user_end else begin
            ends = [begin, parsed.user_end or begin, end, parsed.host_end, parsed.hostport_end]
    # What follows the @ begins after it.
    begins = [0, *ends[:2], parsed.host or ends[2], *ends[3:]]
    return [
        text[first:last].decode("utf-8", "replace")
        for first, last in zip(begins, [*ends, len(text)], strict=True)
    ]
