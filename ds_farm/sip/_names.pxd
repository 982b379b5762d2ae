"""Numbers for what messages are made of, one declaration for C and for Python.

`cpdef` gives each enum to Python as well (`ds_farm.sip.names`).  The numbers of Fault and Drop
index counter arrays of the shared segment: append, never renumber.
"""

cpdef enum Method:
    OTHER = 0
    INVITE = 1
    ACK = 2
    CANCEL = 3
    BYE = 4
    OPTIONS = 5
    REGISTER = 6
    INFO = 7
    PRACK = 8
    UPDATE = 9
    SUBSCRIBE = 10
    NOTIFY = 11
    REFER = 12
    MESSAGE = 13
    PUBLISH = 14


# Why a message is not well formed (RFC 3261 section 16.3 and 18.3).
cpdef enum Fault:
    NONE = 0
    START_LINE = 1         # neither a Request-Line nor a Status-Line
    VERSION = 2            # not SIP/2.0
    LINE_END = 3           # a line of the head ends in a bare LF
    HEADER = 4             # a line without a header name and colon
    NO_END = 5             # no empty line after the headers
    NO_VIA = 6
    NO_FROM = 7
    NO_TO = 8
    NO_CALL_ID = 9
    NO_CSEQ = 10
    REPEATED = 11          # a header that may stand once stands twice
    VIA = 12
    FROM = 13
    TO = 14
    CALL_ID = 15
    CSEQ = 16
    MAX_FORWARDS = 17
    CONTENT_LENGTH = 18
    REQUEST_URI = 19
    ROUTE = 20


# Why a datagram went no further without anybody being told.
cpdef enum Drop:
    KEEPALIVE = 0          # only CR and LF, or empty (RFC 5626 section 4.4.1)
    UNANSWERABLE = 1       # malformed, and no Via that an answer could follow
    UNANSWERED_ACK = 2     # an ACK that would have got an answer: it never does
    BAD_RESPONSE = 3       # malformed response
    FOREIGN_RESPONSE = 4   # its topmost Via is not ours (section 16.7 step 3)
    NO_NEXT_VIA = 5        # a response that ends here
    UNROUTABLE = 6         # a response whose next Via names no address, or no socket of ours fits
    OVERSIZED = 7          # does not fit a datagram after our edits, or was cut by the kernel
    UNROUTED = 8           # the routing function neither forwarded nor answered it
    OWN_ACK = 9            # acknowledges a reply of our own (section 17.1.1.3): absorbed
    STRANGER = 10          # came to the socket between workers, and from none of them


# Scheme of a URI, as far as a proxy must understand it (16.3 step 2).
cpdef enum Scheme:
    UNKNOWN_SCHEME = 0
    SIP = 1
    SIPS = 2
    TEL = 3
