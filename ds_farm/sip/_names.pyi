from enum import IntEnum

class Method(IntEnum):
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

class Fault(IntEnum):
    NONE = 0
    START_LINE = 1
    VERSION = 2
    LINE_END = 3
    HEADER = 4
    NO_END = 5
    NO_VIA = 6
    NO_FROM = 7
    NO_TO = 8
    NO_CALL_ID = 9
    NO_CSEQ = 10
    REPEATED = 11
    VIA = 12
    FROM = 13
    TO = 14
    CALL_ID = 15
    CSEQ = 16
    MAX_FORWARDS = 17
    CONTENT_LENGTH = 18
    REQUEST_URI = 19
    ROUTE = 20

class Drop(IntEnum):
    KEEPALIVE = 0
    UNANSWERABLE = 1
    UNANSWERED_ACK = 2
    BAD_RESPONSE = 3
    FOREIGN_RESPONSE = 4
    NO_NEXT_VIA = 5
    UNROUTABLE = 6
    OVERSIZED = 7
    UNROUTED = 8
    OWN_ACK = 9

class Scheme(IntEnum):
    UNKNOWN_SCHEME = 0
    SIP = 1
    SIPS = 2
    TEL = 3
