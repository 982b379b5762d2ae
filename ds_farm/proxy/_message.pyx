"""Functions of OpenSIPS's module sipmsgops, as methods of the request.

Changes are byte ranges ("lumps"): they count when the message is sent, `hdr` goes on to show what
was received.  A header can be named in its long or its compact form; both are meant.
"""

import re

from ds_farm.proxy._exchange cimport MAX_LUMPS
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.proxy._wire cimport Network, Outbox
from ds_farm.sip._edit cimport replace
from ds_farm.sip._text cimport find, next_line, same, skip_space, trim_end

from fnmatch import translate

from ds_farm.proxy.codes import FAILED
from ds_farm.sip.names import COMPACT_FORMS

cdef dict _FORMS = {
    name.lower(): (long.lower().encode(), short.encode())
    for long, short in COMPACT_FORMS.items() for name in (long, short)
}
cdef frozenset _NEEDED = frozenset({b"via", b"from", b"to", b"call-id", b"cseq"})
# What our own edits and the sender of a response rely on.
cdef tuple _FIXED = ("Via", "Route", "Max-Forwards", "Call-ID", "CSeq", "Content-Length")
_LINES = re.IGNORECASE | re.MULTILINE
_HEADER_LINE = re.compile(rb"[A-Za-z0-9.!%*_+`'~-]+[ \t]*:[^\0\r\n]*(?:\r\n[ \t][^\0\r\n]*)*\r\n")


cdef tuple _forms(str name):
    """A header's name as it may be written, lower case."""
    cdef str lower = name.strip().lower()
    return _FORMS.get(lower) or (lower.encode(),)


cdef class MessageRequest(BaseRequest):
    """Under `DialogRequest`; it knows nothing of transactions and destinations."""

    def __init__(self, Network network, Outbox out, segment, int rank):
        super().__init__(network, out, segment, rank)
        self._texts = []
        self.complain = None

    cdef void begin(self) noexcept:
        BaseRequest.begin(self)
        self.x.lumps = self._lumps
        self.is_reply = False
        self.rr_added = ""
        self.flags = self._base = None
        if self._texts:
            self._texts.clear()

    cdef object save(self):
        """What a failure route is to find again; subclasses add to it.  Of what is done to headers
        that is the request route's part: each attempt begins with it anew."""
        if self.flags is None:
            self.flags = set()
        self._keep_base()
        return (self.x.hops, self.dst_uri, self.new_ruri, self.x.force_rport, self._base,
                self.flags)

    cdef int _keep_base(self) except -1:
        """Hold on to what the request route has done to headers, before any other route runs."""
        cdef int i
        if self._base is None:
            lumps = [
                (self._lumps[i].start, self._lumps[i].end, self._texts[i])
                for i in range(self.x.lump_count)
            ]
            rr_params = self._rr_params if self.x.record_route else None
            self._base = (lumps, rr_params, self.reply_headers, self.x.m.routes)
        return 0

    cdef int restore(self, saved) except -1:
        """Put back what `save` returned."""
        (self.x.hops, self.dst_uri, ruri, self.x.force_rport, self._base, self.flags) = saved
        lumps, rr_params, self.reply_headers, self.x.m.routes = self._base
        if ruri is not None:
            self.set_ruri(ruri)
        for start, end, text in lumps:
            self.change(start, end, text)
        if rr_params is not None:
            self._keep_rr_params(rr_params)
        return 0

    cdef int _keep_rr_params(self, bytes params) except -1:
        """Have a Record-Route of ours sent, with these parameters."""
        self._rr_params = params
        self.x.rr_params = <const unsigned char *><const char *>self._rr_params
        self.x.rr_params_length = len(self._rr_params)
        self.x.record_route = True
        return 0

    cdef int restore_knowledge(self, saved) except -1:
        """The part of it that is not about the request's text: for its responses."""
        *_, self.flags = saved
        return 0

    # -- changing headers

    cdef bint change(self, int start, int end, bytes text) except -1:
        """Have data[start:end] sent as ``text``; False if there are too many changes."""
        cdef int i = self.x.lump_count
        if i == MAX_LUMPS:
            return False
        self._texts.append(text)
        replace(&self._lumps[i], start, end, <const unsigned char *><const char *>text, len(text))
        self.x.lump_count = i + 1
        return True

    cdef list lines_of(self, str name):
        """(start, colon, end) of each header line of that name, "" for all."""
        cdef const unsigned char *data = self.x.data
        cdef int line = self.x.m.headers, line_end, colon, name_end
        cdef list found = []
        cdef bytes form
        cdef tuple forms = _forms(name) if name else ()
        while line < self.x.m.body:
            line_end = next_line(data, line, self.x.m.body)
            colon = find(data, line, line_end, 58)
            if colon < line_end:
                name_end = trim_end(data, line, colon)
                if not forms:
                    found.append((line, colon, line_end))
                for form in forms:
                    if same(data, line, name_end, form, len(form)):
                        found.append((line, colon, line_end))
            line = line_end
        return found

    cdef bytes header_lines(self, str function, text):
        """An argument as whole header lines; None, and a complaint, if it is something else."""
        cdef bytes lines = str(text).encode()
        if lines and not lines.endswith(b"\n"):
            lines += b"\r\n"
        if not lines or _HEADER_LINE.sub(b"", lines):
            self.complain(f"{function}: {text!r} is not whole header lines")
            return None
        return lines

    def append_hf(self, text, after=""):
        """Add header lines (``"X-Name: value\\r\\n"``) after the first header of a name, or after
        all headers if there is none of that name.  Returns 1; -1 if the text is no header."""
        cdef int at
        self.check_open()
        lines = self.header_lines("append_hf", text)
        found = self.lines_of(after) if after else []
        at = found[0][2] if found else self.x.m.body - 2
        return 1 if lines is not None and self.change(at, at, lines) else FAILED

    def insert_hf(self, text, before=""):
        """The same before the first header of a name, or before all headers."""
        cdef int at
        self.check_open()
        lines = self.header_lines("insert_hf", text)
        found = self.lines_of(before) if before else []
        at = found[0][0] if found else self.x.m.headers
        return 1 if lines is not None and self.change(at, at, lines) else FAILED

    def remove_hf(self, name, kind=""):
        """Remove all headers of a name, with kind "g" of all names that a pattern such as
        ``X-*`` matches, with "r" of those that a regular expression does.  Via, From, To, Call-ID
        and CSeq stay: a message cannot be without.  Returns 1 if something goes; -1 if not."""
        cdef int line, colon, line_end
        cdef bint gone = False
        self.check_open()
        if kind:
            matches = re.compile(translate(name) if "g" in kind else name, re.IGNORECASE).match
            lines = [
                each for each in self.lines_of("")
                if matches(self.x.data[each[0]:each[1]].decode("utf-8", "replace").strip())
            ]
        else:
            lines = self.lines_of(name)
        for line, colon, line_end in lines:
            written = self.x.data[line:colon].decode("utf-8", "replace")
            if _forms(written)[0] in _NEEDED:
                self.complain(f"remove_hf: {written} cannot be removed")
            elif self.change(line, line_end, b""):
                gone = True
                if written.strip().lower() == "route":
                    self.x.m.routes = 0  # all of them go: it goes by its Request-URI
        return 1 if gone else FAILED

    def is_present_hf(self, name):
        """1 if there is a header of that name; else -1."""
        self.check_open()
        return 1 if self.lines_of(name) else FAILED

    def append_to_reply(self, text):
        """Add header lines to what `send_reply` will send.  Returns 1; -1 if it is no header."""
        self.check_open()
        lines = self.header_lines("append_to_reply", text)
        if lines is None:
            return FAILED
        self.reply_headers += lines
        return 1

    def change_reply_status(self, code, reason):
        """Have a response go on with another status and reason phrase; transactions go by the
        one that it came with.  Only negative final ones change their class.  Returns 1; -1 if
        this is no response or the code will not do."""
        cdef int status = int(code), was
        cdef bytes line
        self.check_open()
        if not self.is_reply:
            return FAILED
        was = self.x.m.status
        line = b"%d %s" % (status, str(reason).encode())
        if (
            not 100 <= status <= 699 or b"\r" in line or b"\n" in line
            or (min(status, was) < 300 and status // 100 != was // 100)
        ):
            self.complain(f"change_reply_status: {was} cannot become {code!r} {reason!r}")
            return FAILED
        return 1 if self.change(8, find(self.x.data, 8, self.x.m.headers, 13), line) else FAILED

    def hdr(self, str name):
        """Values of all headers of that name ($(hdr(name)[*])), in order, folding undone."""
        cdef int start, end, colon
        self.check_open()
        values = []
        for _, colon, end in self.lines_of(name):
            end = trim_end(self.x.data, colon + 1, end)
            start = skip_space(self.x.data, colon + 1, end)
            values.append(" ".join(
                part.strip(" \t")
                for part in self.x.data[start:end].decode("utf-8", "replace").split("\r\n")
            ))
        return values

    # -- changing any text

    def substitute(self, pattern, make, in_body=False, every=False):
        """Send something else where a compiled regular expression of bytes matches: what
        ``make(match)`` returns, bytes.  It is looked for in headers and body, or in the body
        alone; the first match counts, or every one.  Via, Route, Max-Forwards, Call-ID, CSeq and
        Content-Length stay as they are; Content-Length follows the body.  Returns how many are
        changed, 0 also if they are too many (32 changes of a message)."""
        cdef int first, last, start, end
        cdef list changes = []
        self.check_open()
        kept = [(self.x.m.body - 2, self.x.m.body)]
        for name in _FIXED:
            kept += [(start, end) for start, _, end in self.lines_of(name)]
        whole = self.x.data[:self.x.m.length]
        for found in pattern.finditer(whole, self.x.m.body if in_body else self.x.m.headers):
            first, last = found.span()
            if first == last or any([first < end and start < last for start, end in kept]):
                continue
            changes.append((first, last, make(found)))
            if not every:
                break
        if self.x.lump_count + len(changes) + 1 > MAX_LUMPS:
            self.complain(f"{len(changes)} more changes of a message are too many")
            return 0
        for first, last, text in changes:
            self.change(first, last, text)
        if changes:
            self._fit_content_length()
        return len(changes)

    cdef int _fit_content_length(self) except -1:
        """Have Content-Length say how long the body is after all changes."""
        cdef int i, colon, start, end, length = self.x.m.length - self.x.m.body
        cdef bytes text
        for _, colon, end in self.lines_of("Content-Length")[:1]:
            end = trim_end(self.x.data, colon + 1, end)
            start = skip_space(self.x.data, colon + 1, end)
            for i in range(self.x.lump_count):
                if self._lumps[i].start >= self.x.m.body:
                    length += self._lumps[i].length - (self._lumps[i].end - self._lumps[i].start)
            text = b"%d" % length
            for i in range(self.x.lump_count):
                if self._lumps[i].start == start and self._lumps[i].end == end:
                    self._texts[i] = text
                    replace(&self._lumps[i], start, end, text, len(text))
                    return 0
            self.change(start, end, text)
        return 0

    # -- flags of the message

    def setflag(self, flag):
        """Set a flag (a number or a name), which lives as long as the transaction.  1."""
        self.check_open()
        if self.flags is None:
            self.flags = set()
        self.flags.add(str(flag))  # in place: routes of one transaction share them
        return 1

    def resetflag(self, flag):
        """Clear it.  1."""
        self.check_open()
        if self.flags is not None:
            self.flags.discard(str(flag))
        return 1

    def isflagset(self, flag):
        """1 if it is set; else -1."""
        self.check_open()
        return 1 if self.flags is not None and str(flag) in self.flags else FAILED

    # -- asking

    def is_method(self, methods):
        """1 if the request's method is one of ``methods``, written ``"INVITE|ACK"``; else -1."""
        return 1 if self.method in methods.split("|") else FAILED

    def has_totag(self):
        """1 if To has a tag: the request belongs to a dialog; else -1."""
        self.check_open()
        return 1 if self.x.to.tag else FAILED

    def has_body(self, mime=""):
        """1 if there is a body, of that media type if one is given; else -1."""
        self.check_open()
        if self.x.m.body >= self.x.m.length:
            return FAILED
        kinds = [value.partition(";")[0].strip().lower() for value in self.hdr("Content-Type")]
        return 1 if not mime or mime.lower() in kinds else FAILED

    def search(self, pattern):
        """1 if a regular expression matches somewhere in the message, in any case of letters;
        else -1."""
        return 1 if re.search(pattern.encode(), self.mb, _LINES) else FAILED

    def search_body(self, pattern):
        """1 if a regular expression matches somewhere in the body, in any case of letters; else
        -1."""
        return 1 if re.search(pattern.encode(), self.rb, _LINES) else FAILED
