"""Pseudo-variables of a script as Python expressions: ``$(hdr(To)[0]{nameaddr.uri})``.

Each gets an expression in terms of ``request`` and of `ds_farm.cfg.values`, and what kind of value
it has: code for texts that are known to be texts is shorter.  Names of a script get into the code
by repr() alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ds_farm.cfg.tree import quoted, without_texts
from ds_farm.cfg.values import TRANSFORMATIONS, parts_of_subst

MOST_TRANSFORMATIONS = 20

TEXT, NUMBER, ANY = "text", "number", "any"

REFERENCE = re.compile(
    r"\$(?:\$|\((?:[^()]++|\((?:[^()]++|\((?:[^()]++|\([^()]*+\))*+\))*+\))*+\)"
    r"|(?:msg\.is_request|from\.(?:uri|user|domain)|(?:ruri|to)\.(?:user|domain)"
    r"|socket_in\.(?:ip|port|proto))\b"
    r"|\w+(?:\((?:[^()]++|\((?:[^()]++|\([^()]*+\))*+\))*+\))?|\?)"
)
"""A variable within a text, or ``$$``.  Possessive: what does not match costs no second look."""

_CALLED = re.compile(r"(?<![\w.])([a-z_][a-z0-9_]*)\(")
_HEAD = re.compile(r"\s*([\w.]+|\?)")
_INDEX = re.compile(r"\s*\[\s*(\*|append|-?\d{1,9}|\$.+?)\s*\]")
_TRANSFORMATION = re.compile(r"\s*\{\s*([\w.]+)\s*((?:,[^{}]*(?:\{[^{}]*\}[^{}]*)*)?)\}")


class Unknown(ValueError):
    """A variable that is not there, or is not written as one; of a text all of them."""

    def __init__(self, *texts: str) -> None:
        super().__init__("; ".join(texts))
        self.texts = texts


@dataclass(frozen=True, slots=True)
class Code:
    """A Python expression and what it gives."""

    text: str
    kind: str = ANY
    is_atom: bool = True
    """It may be an operand without parentheses."""

    @property
    def operand(self) -> str:
        return self.text if self.is_atom else f"({self.text})"


@dataclass(frozen=True, slots=True)
class Reference:
    """``$(name(inner)[index]{class.name,arguments}...)``."""

    name: str
    inner: str | None = None
    index: str | None = None
    transformations: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())


def parse(text: str) -> Reference:
    """The parts of a variable.

    :raises Unknown: it is not written as one
    """
    inside = text[1:]
    if inside.startswith("(") and inside.endswith(")"):
        inside = inside[1:-1]
    found = _HEAD.match(inside)
    if found is None:
        raise Unknown(f"{text} is no variable")
    name, rest = found[1], inside[found.end() :]
    inner = index = None
    if rest.startswith("("):
        end = _closing(rest)
        if end < 0:
            raise Unknown(f"{text}: a parenthesis does not close")
        inner, rest = rest[1:end].strip(), rest[end + 1 :]
    if found := _INDEX.match(rest):
        index, rest = found[1], rest[found.end() :]
    transformations = []
    while found := _TRANSFORMATION.match(rest):
        arguments = tuple(each.strip(" ") for each in found[2].split(",")[1:])
        if found[1] == "re.subst":
            arguments = (found[2][1:].strip(),)
        elif found[1] == "s.select" and len(arguments) > 1:  # a blank or a comma may separate
            which, _, mark = found[2][1:].partition(",")
            arguments = (which.strip(), mark.strip() or mark[:1])
        transformations.append((found[1], arguments))
        rest = rest[found.end() :]
    if len(transformations) > MOST_TRANSFORMATIONS:
        raise Unknown(f"${name} has more than {MOST_TRANSFORMATIONS} transformations")
    if rest.strip():
        raise Unknown(f"{text}: {rest.strip()!r} is no index and no transformation")
    return Reference(name, inner, index, tuple(transformations))


def check_transformation(name: str, arguments: tuple[str, ...], text: str) -> None:
    """Raises Unknown if ``{name,arguments}`` of the variable ``text`` cannot be done."""
    found = TRANSFORMATIONS.get(name)
    if found is None:
        raise Unknown(f"{text}: the transformation {{{name}}} is not there")
    least, most, _ = found
    if not least <= len(arguments) <= most:
        raise Unknown(f"{text}: {{{name}}} takes {_count(least, most)}, got {len(arguments)}")
    if name == "re.subst":
        try:
            parts_of_subst(arguments[0])
        except ValueError as error:
            raise Unknown(f"{text}: {error}") from None


def _closing(text: str) -> int:
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return place
    return -1


def _uri(of: str, part: str) -> Code:
    return Code(f'uri_part({of}, "{part}")')


def _header(name: str) -> Code:
    return Code(f"first(request.hdr({name!r}))")


def _address(name: str, part: str = "uri") -> Code:
    return Code(f'address(request, {quoted(name)}, "{part}")')


def _preferred(part: str) -> Code:
    return Code(f'nameaddr(first(request.hdr("P-Preferred-Identity")), "{part}")')


SIMPLE: dict[str, Code] = {
    "rm": Code("request.method", TEXT),
    "ru": Code("request.ru", TEXT),
    "rU": _uri("request.ru", "user"),
    "rd": _uri("request.ru", "host"),
    "rp": _uri("request.ru", "port"),
    "rP": Code('"udp"', TEXT),
    "rz": _uri("request.ru", "scheme"),
    "ou": Code("request.ou", TEXT),
    "oU": _uri("request.ou", "user"),
    "od": _uri("request.ou", "host"),
    "op": _uri("request.ou", "port"),
    "oP": Code('"udp"', TEXT),
    "fu": Code("request.fu", TEXT),
    "fU": _uri("request.fu", "user"),
    "fd": _uri("request.fu", "host"),
    "ft": Code("(request.ft or None)"),
    "fn": Code('nameaddr(first(request.hdr("From")), "name")'),
    "from.uri": Code("request.fu", TEXT),
    "tu": Code("request.tu", TEXT),
    "tU": _uri("request.tu", "user"),
    "td": _uri("request.tu", "host"),
    "tt": Code("(request.tt or None)"),
    "tn": Code('nameaddr(first(request.hdr("To")), "name")'),
    "du": Code("request.du"),
    "dd": _uri("request.du", "host"),
    "dp": _uri("request.du", "port"),
    "dP": Code('("udp" if request.du else None)'),
    "ci": Code("request.ci", TEXT),
    "cs": Code("request.cs", NUMBER),
    "si": Code("request.si", TEXT),
    "sp": Code("request.sp", NUMBER),
    "su": Code('f"sip:{request.si}:{request.sp}"', TEXT),
    "rs": Code("(request.rs or None)"),
    "rr": Code("(request.rr if request.rs else None)"),
    "mb": Code('request.mb.decode("utf-8", "replace")', TEXT),
    "ml": Code("len(request.mb)", NUMBER),
    "rb": Code('(request.rb.decode("utf-8", "replace") or None)'),
    "bl": Code("len(request.rb)", NUMBER),
    "cl": Code("content_length(request)"),
    "ua": _header("User-Agent"),
    "ct": Code('first(entries(request.hdr("Contact")))'),
    "cT": _header("Content-Type"),
    "re": _address("Remote-Party-ID"),
    "ai": _address("P-Asserted-Identity"),
    "pai": _header("P-Asserted-Identity"),
    "ppi": _header("P-Preferred-Identity"),
    "pu": _preferred("uri"),
    "pn": _preferred("name"),
    "pU": _uri(_preferred("uri").text, "user"),
    "pd": _uri(_preferred("uri").text, "host"),
    "di": _address("Diversion"),
    "dir": Code(f'param({_address("Diversion", "params").text}, "reason")'),
    "dip": Code(f'param({_address("Diversion", "params").text}, "privacy")'),
    "rt": _address("Refer-To"),
    "ar": Code('credential(request, "realm")'),
    "au": Code('credential(request, "user")'),
    "adu": Code('credential(request, "uri")'),
    "Ri": Code("request.Ri", TEXT),
    "Rp": Code("request.Rp", NUMBER),
    "socket_in.ip": Code("request.Ri", TEXT),
    "socket_in.port": Code("request.Rp", NUMBER),
    "pr": Code('"udp"', TEXT),
    "proto": Code('"udp"', TEXT),
    "socket_in.proto": Code('"udp"', TEXT),
    "socket_in": Code('f"udp:{request.Ri}:{request.Rp}"', TEXT),
    "socket_out": Code("request.fs"),
    "fs": Code("request.fs"),
    "msg.is_request": Code("int(request.rs == 0)", NUMBER),
    "T_ruri": Code("request.ru", TEXT),
    "af": Code('("INET6" if ":" in request.si else "INET")', TEXT),
    "pp": Code("getpid()", NUMBER),
    "Ts": Code("seconds()", NUMBER),
    "Tsm": Code("microseconds()", NUMBER),
    "Tf": Code("now()", TEXT),
    "TF": Code("now()", TEXT),
    "RANDOM": Code("chance()", NUMBER),
    "T_reply_code": Code("request.T_reply_code", NUMBER),
    "T_fr_timeout": Code("request.T_fr_timeout", ANY),
    "T_fr_inv_timeout": Code("request.T_fr_inv_timeout", ANY),
    "null": Code("None"),
    "retcode": Code("status.code", NUMBER),
    "rc": Code("status.code", NUMBER),
    "?": Code("status.code", NUMBER),
    "return": Code("status.code", NUMBER),
}
"""Variables without an argument."""

LONG = {
    "src_ip": "si", "ruri": "ru", "ruri.user": "rU", "ruri.domain": "rd", "ouri": "ou",
    "duri": "du", "from": "fu", "from.user": "fU", "from.domain": "fd", "to": "tu",
    "to.user": "tU", "to.domain": "td",
}  # fmt: skip
"""Other names of variables; those with a point are also in `REFERENCE` and in the grammar."""

SIMPLE.update({name: SIMPLE[same] for name, same in LONG.items()})

LISTS: dict[str, str] = {
    "ct": 'entries(request.hdr("Contact"))',
    "ua": 'request.hdr("User-Agent")',
}

NAMED: dict[str, tuple[Callable[[str], Code], Callable[[str], str] | None]] = {
    "hdr": (lambda n: Code(f"first(request.hdr({n}))"), lambda n: f"request.hdr({n})"),
    "avp": (lambda n: Code(f"request.avp.get({n})"), lambda n: f"request.avp.all({n})"),
    "var": (lambda n: Code(f"request.var.get({n}, 0)"), None),
    "stat": (lambda n: Code(f"request.stat.get({n}, 0)", NUMBER), None),
    "time": (lambda n: Code(f"now({n})", TEXT), None),
    "C": (lambda n: Code('""', TEXT), None),
    "socket_in": (lambda n: Code(f"socket_part(request, {n})"), None),
    "hdrcnt": (lambda n: Code(f"len(request.hdr({n}))", NUMBER), None),
    "hdr_cnt": (lambda n: Code(f"len(request.hdr({n}))", NUMBER), None),
}
"""Variables with a name: the value, and the list of all that an index chooses from."""


class Variables:
    """Makes code of variables and of texts with variables."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        """Names of `ds_farm.cfg.values` that the code needs."""

        self.is_1x = True
        """What is not there is "", and a ``$var`` without a value 0; since 2.1 both are NULL."""

    def value(self, text: str) -> Code:
        """What a variable is read by.

        :raises Unknown: it is not there
        """
        reference = parse(text)
        code = self._plain(reference, text)
        for name, arguments in reference.transformations:
            code = self._transformed(code, name, arguments, text)
        self.note(code.text)
        return code

    def note(self, code: str) -> None:
        """Remember which helpers the code calls."""
        self.used.update(_CALLED.findall(without_texts(code)))

    def _plain(self, reference: Reference, text: str) -> Code:
        name, inner, index = reference.name, reference.inner, reference.index
        if name == "param" and inner is not None:
            return self._parameter(inner)
        if inner is None:
            if name not in SIMPLE:
                raise Unknown(f"the variable ${name} is not there")
            if index in (None, "0"):
                return SIMPLE[name]
            if name not in LISTS:
                raise Unknown(f"{text}: ${name} takes no index")
            return self._indexed(LISTS[name], index, text)
        if name not in NAMED:
            raise Unknown(f"the variable ${name}(...) is not there")
        if not inner:
            raise Unknown(f"{text}: a name is missing")
        plain, several = NAMED[name]
        key = self.text(avp_name(inner)).text
        if index is None and name == "var" and not self.is_1x:
            return Code(f"request.var.get({key})")
        if index is None:
            return plain(key)
        if several is None:
            raise Unknown(f"{text}: ${name}(...) takes no index")
        return self._indexed(several(key), index, text)

    def _indexed(self, values: str, index: str | None, text: str) -> Code:
        assert index is not None
        if index == "*":
            return Code(f'", ".join(map(str, {values}))', TEXT)
        if index == "append":
            raise Unknown(f"{text} can only be assigned to")
        if index.startswith("$"):
            return Code(f"at({values}, number({self.value(index).text}))")
        return Code(f"at({values}, {int(index)})")

    def _parameter(self, inner: str) -> Code:
        if re.fullmatch(r"\d{1,9}", inner):
            return Code(f"at(parameters, {int(inner) - 1})")
        if re.fullmatch(r"\w+", inner):
            return Code(f"parameters.get({inner!r})")
        return Code(f"at(parameters, number({self.value(inner).text}) - 1)")

    def _transformed(self, code: Code, name: str, arguments: tuple[str, ...], text: str) -> Code:
        check_transformation(name, arguments, text)
        words = [quoted(name), *(self.text(_unescaped(each)).text for each in arguments)]
        function = "transform_1x" if self.is_1x else "transform"
        return Code(f"{function}({code.text}, {', '.join(words)})")

    def text(self, literal: str) -> Code:
        """A text of the script, with what its variables hold.

        :raises Unknown: one of them is not there
        """
        pieces = list(self._pieces(literal))
        if all(isinstance(piece, str) for piece in pieces):
            return Code(quoted("".join(map(str, pieces))), TEXT)
        if len(pieces) == 1 and isinstance(pieces[0], Code):
            code = pieces[0]
            if code.kind == TEXT:
                return code
            self.used.add("printed")
            return Code(f"printed({code.text})", TEXT)
        parts = []
        for piece in pieces:
            if isinstance(piece, str):
                parts.append(quoted(piece))
            elif piece.kind == TEXT:
                parts.append(piece.operand)
            else:
                self.used.add("printed")
                parts.append(f"printed({piece.text})")
        return Code(" + ".join(parts), TEXT, is_atom=False)

    def _pieces(self, literal: str) -> Iterator[str | Code]:
        end = 0
        unknown: list[str] = []
        for found in REFERENCE.finditer(literal):
            if found.start() > end:
                yield literal[end : found.start()]
            try:
                yield "$" if found[0] == "$$" else self.value(found[0])
            except Unknown as error:
                unknown += error.texts
            end = found.end()
        if unknown:
            raise Unknown(*unknown)
        if end < len(literal) or not literal:
            yield literal[end:]


def avp_name(inner: str) -> str:
    """``s:name`` and ``i:5`` are how 1.x wrote names of AVPs."""
    return inner[2:] if inner[:2] in ("s:", "i:") else inner


def _count(least: int, most: int) -> str:
    if least == most:
        return "no argument" if not least else f"{least} argument{'s' if least > 1 else ''}"
    return f"{least} to {most} arguments"


def _unescaped(argument: str) -> str:
    return {"\\s": " ", "\\t": "\t"}.get(argument, argument)
