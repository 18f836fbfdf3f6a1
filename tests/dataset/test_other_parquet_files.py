"""Parquet files of others in a folder of shards: passed over, and said to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stage_data import seven_faces

import arrowimg
from arrowimg import ImageWriterStage
from arrowimg._dataset.inspect import inspect_dataset
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"image_id": "cat", "size": 3, "image_data": None}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stage = ImageWriterStage(tmp_path, 3)
    stage.process(seven_faces())
    stage._write_parquet("extra", ROWS)
    stage._write_tar("aside", [("a.jpg", b"a")])
    stage._write_parquet("aside", ROWS)
    return tmp_path


def test_readers_pass_them_over(folder: Path) -> None:
    assert arrowimg.scan(folder).collect().height == 7
    assert sum(batch.num_items for batch in arrowimg.read_batches(folder)) == 7
    assert inspect_dataset(folder).num_images == 7
    arrowimg.reshard(folder, folder / "new")
    assert arrowimg.scan(folder / "new").collect().height == 7
    arrowimg.export_index(folder)
    assert arrowimg.collect_garbage(folder, 0, delete=True) == []


def test_verify_says_that_they_are_there(folder: Path) -> None:
    report = arrowimg.verify(folder)

    assert (report.is_sound, report.num_shards, report.num_rows) == (True, 3, 7)
    assert sorted(report.notices) == [
        "aside.parquet: a Parquet file that is no sidecar",
        "aside.tar: a tar that no sidecar names",
        "extra.parquet: a Parquet file that is no sidecar",
    ]


def test_beside_a_manifest_too(tmp_path: Path) -> None:
    arrowimg.write_shards(seven_faces(), tmp_path)
    ImageWriterStage(tmp_path)._write_parquet("extra", ROWS)

    assert arrowimg.verify(tmp_path).notices == ["extra.parquet: a Parquet file that is no sidecar"]
    assert arrowimg.scan(tmp_path).collect().height == 7


def test_alone_they_are_no_dataset(tmp_path: Path) -> None:
    ImageWriterStage(tmp_path)._write_parquet("extra", ROWS)

    for read in (arrowimg.scan, arrowimg.verify, inspect_dataset):
        with pytest.raises(ManifestError):
            read(tmp_path)


def test_a_sidecar_that_lost_its_footer_is_damage_and_not_passed_over(tmp_path: Path) -> None:
    (path,) = ImageWriterStage(tmp_path).process(seven_faces()).parquet_paths
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(table.to_pylist(), table.schema.remove_metadata()), path)

    assert not arrowimg.verify(tmp_path).is_sound
    with pytest.raises(ManifestError):
        inspect_dataset(tmp_path)


def test_what_cannot_be_read_is_damage_and_not_passed_over(tmp_path: Path) -> None:
    (path,) = ImageWriterStage(tmp_path).process(seven_faces()).parquet_paths
    with open(path, "r+b") as file:  # noqa: PTH123  # a str
        file.truncate(100)

    assert not arrowimg.verify(tmp_path).is_sound
