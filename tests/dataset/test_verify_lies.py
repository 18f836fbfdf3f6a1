"""Sidecars that are sound in themselves and say what is not so: `verify` must find them out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from verify_data import (
    MANIFEST,
    SIDECAR,
    TAR,
    Depth,
    change,
    details,
    places,
    rewrite,
    with_value,
    write_two_shards,
)

from arrowimg import verify


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_shards(tmp_path_factory.mktemp("written"))


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "out"))


class TestRows:
    @pytest.mark.parametrize("depth", ["quick", "checksums", "decode"])
    def test_ids_that_are_no_text_are_damage_and_no_crash(self, folder: Path, depth: Depth) -> None:
        offsets, data = np.array([0, 1, 2, 3], np.int32), pa.py_buffer(b"\xff\xfe\xfd")
        ids = pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(offsets), data])
        rewrite(folder, pq.read_table(folder / SIDECAR).set_column(0, "image_id", ids))

        assert places(verify(folder, depth)) == [(SIDECAR, None, "unreadable")]

    @pytest.mark.parametrize("name", ["", ".", "..", "../out/images-000000.tar", "/etc/passwd"])
    def test_a_sidecar_never_leads_outside_its_folder(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        rewrite(folder, tar_file=name)
        opened: list[Path] = []
        open_path = os.open

        def recording(path: Path, *arguments: Any, **options: Any) -> int:  # noqa: ANN401
            opened.append(path)
            return open_path(path, *arguments, **options)

        monkeypatch.setattr(os, "open", recording)
        report = verify(folder)

        assert not report.is_sound
        assert {path.parent.resolve() for path in opened} == {folder.resolve()}
        assert all(".." not in path.parts for path in opened)

    @pytest.mark.parametrize(
        ("column", "value"), [("offset", 1024), ("size", 7), ("member_name", "z.jpg")]
    )
    def test_a_sidecar_that_points_elsewhere_is_named_with_its_member(
        self, folder: Path, column: str, value: object
    ) -> None:
        rewrite(folder, with_value(pq.read_table(folder / SIDECAR), column, 0, value))
        name = value if column == "member_name" else "a.jpg"

        assert places(verify(folder)) == [(TAR, name, "member")]

    @pytest.mark.parametrize("column", ["offset", "size", "member_name", "checksum"])
    def test_a_sidecar_that_points_nowhere_is_damage_and_no_crash(
        self, folder: Path, column: str
    ) -> None:
        rewrite(folder, with_value(pq.read_table(folder / SIDECAR), column, 0, None))
        report = verify(folder, "decode")

        assert {damage.file for damage in report.damages} <= {TAR, SIDECAR}
        assert not report.is_sound

    @pytest.mark.parametrize("field", ["num_rows", "num_images", "num_errors"])
    def test_a_sidecar_that_counts_wrong_is_named(self, folder: Path, field: str) -> None:
        rewrite(folder, **{field: 9})

        assert places(verify(folder, "quick")) == [(SIDECAR, None, "count")]


class TestName:
    def test_a_sidecar_under_another_name_is_named(self, folder: Path) -> None:
        (folder / SIDECAR).rename(folder / "images-000005.parquet")
        (folder / MANIFEST).unlink()
        report = verify(folder)

        assert places(report) == [("images-000005.parquet", None, "name")]
        assert details(report) == [f"it belongs to {TAR}"]

    def test_rows_of_another_tar_are_named(self, folder: Path) -> None:
        table = pq.read_table(folder / SIDECAR)
        rewrite(folder, with_value(table, "tar_file", 1, "images-000001.tar"))

        assert places(verify(folder, "quick")) == [(SIDECAR, None, "name")]


class TestPicture:
    def test_a_member_that_is_no_picture_is_found_by_decoding(self, folder: Path) -> None:
        table = pq.read_table(folder / SIDECAR)
        row = table.to_pylist()[0]
        change(folder / TAR, row["offset"], bytes(row["size"]))
        tar = (folder / TAR).read_bytes()
        member = tar[row["offset"] : row["offset"] + row["size"]]
        changed = with_value(table, "checksum", 0, xxhash.xxh3_128_digest(member))
        rewrite(folder, changed, tar_checksum=xxhash.xxh3_128_hexdigest(tar))

        assert verify(folder, "checksums").is_sound
        assert places(verify(folder, "decode")) == [(TAR, "a.jpg", "picture")]

    @pytest.mark.parametrize("column", ["width", "height"])
    def test_a_picture_of_another_size_is_found_by_decoding(
        self, folder: Path, column: str
    ) -> None:
        rewrite(folder, with_value(pq.read_table(folder / SIDECAR), column, 1, 7))
        report = verify(folder, "decode")

        assert places(report) == [(TAR, "b.jpg", "picture")]
        assert "(24, 32) there" in details(report)[0]
        assert verify(folder).is_sound


class TestDuplicateIds:
    def test_an_id_in_two_shards_is_named(self, folder: Path) -> None:
        rewrite(folder, with_value(pq.read_table(folder / SIDECAR), "image_id", 1, "d"))
        report = verify(folder, "quick")

        assert places(report) == [("images-000001.parquet", None, "duplicate_id")]
        assert details(report) == [f"image_id 'd' is in {SIDECAR} too"]

    def test_an_id_twice_in_one_shard_is_named(self, folder: Path) -> None:
        rewrite(folder, with_value(pq.read_table(folder / SIDECAR), "image_id", 1, "a"))

        assert places(verify(folder, "quick")) == [(SIDECAR, None, "duplicate_id")]

    def test_rows_without_id_are_no_duplicates(self, folder: Path) -> None:
        table = with_value(pq.read_table(folder / SIDECAR), "image_id", 0, None)
        rewrite(folder, with_value(table, "image_id", 1, None))

        assert verify(folder).is_sound
