"""A nameserver on loopback whose zone a test writes; it answers over UDP."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Key = tuple[str, str]


class Nameserver:
    """Records by (name, type); a context manager.  What is asked for is counted."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.records: dict[Key, dns.rrset.RRset] = {}
        self.broken: set[str] = set()
        """Names that get SERVFAIL."""
        self.silent: set[str] = set()
        """Names that get no answer at all."""
        self.asked: Counter[Key] = Counter()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def add(self, name: str, kind: str, *values: str, ttl: int = 300) -> None:
        """Set the records of a name and type."""
        self.records[name.lower(), kind] = dns.rrset.from_text_list(
            dns.name.from_text(name), ttl, "IN", kind, list(values)
        )

    def remove(self, name: str, kind: str) -> None:
        """Take them away."""
        del self.records[name.lower(), kind]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closing:
            closing.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, source = self._socket.recvfrom(4096)
            if not data:
                return
            answer = self._answer(dns.message.from_wire(data))
            if answer:
                self._socket.sendto(answer.to_wire(), source)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        key = (name, dns.rdatatype.to_text(question.rdtype))
        self.asked[key] += 1
        if name in self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        alias = self.records.get((name, "CNAME"))
        if alias:
            response.answer.append(alias)
            target = alias[0].to_text().rstrip(".").lower()
            key = (target, key[1])
        found = self.records.get(key)
        if found:
            response.answer.append(found)
        elif not any(known == key[0] for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response
