"""Each of the 49 torture messages of RFC 4475, as it is, through a running farm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conformance.checks import check_answer, check_forwarded, own_via
from tests.conformance.conftest import Bench
from tests.conformance.rfc4475 import CASES, DROPPED, FORWARDED, RESPONSES, Case
from tests.support.message import Sip

CORPUS = Path(__file__).parent.parent / "data" / "torture"


def load(case: Case) -> bytes:
    return (CORPUS / f"{case.file}.dat").read_bytes()


def name(case: Case) -> str:
    return case.file


def test_the_table_and_the_corpus_cover_each_other() -> None:
    assert len(CASES) == 49
    assert sorted(case.file for case in CASES) == sorted(path.stem for path in CORPUS.iterdir())
    assert {case.file for case in RESPONSES} == {
        case.file for case in CASES if load(case).startswith(b"SIP/")
    }


@pytest.mark.parametrize("case", CASES, ids=name)
def test_rfc4475(bench: Bench, case: Case) -> None:
    message = load(case)
    if case.fate == DROPPED:
        bench.dropped(message)
    elif case.fate == FORWARDED:
        check_forwarded(bench, message, bench.through(message))
    else:
        check_answer(bench, message, bench.refused(message), case.fate)


@pytest.mark.parametrize("case", RESPONSES, ids=name)
def test_rfc4475_response_that_is_ours(bench: Bench, case: Case) -> None:
    ours = own_via(bench.through(bench.draft().bytes()))
    message = load(case)
    if case.file == "bcast":
        message = re.sub(rb"Via: [^\r]*", b"Via: " + ours, message, count=1)
    else:
        # As the farm would have noted it on the request's way.
        theirs = re.search(rb"Via: [^\r]*", message)
        assert theirs
        received = b";received=" + bench.caller.host.encode()
        via = theirs[0].replace(b";received=192.0.2.129", b"") + received
        message = message.replace(theirs[0], b"Via: " + ours + b"\r\n" + via)
    if case.fate == DROPPED:
        bench.dropped(message, bench.destination)
        return
    fate = bench.fate(message, bench.destination)
    assert not fate.forwarded
    assert fate.answered == [message.replace(b"Via: " + ours + b"\r\n", b"")]


def test_rfc4475_dblreq_loses_the_surplus(bench: Bench) -> None:
    forwarded = bench.through((CORPUS / "dblreq.dat").read_bytes())
    assert b"INVITE" not in forwarded
    assert forwarded.endswith(b"\r\n\r\n")


def test_rfc4475_bext01_names_what_is_not_supported(bench: Bench) -> None:
    answer = Sip.read(bench.refused((CORPUS / "bext01.dat").read_bytes()))
    listed = [word.strip() for word in b",".join(answer.all("unsupported")).split(b",")]
    assert listed == [b"noProxiesSupportThis", b"norDoAnyProxiesSupportThis"]


def test_rfc4475_badbranch_keeps_transactions_apart(bench: Bench) -> None:
    message = (CORPUS / "badbranch.dat").read_bytes()
    first, again, other = (
        own_via(bench.through(text))
        for text in (message, message, message.replace(b"3j3n", b"3j3m"))
    )
    assert first == again != other
