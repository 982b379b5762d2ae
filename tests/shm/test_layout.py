"""The address map: nothing overlaps, what one process writes has cache lines of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shm import layout as layout_module
from shm._native import FIELDS, SIZES
from shm.layout import CACHE_LINE, CHANGES, Layout, View, _Word
from shm.segment import Segment

DECLARATION = (Path(layout_module.__file__).parent / "_layout.pxd").read_text(encoding="utf-8")


def _declared() -> dict[str, list[tuple[str, int]]]:
    """struct -> (field, words) in order, read from the declaration's text."""
    structs: dict[str, list[tuple[str, int]]] = {}
    for name, body in re.findall(r"cdef struct (\w+):[^\n]*\n((?:    .*\n|\n)+)", DECLARATION):
        fields = re.findall(r"^    uint64_t (\w+)(?:\[(\d+)\])?", body, re.MULTILINE)
        structs[name] = [(field, int(words or 1)) for field, words in fields]
    return structs


DECLARED = _declared()


def test_every_struct_is_there() -> None:
    assert DECLARED.keys() == FIELDS.keys() == SIZES.keys()


@pytest.mark.parametrize("struct", DECLARED)
def test_offsets_are_the_declaration_s(struct: str) -> None:
    offset = 0
    for field, words in DECLARED[struct]:
        if not field.startswith("spare"):
            assert FIELDS[struct][field] == (offset, words), field
        offset += 8 * words
    assert SIZES[struct] == offset
    assert {name for name, _ in DECLARED[struct] if not name.startswith("spare")} == set(
        FIELDS[struct]
    )


@pytest.mark.parametrize("struct", [name for name in DECLARED if name != "Change"])
def test_what_one_process_writes_fills_cache_lines(struct: str) -> None:
    """All but the ring of changes, which nobody writes for a message."""
    assert SIZES[struct] % CACHE_LINE == 0


def test_the_cursor_has_a_line_of_its_own() -> None:
    line = FIELDS["Set"]["cursor"][0] // CACHE_LINE
    others = {
        offset // CACHE_LINE for name, (offset, _) in FIELDS["Set"].items() if name != "cursor"
    }
    assert FIELDS["Set"]["cursor"][0] % CACHE_LINE == 0
    assert line not in others


def test_locks_have_lines_of_their_own() -> None:
    holder, recoveries = FIELDS["Header"]["lock_holder"], FIELDS["Header"]["lock_recoveries"]
    assert holder[0] % CACHE_LINE == recoveries[0] % CACHE_LINE == 0
    assert holder[1] * 8 == recoveries[1] * 8 == CACHE_LINE


def _views() -> list[type[View]]:
    return [
        value
        for value in vars(layout_module).values()
        if isinstance(value, type) and issubclass(value, View) and value is not View
    ]


def test_each_struct_has_a_view_with_all_its_single_words() -> None:
    assert {view.STRUCT for view in _views()} == set(FIELDS)
    for view in _views():
        words = {name for name, value in vars(view).items() if isinstance(value, _Word)}
        assert words == {name for name, (_, count) in FIELDS[view.STRUCT].items() if count == 1}


@given(st.integers(1, 64), st.integers(1, 2000), st.integers(1, 50_000))
def test_regions_follow_one_another_without_gap_or_overlap(
    workers: int, sets: int, destinations: int
) -> None:
    layout = Layout(workers + 16, workers, sets, destinations)
    regions = [
        (0, "Header", 1),
        (layout.process, "Process", workers + 16),
        (layout.worker, "Worker", workers),
        (layout.set, "Set", sets),
        (layout.destination, "Destination", destinations),
        (layout.change, "Change", CHANGES),
        (layout.set_counters, "SetCounters", workers * sets),
        (layout.destination_counters, "DestinationCounters", workers * destinations),
        (layout.set_probes, "SetProbes", sets),
        (layout.probe, "Probe", destinations),
    ]
    end = 0
    for start, struct, count in regions:
        assert start == end
        assert start % CACHE_LINE == 0
        end = start + count * SIZES[struct]
    assert layout.total_size == end


def test_views_are_where_the_map_says(segment: Segment) -> None:
    layout = segment.layout
    assert segment.process(3).base == layout.process + 3 * SIZES["Process"]
    assert segment.worker(1).base == layout.worker + SIZES["Worker"]
    assert segment.set(3).base == layout.set + 3 * SIZES["Set"]
    assert segment.destination(7).base == layout.destination + 7 * SIZES["Destination"]
    assert segment.set_counters(1, 2).base == layout.set_counters + 6 * SIZES["SetCounters"]
    base = layout.destination_counters + 13 * SIZES["DestinationCounters"]
    assert segment.counters(1, 5).base == base
    assert segment.probe(7).base + SIZES["Probe"] == layout.total_size


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("process", (18,)),
        ("worker", (2,)),
        ("worker", (-1,)),
        ("set", (4,)),
        ("destination", (8,)),
        ("set_counters", (2, 0)),
        ("set_counters", (0, 4)),
        ("counters", (2, 0)),
        ("counters", (0, 8)),
        ("counters", (0, -1)),
        ("set_probes", (4,)),
        ("probe", (8,)),
    ],
)
def test_beyond_the_capacities_there_is_nothing(
    segment: Segment, name: str, arguments: tuple[int, ...]
) -> None:
    with pytest.raises(IndexError, match=r"(slot|rank) -?\d+ is not in 0\.\.\d+"):
        getattr(segment, name)(*arguments)


def test_words_of_an_array(segment: Segment) -> None:
    worker = segment.worker(0)
    count = FIELDS["Worker"]["replies"][1]
    assert worker.words("replies") == [0] * count
    segment.memory.store(worker.offset("replies", 4), 11)
    assert worker.words("replies")[4] == 11
    with pytest.raises(IndexError, match=f"Worker.replies has {count} words, asked for {count}"):
        worker.offset("replies", count)


def test_a_single_word_view_of_an_array_is_a_mistake() -> None:
    with pytest.raises((TypeError, RuntimeError)):
        type("Wrong", (View,), {"STRUCT": "Worker", "replies": _Word()})


def test_atomic_words(segment: Segment) -> None:
    memory, view = segment.memory, segment.set(0)
    offset = view.offset("cursor")
    assert (view.add("cursor"), view.add("cursor", 5), view.cursor) == (0, 1, 6)
    assert not memory.swap(offset, 5, 9)
    assert memory.swap(offset, 6, 2**64 - 1)
    assert memory.add(offset, 1) == 2**64 - 1
    assert view.cursor == 0, "wraps"
    assert memory.words(offset, 2) == [0, 0]
    assert memory.words(offset, 0) == []


@pytest.mark.parametrize("offset", [-8, 4, 1, 2**40])
def test_offsets_are_checked(segment: Segment, offset: int) -> None:
    memory = segment.memory
    for call in (memory.load, lambda at: memory.store(at, 1), lambda at: memory.words(at, 1)):
        with pytest.raises(IndexError, match=f"no word at offset {offset}"):
            call(offset)
    with pytest.raises(IndexError, match="no word at offset"):
        memory.words(memory.size - 8, 2)
    with pytest.raises(IndexError, match="no word at offset"):
        memory.load(memory.size - 4)
