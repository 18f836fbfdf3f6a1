from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowimg._write.packing.plan import PartStream, ReplayedParts

if TYPE_CHECKING:
    from collections.abc import Iterator


class Rows:
    """What a stream needs of samples: their number, and slices."""

    def __init__(self, *rows: int) -> None:
        self.rows = rows

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    def slice(self, start: int, stop: int) -> Rows:
        assert 0 <= start <= stop <= len(self.rows)
        return Rows(*self.rows[start:stop])


def parts_of(sizes: list[int]) -> list[Any]:
    first, parts = 0, list[Any]()
    for size in sizes:
        parts.append(Rows(*range(first, first + size)))
        first += size
    return parts


def rows_in(parts: Any) -> list[int]:  # noqa: ANN401  # any parts
    return [row for part in parts for row in part.rows]


class TestPartStream:
    @given(
        sizes=st.lists(st.integers(0, 5), max_size=8),
        wanted=st.lists(st.integers(0, 9), max_size=8),
    )
    def test_rows_come_in_order_however_they_are_taken(
        self, sizes: list[int], wanted: list[int]
    ) -> None:
        stream, num_rows, at = PartStream(parts_of(sizes)), sum(sizes), 0
        for count in wanted:
            end = min(at + count, num_rows)
            assert rows_in(stream.take(end - at)) == [*range(at, end)]
            at = end

        assert rows_in(stream.rest()) == [*range(at, num_rows)]

    def test_a_part_is_asked_for_only_when_it_is_needed(self) -> None:
        asked: list[int] = []

        def parts() -> Iterator[Any]:
            for number, part in enumerate(parts_of([4, 4, 4])):
                asked.append(number)
                yield part

        stream = PartStream(parts())
        before = list(asked)
        counts = [(rows_in(stream.take(count)), len(asked))[1] for count in (3, 1, 2, 2, 1)]

        assert before == []
        assert counts == [1, 1, 2, 2, 3]

    def test_what_is_whole_is_passed_on_as_it_is(self) -> None:
        parts = parts_of([3, 2])
        stream = PartStream(parts)

        assert list(stream.take(5)) == parts

    def test_the_rest_is_there_once(self) -> None:
        stream = PartStream(parts_of([3, 3]))
        list(stream.take(1))

        assert [part.rows for part in stream.rest()] == [(1, 2), (3, 4, 5)]
        assert stream.rest() == []


class TestReplayedParts:
    def test_parts_can_be_gone_through_again(self) -> None:
        parts = parts_of([1, 2, 3])
        replayed = ReplayedParts(iter(parts))

        assert [list(replayed), list(replayed), replayed.seen] == [parts] * 3

    @pytest.mark.parametrize("num_seen", range(4))
    def test_those_that_came_come_again_and_then_the_others(self, num_seen: int) -> None:
        parts = parts_of([1, 2, 3])
        replayed = ReplayedParts(iter(parts))
        for _ in zip(range(num_seen), replayed, strict=False):
            pass
        seen = list(replayed.seen)

        assert seen[:num_seen] == parts[:num_seen]
        assert list(replayed) == parts

    def test_what_came_before_an_error_is_remembered(self) -> None:
        parts = parts_of([1, 2])

        def failing() -> Iterator[Any]:
            yield from parts
            raise ZeroDivisionError

        replayed = ReplayedParts(failing())
        with pytest.raises(ZeroDivisionError):
            list(replayed)

        assert replayed.seen == parts
