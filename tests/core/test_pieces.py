"""Where a byte of many pieces is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arrowimg._core.pieces import place_of_byte


@given(st.lists(st.integers(0, 5), max_size=8))
def test_each_byte_is_in_the_piece_that_holds_it(sizes: list[int]) -> None:
    expected = [(at, byte) for at, size in enumerate(sizes) for byte in range(size)]
    assert [place_of_byte(sizes, byte) for byte in range(sum(sizes))] == expected


@given(st.lists(st.integers(0, 5), max_size=8))
def test_the_byte_behind_the_last_is_in_none(sizes: list[int]) -> None:
    assert place_of_byte(sizes, sum(sizes)) == (len(sizes), 0)
