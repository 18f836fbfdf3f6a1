"""Duplicates are found among more ids than memory is meant to hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from arrowimg._dataset import duplicates as _duplicates
from arrowimg._dataset.duplicates import HashPartitions, id_hashes


def test_a_hash_is_that_of_the_ids_utf8() -> None:
    hashes = id_hashes(pa.chunked_array([["a", None], ["ü", ""]]))

    assert hashes.tolist() == [xxhash.xxh3_64_intdigest(text.encode()) for text in ("a", "ü", "")]
    assert hashes.dtype == np.uint64


@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9))), st.integers(0, 40))
def test_what_was_added_twice_is_found_however_little_is_held(
    added: list[list[int]], held_nbytes: int
) -> None:
    flat = [number for numbers in added for number in numbers]
    expected = sorted({number for number in flat if flat.count(number) > 1})

    with pytest.MonkeyPatch.context() as patch, HashPartitions() as partitions:
        patch.setattr(_duplicates, "_HELD_NBYTES", held_nbytes)
        for numbers in added:
            partitions.add(np.array(numbers, np.uint64))

        assert sorted(partitions.repeated().tolist()) == expected


def test_what_does_not_fit_is_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_duplicates, "_HELD_NBYTES", 8 * 1000)
    hashes = np.random.default_rng(0).integers(0, 2**64, 100_000, np.uint64)

    with HashPartitions() as partitions:
        for piece in np.split(hashes, 100):
            partitions.add(piece)
            assert sum(it.nbytes for it in partitions._held) < 8 * 2000
        partitions.add(hashes[77_777:77_778])

        assert partitions.repeated().tolist() == [hashes[77_777]]
