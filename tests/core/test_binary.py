from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowimg._core.binary import (
    as_large_binary,
    binary_views,
    is_binary,
    join_values,
    value_bytes,
    value_offsets,
    views_of_views,
    with_nulls,
)

BINARY_TYPES = [pa.binary(), pa.large_binary(), pa.binary_view()]
TEXT_TYPES = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]

values = st.lists(st.none() | st.binary(max_size=20), max_size=8)
kinds = st.sampled_from(BINARY_TYPES)


def address_of(data: Any) -> int:  # noqa: ANN401  # any buffer
    return int(np.frombuffer(data, np.uint8).ctypes.data)


def whole(array: pa.Array) -> pa.ChunkedArray:
    """Return the pieces of `as_large_binary`, each sound."""
    pieces = as_large_binary(array)
    for piece in pieces:
        piece.validate(full=True)
    return pa.chunked_array(pieces, pa.large_binary())


def slices(num_rows: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, num_rows), st.integers(0, num_rows)).map(
        lambda pair: (min(pair), max(pair) - min(pair))
    )


def views_within(buffer: pa.Buffer, *headers: tuple[int, int]) -> pa.Array:
    """Return a binary_view array of (size, start) of values in one buffer."""
    rows = np.zeros((len(headers), 4), np.int32)
    for row, (size, start) in enumerate(headers):
        prefix = np.frombuffer(buffer, np.uint8, 4, start)
        rows[row] = size, prefix.view(np.int32)[0], 0, start
    array = pa.Array.from_buffers(
        pa.binary_view(), len(headers), [None, pa.py_buffer(rows), buffer]
    )
    array.validate(full=True)
    return array


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        *((kind, True) for kind in BINARY_TYPES),
        (pa.binary(4), False),
        (pa.string(), False),
        (pa.string_view(), False),
        (pa.list_(pa.binary()), False),
        (pa.null(), False),
        (None, False),
    ],
    ids=str,
)
def test_binary_types_are_those_of_variable_size(
    kind: pa.DataType | None,
    expected: bool,  # noqa: FBT001
) -> None:
    assert is_binary(kind) is expected


class TestAsLargeBinary:
    @given(data=st.data(), rows=values, kind=kinds)
    def test_values_and_nulls_are_the_same_however_they_are_sliced(
        self, data: st.DataObject, rows: list[bytes | None], kind: pa.DataType
    ) -> None:
        start, length = data.draw(slices(len(rows)))
        array = pa.array(rows, kind).slice(start, length)

        assert whole(array).to_pylist() == rows[start : start + length]

    @pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
    @pytest.mark.parametrize("last", [b"", b"c" * 70, None])
    def test_bytes_are_not_copied(self, kind: pa.DataType, last: bytes | None) -> None:
        array = pa.array([b"a" * 100, b"b" * 50, last], kind)
        (made,) = as_large_binary(array)

        assert made.to_pylist() == array.to_pylist()
        assert made.buffers()[2].address == array.buffers()[2].address

    @pytest.mark.parametrize(
        "headers",
        [
            ((20, 0), (20, 20)),
            ((20, 20), (20, 0)),
            ((20, 0), (20, 10)),
            ((20, 0), (20, 30)),
            ((20, 5), (20, 5)),
            ((13, 3), (30, 16)),
        ],
        ids=["one run", "backwards", "overlapping", "with a gap", "twice", "a run from within"],
    )
    def test_views_may_stand_anywhere(self, headers: tuple[tuple[int, int], ...]) -> None:
        buffer = pa.py_buffer(bytes(range(60)))
        array = views_within(buffer, *headers)

        expected = [bytes(range(60))[start : start + size] for size, start in headers]
        assert whole(array).to_pylist() == expected
        assert whole(array.slice(1)).to_pylist() == expected[1:]
        assert views_of_views(array) == expected

    @pytest.mark.parametrize("num_runs", [1, 3])
    def test_long_runs_of_views_are_not_copied(self, num_runs: int) -> None:
        values = [bytes([row % 256]) * (13 + row % 7) for row in range(900)]
        buffer = pa.py_buffer(b"gap".join(b"".join(values[at::num_runs]) for at in range(num_runs)))
        headers, start = list[tuple[int, int]](), 0
        for at in range(num_runs):
            for value in values[at::num_runs]:
                headers.append((len(value), start))
                start += len(value)
            start += len(b"gap")
        array = views_within(buffer, *headers)
        views = [view for piece in as_large_binary(array) for view in binary_views(piece)]

        assert views == [value for at in range(num_runs) for value in values[at::num_runs]]
        assert [address_of(view) for view in views] == [buffer.address + at for _, at in headers]

    @pytest.mark.parametrize("short_at", [0, 1, 450, 899])
    def test_short_values_that_stand_inline_are_found(self, short_at: int) -> None:
        rows = [bytes([row % 256]) * 13 for row in range(900)]
        rows[short_at] = b"inline"

        assert whole(pa.array(rows, pa.binary_view())).to_pylist() == rows

    def test_views_in_several_buffers_are_found(self) -> None:
        halves = [pa.array([value * 40] * 300, pa.binary_view()) for value in (b"one", b"two")]
        array = pa.concat_arrays(halves)

        assert len(array.buffers()) > 3
        assert whole(array).to_pylist() == [b"one" * 40] * 300 + [b"two" * 40] * 300
        assert whole(array[299:301]).to_pylist() == [b"one" * 40, b"two" * 40]

    def test_what_null_rows_hold_does_not_show(self) -> None:
        offsets = pa.py_buffer(np.array([0, 6, 9], np.int32))
        buffers = [pa.py_buffer(b"\x02"), offsets, pa.py_buffer(b"hiddenend")]
        array = pa.Array.from_buffers(pa.binary(), 2, buffers)

        assert whole(array).to_pylist() == [None, b"end"]

    @pytest.mark.parametrize("kind", BINARY_TYPES)
    def test_an_array_without_buffers_is_empty(self, kind: pa.DataType) -> None:
        assert whole(pa.array([], kind)).to_pylist() == []
        assert whole(pa.nulls(3, kind)).to_pylist() == [None] * 3

    def test_what_a_null_view_points_at_does_not_matter(self) -> None:
        headers = np.array([[100, 0, 9, 50], [1, ord("x"), 0, 0]], np.int32)
        buffers = [pa.py_buffer(b"\x02"), pa.py_buffer(headers)]
        array = pa.Array.from_buffers(pa.binary_view(), 2, buffers)

        assert whole(array).to_pylist() == [None, b"x"]
        assert views_of_views(array) == [b"", b"x"]


class TestViews:
    @given(data=st.data(), rows=values, kind=kinds)
    def test_a_view_is_the_value(
        self, data: st.DataObject, rows: list[bytes | None], kind: pa.DataType
    ) -> None:
        start, length = data.draw(slices(len(rows)))
        pieces = as_large_binary(pa.array(rows, kind).slice(start, length))
        views = [view for piece in pieces for view in binary_views(piece)]
        chosen = rows[start : start + length]

        assert len(views) == length
        assert all(view == row for view, row in zip(views, chosen, strict=True) if row is not None)
        assert all(view.readonly for view in views)

    @given(data=st.data(), rows=values)
    def test_views_of_views_are_empty_for_null(
        self, data: st.DataObject, rows: list[bytes | None]
    ) -> None:
        start, length = data.draw(slices(len(rows)))
        views = views_of_views(pa.array(rows, pa.binary_view()).slice(start, length))

        assert views == [row or b"" for row in rows[start : start + length]]
        assert all(view.readonly for view in views)

    def test_views_of_views_are_not_copied(self) -> None:
        buffer = pa.py_buffer(bytes(range(60)))
        views = views_of_views(views_within(buffer, (20, 30), (30, 5)))

        assert [address_of(view) for view in views] == [buffer.address + 30, buffer.address + 5]

    def test_data_is_read_only(self) -> None:
        assert not value_bytes(pa.array([b"a"], pa.binary())).flags.writeable

    def test_views_keep_their_bytes(self) -> None:
        views = binary_views(pa.array([b"x" * 10**6], pa.large_binary()))

        assert views == [b"x" * 10**6]

    @pytest.mark.parametrize("kind", TEXT_TYPES)
    @pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 3), (2, 2), (4, 4)])
    def test_offsets_say_where_values_stand(self, kind: pa.DataType, start: int, stop: int) -> None:
        array = pa.array(["a", "bc", None, "def"], pa.string()).cast(kind)[start:stop]
        offsets, data = value_offsets(array), value_bytes(array)

        assert offsets.dtype == np.int64
        assert [
            data[first:last].tobytes() for first, last in itertools.pairwise(offsets.tolist())
        ] == [b"a", b"bc", b"", b"def"][start:stop]


class TestGather:
    @given(values)
    def test_buffers_become_one_array(self, rows: list[bytes | None]) -> None:
        array = join_values(rows)
        array.validate(full=True)

        assert array.type == pa.large_binary()
        assert array.to_pylist() == rows
        assert array.null_count == rows.count(None)

    def test_any_buffer_will_do(self) -> None:
        rows = [b"a", memoryview(b"bc"), np.frombuffer(b"def", np.uint8), None]

        assert join_values(rows).to_pylist() == [b"a", b"bc", b"def", None]

    def test_the_source_may_change_afterwards(self) -> None:
        source = np.full(4, 7, np.uint8)
        array = join_values([source])
        source[:] = 0

        assert array.to_pylist() == [b"\x07" * 4]


class TestWithNulls:
    @given(data=st.data(), rows=values)
    def test_rows_become_null_and_the_rest_stays(
        self, data: st.DataObject, rows: list[bytes | None]
    ) -> None:
        start, length = data.draw(slices(len(rows)))
        chosen = rows[start : start + length]
        gone = data.draw(st.sets(st.integers(0, length - 1)) if length else st.just(set[int]()))
        array = pa.array(rows, pa.large_binary()).slice(start, length)
        made = with_nulls(array, gone)
        made.validate(full=True)

        expected = [None if at in gone else row for at, row in enumerate(chosen)]
        assert made.to_pylist() == expected
        assert array.to_pylist() == chosen, "the array itself is as it was"

    def test_nothing_is_copied(self) -> None:
        array = pa.array([b"a" * 50, b"b" * 50], pa.large_binary())

        assert with_nulls(array, []) is array
        assert with_nulls(array, [0]).buffers()[2].address == array.buffers()[2].address

    def test_of_no_bytes_at_all(self) -> None:
        array = pa.nulls(2, pa.large_binary())

        assert with_nulls(array, {1}).to_pylist() == [None, None]
