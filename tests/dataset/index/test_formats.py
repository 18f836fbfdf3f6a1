"""Which indexes a new dataset takes away, and which names they may have."""

from __future__ import annotations

from typing import get_args

import pytest

from arrowimg._dataset.index.formats import FORMATS, IndexFormat, indexes_among, indexes_with

ENERGON = [
    ".nv-meta/.info.json",
    ".nv-meta/split.yaml",
    ".nv-meta/dataset.yaml",
    ".nv-meta/index.sqlite",
    ".nv-meta/index.uuid",
]


def test_every_format_that_has_a_name_is_there() -> None:
    assert tuple(FORMATS) == get_args(IndexFormat)


@pytest.mark.parametrize(
    ("names", "indexes"),
    [
        (["images-000000.tar", "manifest.json", "README.md", "dali.json"], []),
        (["wids.json", "webdataset.json"], ["webdataset.json", "wids.json"]),
        (["images-000000.idx"], ["images-000000.idx"]),
        (["pack.idx", "pack.tar.idx"], []),
        (["images-ab-000000.tar.idx"], ["images-ab-000000.tar.idx", *ENERGON]),
    ],
)
def test_indexes_are_known_by_their_names(names: list[str], indexes: list[str]) -> None:
    assert indexes_among(names) == indexes


def test_every_shard_may_have_an_index_of_its_own() -> None:
    assert {"a.idx", "a.tar.idx", "b.idx", "sizes.json", *ENERGON} < indexes_with(["a", "b"])
