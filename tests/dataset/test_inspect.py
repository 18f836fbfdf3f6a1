from __future__ import annotations

from typing import TYPE_CHECKING

from writer_data import dataset

import arrowimg
from arrowimg._dataset.inspect import inspect_dataset

if TYPE_CHECKING:
    from pathlib import Path


def test_a_dataset_without_rows_is_one(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(3).slice(0, 0), tmp_path)

    inspection = inspect_dataset(tmp_path)

    assert (inspection.has_manifest, inspection.shards, inspection.first_rows) == (True, [], [])
