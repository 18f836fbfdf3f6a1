"""Shards under way: written side by side, ended in order, none lost that failed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowimg._storage.memory import MemoryStorage
from arrowimg._write.packing import under_way
from arrowimg._write.packing.under_way import ShardsUnderWay, shards_at_once

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60


def shards() -> ShardsUnderWay:
    return ShardsUnderWay(MemoryStorage(), 8)


def writing(name: str) -> Callable[[], Any]:
    return lambda: name


@given(
    sizes=st.lists(st.integers(0, 400), max_size=20),
    at_once=st.integers(1, 8),
)
def test_they_end_in_the_order_in_which_they_began(sizes: list[int], at_once: int) -> None:
    found = shards()
    for number, nbytes in enumerate(sizes):
        found.start(writing(str(number)), nbytes * 2**20, at_once)
    assert len(found) == len(sizes)
    found.settle()

    assert list(map(str, found.done)) == [str(number) for number in range(len(sizes))]


def test_so_many_are_written_at_once_and_no_more() -> None:
    found, together, more = shards(), threading.Barrier(3), threading.Event()

    def write() -> Any:  # noqa: ANN401  # what a shard is does not matter
        together.wait(SECONDS)

    for _ in range(3):
        found.start(write, 1, 3)
    # The fourth begins only when the first is there.
    assert not found.done
    found.start(more.set, 1, 3)  # type: ignore[arg-type]  # see above
    assert len(found.done) == 1
    found.settle()

    assert more.is_set()


def test_large_ones_wait_for_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way, "_MOST_NBYTES", 10)
    found, done = shards(), list[int]()
    for nbytes in (6, 4, 1, 11, 3):
        found.start(writing("shard"), nbytes, 8)
        done.append(len(found.done))

    # 6 and 4 fit; 1 waits for the first; 11 for all; 3 for it.
    assert done == [0, 0, 1, 3, 4]


def test_one_that_failed_is_written_again_in_its_place() -> None:
    found, tries = shards(), list[str]()

    def write() -> Any:  # noqa: ANN401
        tries.append("try")
        if len(tries) == 1:
            msg = "full"
            raise OSError(msg)
        return "first"

    found.start(write, 1, 2)
    found.start(writing("second"), 1, 2)
    with pytest.raises(OSError, match="full"):
        found.start(writing("third"), 1, 2)
    assert len(found) == 2, "the third did not begin"
    found.settle()

    assert list(map(str, found.done)) == ["first", "second"]


def test_how_many_are_written_at_once() -> None:
    storage = MemoryStorage()

    assert [shards_at_once(storage, threads, is_copied=False) for threads in (1, 2, 4, 16)] == [
        1,
        1,
        2,
        5,
    ]
    assert [shards_at_once(storage, threads, is_copied=True) for threads in (1, 2, 16)] == [
        1,
        2,
        16,
    ]
