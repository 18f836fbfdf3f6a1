"""wids, which reads samples by their number, over the index that we export."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from reader_data import ALL_EQUAL, Dataset, Sample, compare

import arrowimg

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.readers(env="readers-webdataset")


def test_our_index(dataset: Dataset, tmp_path: Path) -> None:
    import wids

    folder = shutil.copytree(dataset.folder, tmp_path / "dataset")
    (index,) = arrowimg.export_index(folder, formats=["wids"])

    rows = wids.ShardListDataset(index, cache_dir=str(tmp_path / "cache"), transformations=[])

    # A row has open files, under names that start with a dot.
    found = [
        Sample(row["__key__"], {name: row[f".{name}"].read() for name in ("jpg", "json", "txt")})
        for row in (rows[at] for at in range(len(rows)))
    ]
    assert compare(dataset, found, "wids", "our wids.json") == ALL_EQUAL
