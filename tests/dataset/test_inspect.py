from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pyarrow as pa
from writer_data import dataset

import arrowimg
from arrowimg._dataset.inspect import inspect_dataset

if TYPE_CHECKING:
    from pathlib import Path


def test_values_that_python_does_not_have_are_shown_as_text(tmp_path: Path) -> None:
    far = pa.array([2**31 - 1, None, 0], pa.int32()).cast(pa.date32())
    boxes = pa.StructArray.from_arrays([far], ["day"])
    near = pa.array([0, 1, None], pa.int32()).cast(pa.date32())
    arrowimg.write_shards(dataset(3, far=far, boxes=boxes, near=near), tmp_path)

    rows = inspect_dataset(tmp_path).first_rows

    assert [row["near"] for row in rows] == [
        dt.date(1970, 1, 1),
        dt.date(1970, 1, 2),
        None,
    ]
    assert "2147483647" in rows[0]["far"]
    assert rows[1]["far"] is None
    assert rows[0]["boxes"] == "(struct<day: date32[day]>)"


def test_a_dataset_without_rows_is_one(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(3).slice(0, 0), tmp_path)

    inspection = inspect_dataset(tmp_path)

    assert (inspection.has_manifest, inspection.shards, inspection.first_rows) == (True, [], [])
