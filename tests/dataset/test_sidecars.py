from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import JPEG
from verify_data import rewrite, with_value
from writer_data import dataset

import arrowimg
from arrowimg._dataset.inspect import inspect_dataset
from arrowimg._dataset.sidecars import fetch_pictures, read_rows
from arrowimg._storage.open import open_storage
from arrowimg.errors import ChecksumError, ManifestError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDECAR = "images-000000.parquet"


def columns_in(sidecar: Path) -> list[pq.ColumnChunkMetaData]:
    group = pq.read_metadata(sidecar).row_group(0)
    return [group.column(at) for at in range(group.num_columns)]


def overwritten(data: bytes, offsets: list[int]) -> bytes:
    """Return bytes of which 16 after each offset are others."""
    changed = bytearray(data)
    for at in offsets:
        changed[at : at + 16] = b"\xff" * 16
    return bytes(changed)


def test_rows_are_the_sidecar_without_its_pictures(tmp_path: Path) -> None:
    table = dataset(5, kind=pa.array(["x", "y", None, "x", "y"]).dictionary_encode())
    arrowimg.write_shards(table, tmp_path, remove_image_data=False)
    rows = read_rows(open_storage(tmp_path), SIDECAR)
    whole = pq.read_table(tmp_path / SIDECAR)

    assert "image_data" in whole.column_names
    assert rows.equals(whole.drop_columns("image_data"))


def test_pictures_are_those_that_the_sidecar_keeps(tmp_path: Path) -> None:
    images = [JPEG, b"no picture", JPEG, None]
    table = pa.table({"image_id": ["a", "b", "c", "d"], "image_data": images})
    arrowimg.write_shards(table, tmp_path, remove_image_data=False, on_error="quarantine")
    storage = open_storage(tmp_path)
    pictures = fetch_pictures(storage, read_rows(storage, SIDECAR))

    kept = pq.read_table(tmp_path / SIDECAR)["image_data"].to_pylist()
    assert pictures.to_pylist() == [row and row["bytes"] for row in kept]


def test_checksums_are_compared_unless_told_not_to(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(5), tmp_path)
    storage, tar = open_storage(tmp_path), tmp_path / "images-000000.tar"
    rows, data = read_rows(storage, SIDECAR), bytearray(tar.read_bytes())
    data[rows["offset"][2].as_py()] ^= 1
    tar.write_bytes(data)

    with pytest.raises(ChecksumError, match=r"id002\.jpg"):
        fetch_pictures(storage, rows)
    assert len(fetch_pictures(storage, rows, check=False)) == 5


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_a_sidecar_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / SIDECAR).write_bytes(content)

    with pytest.raises(ManifestError, match=r"images-000000\.parquet"):
        read_rows(open_storage(tmp_path), SIDECAR)


READERS: dict[str, Callable[[Path], object]] = {
    "inspect": inspect_dataset,
    "read_rows": lambda folder: read_rows(open_storage(folder), SIDECAR),
    "read_batches": lambda folder: list(arrowimg.read_batches(folder)),
    "reshard": lambda folder: arrowimg.reshard(folder, folder / "new"),
    "index": lambda folder: arrowimg.export_index(folder, ("dali",)),
    "resume": lambda folder: arrowimg.write_shards(dataset(5), folder, if_exists="skip"),
}


@pytest.mark.parametrize("reader", READERS)
def test_pages_that_cannot_be_read_are_those_of_a_named_sidecar(
    tmp_path: Path, reader: str
) -> None:
    arrowimg.write_shards(dataset(5), tmp_path)
    sidecar = tmp_path / SIDECAR
    offsets = [column.data_page_offset for column in columns_in(sidecar)]
    sidecar.write_bytes(overwritten(sidecar.read_bytes(), offsets))

    with pytest.raises(ManifestError, match=r"images-000000\.parquet: expected a Parquet sidecar"):
        READERS[reader](tmp_path)


@pytest.mark.parametrize("reader", ["index", "resume"])
def test_a_column_that_is_missing_is_that_of_a_named_sidecar(tmp_path: Path, reader: str) -> None:
    arrowimg.write_shards(dataset(5), tmp_path)
    rewrite(tmp_path, pq.read_table(tmp_path / SIDECAR).drop_columns(["image_id", "offset"]))

    with pytest.raises(ManifestError, match=r"images-000000\.parquet: expected a Parquet sidecar"):
        READERS[reader](tmp_path)
    assert [damage.kind for damage in arrowimg.verify(tmp_path).damages] == ["unreadable"]


@pytest.mark.parametrize("name", ["", ".", "..", "../out/images-000000.tar", "/etc/passwd"])
def test_a_row_never_leads_outside_its_folder(tmp_path: Path, name: str) -> None:
    arrowimg.write_shards(dataset(3), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / SIDECAR)
    rewrite(tmp_path / "out", with_value(rows, "tar_file", 1, name))

    with pytest.raises(ManifestError, match=r"rows of images-000000\.tar"):
        list(arrowimg.read_batches(tmp_path / "out"))
    with pytest.raises(ManifestError, match=r"rows of images-000000\.tar"):
        arrowimg.reshard(tmp_path / "out", tmp_path / "new")
    with pytest.raises((SchemaError, OSError)):
        arrowimg.fetch_images(arrowimg.scan(tmp_path / "out"), check=False)
