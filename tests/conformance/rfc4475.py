"""RFC 4475's messages and what becomes of each at a stateless proxy; written from the RFCs alone.

Where RFC 4475 leaves a choice, the reason says which one is ours.  The rules behind all of them:

- RFC 3261 16.3, "reasonable syntax check": components that validation or forwarding use must be
  well-formed (start line, Via, To, From, Call-ID, CSeq, Max-Forwards, Content-Length, Route); all
  others "well-formed or not, SHOULD be ignored and remain unchanged when the message is forwarded".
- We change bytes and never print a header again, so a fault that a proxy "must not propagate"
  can't be mended on the way: such a request is refused.
- A response whose first Via is not ours "MUST be silently discarded" (RFC 3261 16.11); what
  happens to these responses when they are ours is in `RESPONSES`.
"""

from __future__ import annotations

from dataclasses import dataclass

FORWARDED = 0
DROPPED = -1


@dataclass(frozen=True)
class Case:
    """A file of tests/data/torture, its section of RFC 4475, its fate: FORWARDED, DROPPED or the
    status that answers it."""

    file: str
    section: str
    fate: int
    reason: str


CASES = (
    Case(
        "wsinv",
        "3.1.1.1",
        FORWARDED,
        "valid: folds, blanks around separators, compact and mixed-case names, an empty Subject",
    ),
    Case(
        "intmeth",
        "3.1.1.2",
        FORWARDED,
        "valid: every character that the grammar allows, NUL in a quoted pair, Max-Forwards 255",
    ),
    Case("esc01", "3.1.1.3", FORWARDED, "valid: escapes in URIs stay as they are"),
    Case("escnull", "3.1.1.4", FORWARDED, "valid: %00 in URIs; a proxy does not unescape"),
    Case(
        "esc02",
        "3.1.1.5",
        FORWARDED,
        "valid: % outside URIs is no escape; RE%47IST%45R is an unknown method, and a proxy"
        " forwards those (RFC 3261 16.2: it is transparent to methods)",
    ),
    Case("lwsdisp", "3.1.1.6", FORWARDED, "valid: no blank between display name and <"),
    Case(
        "longreq",
        "3.1.1.7",
        FORWARDED,
        "valid: 33 Via fields in all spellings, the first without branch; over 3,500 bytes",
    ),
    Case(
        "dblreq",
        "3.1.1.8",
        FORWARDED,
        "valid: bytes after the body of Content-Length 0 are noise, cut off (RFC 3261 18.3)",
    ),
    Case("semiuri", "3.1.1.9", FORWARDED, "valid: semicolon in the user part"),
    Case("transports", "3.1.1.10", FORWARDED, "valid: unknown transports in lower Via values"),
    Case(
        "mpart01",
        "3.1.1.11",
        FORWARDED,
        "valid: binary body; the Route without lr names another proxy and the dispatcher has"
        " chosen the next hop (16.6 step 6 lets local policy do so)",
    ),
    Case("unreason", "3.1.1.12", DROPPED, "a valid response, first Via not ours"),
    Case("noreason", "3.1.1.13", DROPPED, "a valid response, first Via not ours"),
    Case(
        "badinv01",
        "3.1.2.1",
        400,
        "'should respond with a 400': Via with empty parameters; its sent-by can be read, so the"
        " answer has an address",
    ),
    Case("clerr", "3.1.2.2", 400, "'should respond with a 400' over UDP: body shorter than said"),
    Case("ncl", "3.1.2.3", 400, "'should respond with an error': negative Content-Length"),
    Case(
        "scalar02", "3.1.2.4", 400, "'should respond with a 400 Bad Request due to the CSeq error'"
    ),
    Case("scalarlg", "3.1.2.5", DROPPED, "'will simply discard it': CSeq out of range"),
    Case("quotbal", "3.1.2.6", 400, "'should return a 400': unterminated quote in To"),
    Case(
        "ltgtruri",
        "3.1.2.7",
        400,
        "'reasonable always to reject'; forwarding would need the brackets removed",
    ),
    Case("lwsruri", "3.1.2.8", 400, "'should respond with a 400': blank within the Request-URI"),
    Case(
        "lwsstart",
        "3.1.2.9",
        400,
        "'acceptable to reject'; 'must not include these extra SP' if forwarded, and we print"
        " nothing again",
    ),
    Case("trws", "3.1.2.10", 400, "as lwsstart: blanks after the SIP-Version"),
    Case(
        "escruri",
        "3.1.2.11",
        400,
        "'acceptable to reject': headers in a Request-URI, which a proxy must not pass on",
    ),
    Case(
        "baddate",
        "3.1.2.12",
        FORWARDED,
        "'shouldn't do that unless the Date was important'; RFC 3261 16.3 names this very case",
    ),
    Case(
        "regbadct",
        "3.1.2.13",
        FORWARDED,
        "a malformed Contact is the registrar's matter; a proxy ignores it (RFC 3261 16.3)",
    ),
    Case(
        "badaspec",
        "3.1.2.14",
        400,
        "'reasonable to reject': blanks within the addr-spec of To, which we check like baddn's;"
        " its URI is a dispatching key (algorithm 2)",
    ),
    Case(
        "baddn",
        "3.1.2.15",
        400,
        "'reasonable always to reject'; a proxy 'must not propagate the error'",
    ),
    Case("badvers", "3.1.2.16", 505, "'should respond with a 505 Version Not Supported'"),
    Case("mismatch01", "3.1.2.17", 400, "'will respond with a 400': CSeq of another method"),
    Case(
        "mismatch02",
        "3.1.2.18",
        400,
        "'501 ... A 400 Bad Request is also acceptable': a proxy has no list of methods, 501 is"
        " never its answer",
    ),
    Case("bigcode", "3.1.2.19", DROPPED, "'should simply drop it': response code over 699"),
    Case(
        "badbranch",
        "3.2.1",
        FORWARDED,
        "'could fall back to the RFC 2543-style transaction identifier': a branch of the cookie"
        " alone counts as none",
    ),
    Case(
        "insuf",
        "3.3.1",
        400,
        "'Ideally, it will respond with a 400': no To, From, Call-ID; it has a Via",
    ),
    Case("unkscm", "3.3.2", 416, "'will reject it with a 416'"),
    Case("novelsc", "3.3.3", 416, "'appropriate to treat it as though it is unknown'"),
    Case(
        "unksm2",
        "3.3.4",
        FORWARDED,
        "'Proxies should treat this message as they would any other request for this URI'",
    ),
    Case("bext01", "3.3.5", 420, "a proxy refuses each option of Proxy-Require"),
    Case("invut", "3.3.6", FORWARDED, "a proxy looks at no body"),
    Case("regaut01", "3.3.7", FORWARDED, "a proxy forwards Authorization unmodified"),
    Case("multi01", "3.3.8", 400, "'would respond with a 400': single-value fields given twice"),
    Case("mcl01", "3.3.9", 400, "'should respond with an error': two Content-Length values"),
    Case("bcast", "3.3.10", DROPPED, "a valid response, first Via not ours"),
    Case("zeromf", "3.3.11", 483, "'should not forward the request and should respond 483'"),
    Case("cparam01", "3.3.12", FORWARDED, "Contact is the registrar's matter"),
    Case("cparam02", "3.3.13", FORWARDED, "Contact is the registrar's matter"),
    Case("regescrt", "3.3.14", FORWARDED, "Contact is the registrar's matter"),
    Case("sdp01", "3.3.15", FORWARDED, "Accept is the endpoint's matter"),
    Case(
        "inv2543",
        "3.4.1",
        FORWARDED,
        "RFC 2543 syntax is accepted: no branch, From tag, Max-Forwards, Content-Length",
    ),
)

RESPONSES = (
    Case("unreason", "3.1.1.12", FORWARDED, "any UTF-8 is a reason phrase, and stays"),
    Case("noreason", "3.1.1.13", FORWARDED, "the reason phrase may be empty"),
    Case("scalarlg", "3.1.2.5", DROPPED, "'will simply discard it'"),
    Case("bigcode", "3.1.2.19", DROPPED, "'should simply drop it'"),
    Case(
        "bcast",
        "3.3.10",
        DROPPED,
        "'proxies should drop such responses': the next Via is the broadcast address",
    ),
)
"""The responses, with a Via of ours in front (bcast: in place of its first one)."""
