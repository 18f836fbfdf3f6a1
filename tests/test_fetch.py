from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from file_data import JPEG
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from writer_data import IDS, content, dataset, windows

import arrowimg
from arrowimg import ImageBatch, _fetch
from arrowimg.errors import ChecksumError, ImageError, OptionError, SchemaError


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    arrowimg.write_shards(dataset(100, score=[float(row) for row in range(100)]), folder, 30)
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return what Pillow makes of the same pictures."""
    files = []
    for window in windows(100):
        file = io.BytesIO()
        Image.fromarray(window).save(file, "JPEG", quality=92)
        files.append(file.getvalue())
    return files


class TestFetchImages:
    @given(st.lists(st.integers(0, 99), max_size=40))
    def test_any_rows_come_with_their_pictures_in_order(
        self, out: Path, stored: list[bytes], rows: list[int]
    ) -> None:
        frame = arrowimg.scan(out).collect()[rows]
        found = arrowimg.fetch_images(frame)

        assert found["image_data"].to_list() == [stored[row] for row in rows]
        assert found.drop("image_data").equals(frame)

    def test_a_lazy_query_is_collected(self, out: Path, stored: list[bytes]) -> None:
        query = arrowimg.scan(out).filter(pl.col("score") >= 90)

        assert arrowimg.fetch_images(query)["image_data"].to_list() == stored[90:]

    def test_what_sql_finds_is_fetched(self, out: Path, stored: list[bytes]) -> None:
        sidecars = str(out / "*.parquet")
        found = duckdb.sql(
            f"select *, '{out}/' || tar_file as tar_path from '{sidecars}' "  # noqa: S608
            "where score in (3, 98) order by score desc"
        ).to_arrow_table()

        assert arrowimg.fetch_images(found)["image_data"].to_list() == [stored[98], stored[3]]

    def test_pixels_of_one_shape_are_an_array(self, out: Path, stored: list[bytes]) -> None:
        frame = arrowimg.fetch_images(arrowimg.scan(out).head(3), decode=True)
        expected = [np.asarray(Image.open(io.BytesIO(file))) for file in stored[:3]]

        assert frame.schema["image_data"] == pl.Array(pl.UInt8, (12, 16, 3))
        found = frame["image_data"].to_numpy()
        assert np.abs(found.astype(int) - np.stack(expected).astype(int)).max() <= 2

    def test_pixels_of_other_shapes_are_structs(self, tmp_path: Path) -> None:
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

    def test_rows_with_an_error_have_no_picture(self, tmp_path: Path) -> None:
        table = pa.table({"image_id": ["a", "b"], "image_data": [JPEG, b"no picture"]})
        arrowimg.write_shards(table, tmp_path, on_error="quarantine")

        frame = arrowimg.fetch_images(arrowimg.scan(tmp_path))

        assert frame["image_data"].to_list() == [JPEG, None]

    def test_a_picture_that_was_changed_is_an_error(self, tmp_path: Path) -> None:
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
    def test_either_checksum_is_known(self, tmp_path: Path, checksum: Any) -> None:  # noqa: ANN401
        arrowimg.write_shards(dataset(5), tmp_path, checksum=checksum)

        assert arrowimg.fetch_images(arrowimg.scan(tmp_path))["image_data"].null_count() == 0

    def test_a_tar_that_was_cut_is_an_error(self, tmp_path: Path) -> None:
        arrowimg.write_shards(dataset(5), tmp_path)
        tar = tmp_path / "images-000000.tar"
        tar.write_bytes(tar.read_bytes()[:3000])

        with pytest.raises(ChecksumError, match="ends at byte 3,000"):
            arrowimg.fetch_images(arrowimg.scan(tmp_path), check=False)

    def test_a_picture_that_cannot_be_decoded_is_named(self, tmp_path: Path) -> None:
        arrowimg.write_shards(dataset(5), tmp_path)
        tar, frame = tmp_path / "images-000000.tar", arrowimg.scan(tmp_path).collect()
        data = bytearray(tar.read_bytes())
        data[frame["offset"][3] : frame["offset"][3] + 4] = bytes(4)
        tar.write_bytes(data)

        with pytest.raises(ImageError, match="id003"):
            arrowimg.fetch_images(frame, decode=True, check=False)

    @pytest.mark.parametrize("column", ["tar_path", "offset", "size", "checksum"])
    def test_a_column_that_is_needed_is_named(self, out: Path, column: str) -> None:
        frame = arrowimg.scan(out).drop(column)

        with pytest.raises(SchemaError, match=column):
            arrowimg.fetch_images(frame)

    def test_a_tar_that_is_gone_is_an_error(self, out: Path) -> None:
        frame = arrowimg.scan(out).head(1).with_columns(tar_path=pl.lit("gone.tar"))

        with pytest.raises(FileNotFoundError, match=r"gone\.tar"):
            arrowimg.fetch_images(frame)


class TestReads:
    @pytest.fixture
    def read(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Return the sizes of all reads."""
        sizes: list[int] = []
        pread = _fetch.os.pread

        def counting(descriptor: int, size: int, at: int) -> bytes:
            sizes.append(size)
            return pread(descriptor, size, at)

        monkeypatch.setattr(_fetch.os, "pread", counting)
        return sizes

    def test_neighbours_are_read_in_one_go(self, out: Path, read: list[int]) -> None:
        arrowimg.fetch_images(arrowimg.scan(out))

        assert len(read) == 4

    def test_little_more_is_read_than_was_asked_for(self, out: Path, read: list[int]) -> None:
        frame = arrowimg.scan(out).gather_every(10).collect()
        arrowimg.fetch_images(frame)

        assert len(read) == 10
        assert sum(read) == frame["size"].sum()

    def test_a_read_is_no_larger_than_it_may_be(
        self, out: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_fetch, "_READ_NBYTES", 5000)
        arrowimg.fetch_images(arrowimg.scan(out))

        assert max(read) <= 5000
        assert len(read) > 4


class TestReadBatches:
    @pytest.mark.parametrize("batch_size", [1, 7, 30, 64, 1000])
    def test_what_is_read_and_written_again_is_the_same(
        self, tmp_path: Path, batch_size: int
    ) -> None:
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

    def test_types_come_back_as_they_were(self, tmp_path: Path) -> None:
        columns = {
            "kind": pa.array(["x", "y", None]).dictionary_encode(),
            "count": pa.array([1, 2, 3], pa.uint8()),
            "at": pa.array([1, 2, 3], pa.timestamp("us", "Europe/Berlin")),
        }
        arrowimg.write_shards(dataset(3, **columns), tmp_path, remove_image_data=False)
        (batch,) = arrowimg.read_batches(tmp_path)

        assert {name: batch.data[name].type for name in columns} == {
            name: column.type for name, column in columns.items()
        }
        assert batch.data.column_names == ["image_id", "image_path", "image_data", *columns]

    def test_rows_with_an_error_stay_rows(self, tmp_path: Path) -> None:
        table = pa.table({"image_id": ["a", "b"], "image_data": [JPEG, b"no picture"]})
        arrowimg.write_shards(table, tmp_path, on_error="quarantine")
        (batch,) = arrowimg.read_batches(tmp_path)

        assert batch.data["image_id"].to_pylist() == ["a", "b"]
        assert batch.data["image_data"].to_pylist() == [JPEG, None]

    def test_pictures_that_were_changed_are_an_error(self, tmp_path: Path) -> None:
        arrowimg.write_shards(dataset(5), tmp_path)
        tar = tmp_path / "images-000000.tar"
        data = bytearray(tar.read_bytes())
        data[700] ^= 1
        tar.write_bytes(data)

        with pytest.raises(ChecksumError, match=r"id000\.jpg"):
            list(arrowimg.read_batches(tmp_path))

    @pytest.mark.parametrize("batch_size", [0, -1, 1.5, True])
    def test_a_batch_has_rows(self, tmp_path: Path, batch_size: Any) -> None:  # noqa: ANN401
        with pytest.raises(OptionError, match="batch_size"):
            next(arrowimg.read_batches(tmp_path, batch_size))

    def test_an_empty_dataset_has_no_batches(self, tmp_path: Path) -> None:
        arrowimg.write_shards(dataset(5).slice(0, 0), tmp_path)

        assert list(arrowimg.read_batches(tmp_path)) == []
        assert IDS[0] == "id000"
