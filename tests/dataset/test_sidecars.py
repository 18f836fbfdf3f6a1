from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import JPEG
from verify_data import rewrite, with_value
from writer_data import dataset

import arrowimg
from arrowimg._dataset.sidecars import pictures_of, read_rows
from arrowimg._storage.open import open_storage
from arrowimg.errors import ChecksumError, ManifestError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path

SIDECAR = "images-000000.parquet"


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
    pictures = pictures_of(storage, read_rows(storage, SIDECAR))

    kept = pq.read_table(tmp_path / SIDECAR)["image_data"].to_pylist()
    assert pictures.to_pylist() == [row and row["bytes"] for row in kept]


def test_checksums_are_compared_unless_told_not_to(tmp_path: Path) -> None:
    arrowimg.write_shards(dataset(5), tmp_path)
    storage, tar = open_storage(tmp_path), tmp_path / "images-000000.tar"
    rows, data = read_rows(storage, SIDECAR), bytearray(tar.read_bytes())
    data[rows["offset"][2].as_py()] ^= 1
    tar.write_bytes(data)

    with pytest.raises(ChecksumError, match=r"id002\.jpg"):
        pictures_of(storage, rows)
    assert len(pictures_of(storage, rows, check=False)) == 5


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_a_sidecar_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / SIDECAR).write_bytes(content)

    with pytest.raises(ManifestError, match=r"images-000000\.parquet"):
        read_rows(open_storage(tmp_path), SIDECAR)


@pytest.mark.parametrize("name", ["", ".", "..", "../out/images-000000.tar", "/etc/passwd"])
def test_a_row_never_leads_outside_its_folder(tmp_path: Path, name: str) -> None:
    arrowimg.write_shards(dataset(3), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / SIDECAR)
    rewrite(tmp_path / "out", with_value(rows, "tar_file", 1, name))

    with pytest.raises(ManifestError, match="names of files in the folder"):
        list(arrowimg.read_batches(tmp_path / "out"))
    with pytest.raises(ManifestError, match="names of files in the folder"):
        arrowimg.reshard(tmp_path / "out", tmp_path / "new")
    with pytest.raises((SchemaError, OSError)):
        arrowimg.fetch_images(arrowimg.scan(tmp_path / "out"), check=False)
