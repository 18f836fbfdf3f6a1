from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from arrowimg._core.splits import split_by_size, split_for_workers

sizes = st.lists(st.one_of(st.just(0), st.integers(1, 40)), max_size=60)


@given(sizes, st.integers(1, 120), st.integers(1, 20))
def test_spans_hold_every_row_once_in_order_and_few_rows_each(
    nbytes: list[int], most_nbytes: int, most_rows: int
) -> None:
    spans = split_by_size(nbytes, most_nbytes, most_rows)

    rows = [row for span in spans for row in range(span.start, span.stop)]
    assert rows == list(range(len(nbytes)))
    assert all(0 < span.stop - span.start <= most_rows for span in spans)


@given(sizes, st.integers(1, 120), st.integers(1, 20))
def test_spans_are_as_large_as_the_limits_allow_and_no_larger(
    nbytes: list[int], most_nbytes: int, most_rows: int
) -> None:
    spans = split_by_size(nbytes, most_nbytes, most_rows)

    assert all(sum(nbytes[span]) <= most_nbytes or span.stop - span.start == 1 for span in spans)
    for span, after in itertools.pairwise(spans):
        is_full = span.stop - span.start == most_rows
        assert is_full or sum(nbytes[span]) + nbytes[after.start] > most_nbytes


@given(
    sizes,
    st.integers(1, 120),
    st.integers(1, 20),
    st.integers(1, 120),
    st.integers(1, 9),
    st.integers(0, 500),
)
def test_spans_for_workers_shrink_with_what_is_left(  # each bounds the spans
    nbytes: list[int],
    most_nbytes: int,
    most_rows: int,
    least_nbytes: int,
    fractions: int,
    nbytes_after: int,
) -> None:
    spans = split_for_workers(nbytes, most_nbytes, most_rows, least_nbytes, fractions, nbytes_after)

    rows = [row for span in spans for row in range(span.start, span.stop)]
    assert rows == list(range(len(nbytes)))
    for span in spans:
        fraction = max(least_nbytes, (sum(nbytes[span.start :]) + nbytes_after) // fractions)
        most = min(most_nbytes, fraction)
        assert sum(nbytes[span]) <= most or span.stop - span.start == 1
        is_full = span.stop - span.start == most_rows or span.stop == len(nbytes)
        assert is_full or sum(nbytes[span]) + nbytes[span.stop] > most


def test_no_rows_are_no_spans() -> None:
    assert split_by_size([], 10, 10) == []
