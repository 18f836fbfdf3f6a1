from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from file_data import JPEG
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from writer_data import dataset, windows

import arrowimg
from arrowimg import ImageBatch
from arrowimg.errors import ChecksumError, ImageError, ManifestError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    arrowimg.write_shards(dataset(100, score=[float(row) for row in range(100)]), folder, 30)
    return folder


@pytest.fixture(scope="module")
def stored() -> list[bytes]:
    """Return what Pillow makes of the same pictures."""
    files = []
    for window in windows(100):
        file = io.BytesIO()
        Image.fromarray(window).save(file, "JPEG", quality=92)
        files.append(file.getvalue())
    return files


@given(st.lists(st.integers(0, 99), max_size=40))
def test_any_rows_come_with_their_pictures_in_order(
    out: Path, stored: list[bytes], rows: list[int]
) -> None:
    frame = arrowimg.scan(out).collect()[rows]
    found = arrowimg.fetch_images(frame)

    assert found["image_data"].to_list() == [stored[row] for row in rows]
    assert found.drop("image_data").equals(frame)


def test_a_lazy_query_is_collected(out: Path, stored: list[bytes]) -> None:
    query = arrowimg.scan(out).filter(pl.col("score") >= 90)

    assert arrowimg.fetch_images(query)["image_data"].to_list() == stored[90:]


def test_what_sql_finds_is_fetched(out: Path, stored: list[bytes]) -> None:
    sidecars = duckdb.connect().read_parquet(f"{out}/*.parquet")
    chosen = sidecars.filter("score in (3, 98)").order("score desc")
    found = chosen.project(f"*, '{out}/' || tar_file as tar_path").to_arrow_table()

    assert arrowimg.fetch_images(found)["image_data"].to_list() == [stored[98], stored[3]]


def test_pixels_of_one_shape_are_an_array(out: Path, stored: list[bytes]) -> None:
    frame = arrowimg.fetch_images(arrowimg.scan(out).head(3), decode=True)
    expected = [np.asarray(Image.open(io.BytesIO(file))) for file in stored[:3]]

    assert frame.schema["image_data"] == pl.Array(pl.UInt8, (12, 16, 3))
    found = frame["image_data"].to_numpy()
    assert np.abs(found.astype(int) - np.stack(expected).astype(int)).max() <= 2


def test_pixels_of_other_shapes_are_structs(tmp_path: Path) -> None:
    pictures: list[Any] = [windows(1)[0], windows(1)[0][:5, :, 0]]
    batch = ImageBatch.from_arrays([*pictures, None], ["a", "b", "c"])
    arrowimg.write_shards(batch, tmp_path, on_error="quarantine")
    frame = arrowimg.fetch_images(arrowimg.scan(tmp_path), decode=True)

    shapes = [row and row["shape"] for row in frame["image_data"].to_list()]
    assert shapes == [[12, 16, 3], [5, 16], None]
    again = ImageBatch(pa.table({"image_data": frame.to_arrow()["image_data"]})).images()
    assert [None if view is None else view.shape for view in again] == [
        (12, 16, 3),
        (5, 16),
        None,
    ]


def test_pixels_of_one_shape_beside_none_are_structs(tmp_path: Path) -> None:
    batch = ImageBatch.from_arrays([*windows(2), None], ["a", "b", "c"])
    arrowimg.write_shards(batch, tmp_path, on_error="quarantine")
    frame = arrowimg.fetch_images(arrowimg.scan(tmp_path), decode=True)

    shapes = [row and row["shape"] for row in frame["image_data"].to_list()]
    assert shapes == [[12, 16, 3], [12, 16, 3], None]


def test_rows_with_an_error_have_no_picture(tmp_path: Path) -> None:
    table = pa.table({"image_id": ["a", "b"], "image_data": [JPEG, b"no picture"]})
    arrowimg.write_shards(table, tmp_path, on_error="quarantine")

    frame = arrowimg.fetch_images(arrowimg.scan(tmp_path))

    assert frame["image_data"].to_list() == [JPEG, None]


def test_a_picture_that_was_changed_is_an_error(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(5), tmp_path)
    tar, frame = tmp_path / "images-000000.tar", arrowimg.scan(tmp_path).collect()
    data = bytearray(tar.read_bytes())
    data[frame["offset"][3] + 300] ^= 1
    tar.write_bytes(data)

    with pytest.raises(ChecksumError) as caught:
        arrowimg.fetch_images(frame)
    assert caught.value.places == (f"id003.jpg in {tar}",)
    assert arrowimg.fetch_images(frame, check=False)["image_data"][3] is not None


@pytest.mark.parametrize("checksum", ["sha256", "xxh3_128"])
def test_either_checksum_is_known(tmp_path: Path, checksum: Any) -> None:  # noqa: ANN401
    arrowimg.write_shards(dataset(5), tmp_path, checksum=checksum)

    assert arrowimg.fetch_images(arrowimg.scan(tmp_path))["image_data"].null_count() == 0


def test_a_tar_that_was_cut_is_an_error(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(5), tmp_path)
    tar, frame = tmp_path / "images-000000.tar", arrowimg.scan(tmp_path).collect()
    tar.write_bytes(tar.read_bytes()[:3000])

    with pytest.raises(ChecksumError, match="ends at byte 3,000"):
        arrowimg.fetch_images(frame, check=False)
    with pytest.raises(ManifestError, match=r"images-000000\.tar: expected .* found 3,000"):
        arrowimg.scan(tmp_path)


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(5), tmp_path)
    tar, frame = tmp_path / "images-000000.tar", arrowimg.scan(tmp_path).collect()
    data = bytearray(tar.read_bytes())
    data[frame["offset"][3] : frame["offset"][3] + 4] = bytes(4)
    tar.write_bytes(data)

    with pytest.raises(ImageError, match="id003"):
        arrowimg.fetch_images(frame, decode=True, check=False)


@pytest.mark.parametrize("column", ["tar_path", "offset", "size", "checksum"])
def test_a_column_that_is_needed_is_named(out: Path, column: str) -> None:
    frame = arrowimg.scan(out).drop(column)

    with pytest.raises(SchemaError, match=column):
        arrowimg.fetch_images(frame)


def test_a_tar_that_is_gone_is_an_error(out: Path) -> None:
    frame = arrowimg.scan(out).head(1).with_columns(tar_path=pl.lit("gone.tar"))

    with pytest.raises(FileNotFoundError, match=r"gone\.tar"):
        arrowimg.fetch_images(frame)


@pytest.mark.parametrize("column", ["offset", "size"])
@pytest.mark.parametrize("values", [[-1], ["1"], [1.0]], ids=["negative", "text", "float"])
def test_a_place_is_a_whole_number(out: Path, column: str, values: list[Any]) -> None:
    frame = arrowimg.scan(out).head(1).collect().with_columns(pl.Series(column, values))

    with pytest.raises(SchemaError, match=f"column '{column}'.* at least 0"):
        arrowimg.fetch_images(frame)


@pytest.mark.parametrize("column", ["tar_path", "size"])
def test_a_place_is_whole(out: Path, column: str) -> None:
    frame = arrowimg.scan(out).head(1).with_columns(pl.lit(None).alias(column).cast(pl.Int64))

    with pytest.raises(SchemaError, match="nulls"):
        arrowimg.fetch_images(frame)


def test_no_rows_have_no_pictures(out: Path) -> None:
    none = arrowimg.scan(out).head(0)

    assert arrowimg.fetch_images(none).schema["image_data"] == pl.Binary
    assert len(arrowimg.fetch_images(none, decode=True)) == 0
