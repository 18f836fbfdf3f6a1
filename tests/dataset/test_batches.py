from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from file_data import JPEG
from folders import content
from writer_data import dataset

import arrowimg
from arrowimg import ImageBatch, ImageWriterStage
from arrowimg.errors import ChecksumError, ManifestError, OptionError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("batch_size", [1, 7, 30, 64, 1000])
def test_what_is_read_and_written_again_is_the_same(tmp_path: Path, batch_size: int) -> None:
    kinds = pa.array(["x", "y", None, "y"] * 25).dictionary_encode()
    table = dataset(100, kind=kinds, vector=pa.array([[1.0, 2.0]] * 100))
    arrowimg.write_shards(table, tmp_path / "first", 30)

    sizes = []
    with arrowimg.ShardWriter(tmp_path / "second", 30) as writer:
        for batch in arrowimg.read_batches(tmp_path / "first", batch_size):
            sizes.append(batch.num_items)
            writer.write(batch)
    arrowimg.write_shards(arrowimg.read_batches(tmp_path / "second"), tmp_path / "third", 30)

    first, second = content(tmp_path / "first"), content(tmp_path / "second")
    assert sum(sizes) == 100
    assert set(sizes[:-1]) <= {batch_size}
    assert {name: first[name] for name in first if name.endswith(".tar")} == {
        name: second[name] for name in second if name.endswith(".tar")
    }
    assert content(tmp_path / "third") == second
    frames = [arrowimg.scan(tmp_path / name).collect() for name in ("first", "second")]
    columns = ["image_id", "original_path", "checksum", "kind", "vector"]
    assert frames[0].select(columns).equals(frames[1].select(columns))


def test_types_come_back_as_they_were(tmp_path: Path) -> None:
    columns = {
        "kind": pa.array(["x", "y", None]).dictionary_encode(),
        "rank": pa.array([1, 2, 3], pa.uint8()),
        "at": pa.array([1, 2, 3], pa.timestamp("us", "Europe/Berlin")),
    }
    arrowimg.write_shards(dataset(3, **columns), tmp_path, remove_image_data=False)
    (batch,) = arrowimg.read_batches(tmp_path)

    assert {name: batch.data[name].type for name in columns} == {
        name: column.type for name, column in columns.items()
    }
    assert batch.data.column_names == ["image_id", "image_path", "image_data", *columns]


def test_rows_with_an_error_stay_rows(tmp_path: Path) -> None:
    table = pa.table({"image_id": ["a", "b"], "image_data": [JPEG, b"no picture"]})
    arrowimg.write_shards(table, tmp_path, on_error="quarantine")
    (batch,) = arrowimg.read_batches(tmp_path)

    assert batch.data["image_id"].to_pylist() == ["a", "b"]
    assert batch.data["image_data"].to_pylist() == [JPEG, None]


def test_pictures_that_were_changed_are_an_error(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(5), tmp_path)
    tar = tmp_path / "images-000000.tar"
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)

    with pytest.raises(ChecksumError, match=r"id000\.jpg"):
        list(arrowimg.read_batches(tmp_path))


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True])
def test_a_batch_has_rows(tmp_path: Path, batch_size: Any) -> None:  # noqa: ANN401
    with pytest.raises(OptionError, match="batch_size"):
        arrowimg.read_batches(tmp_path, batch_size)


def test_an_empty_dataset_has_no_batches(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(5).slice(0, 0), tmp_path)

    assert list(arrowimg.read_batches(tmp_path)) == []


def test_shards_that_differ_in_their_columns_are_refused(tmp_path: Path) -> None:
    stage = ImageWriterStage(tmp_path)
    stage.process(ImageBatch(dataset(3, score=pa.array([1, 2, 3]))))
    stage.process(ImageBatch(dataset(4, score=pa.array(["1", "2", "3", "4"]))))

    with pytest.raises(SchemaError, match="score"):
        list(arrowimg.read_batches(tmp_path))


def test_the_order_of_columns_does_not_matter(tmp_path: Path) -> None:
    stage, table = ImageWriterStage(tmp_path), dataset(7, first=range(7), second=range(7))
    stage.process(ImageBatch(table.slice(0, 3)))
    columns = ["image_id", "second", "first", "image_data"]
    stage.process(ImageBatch(table.slice(3).select(columns)))

    (batch,) = arrowimg.read_batches(tmp_path)

    assert sorted(batch.data["first"].to_pylist()) == list(range(7))
    assert batch.data["first"].equals(batch.data["second"])


def test_a_sidecar_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(3), tmp_path)
    (tmp_path / "images-000000.parquet").write_bytes(b"PAR1")

    with pytest.raises(ManifestError, match=r"images-000000\.parquet"):
        list(arrowimg.read_batches(tmp_path))


def test_a_folder_without_shards_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="neither"):
        arrowimg.read_batches(tmp_path)
