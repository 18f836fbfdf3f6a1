"""Each kind of damage, done by hand once; `verify` must name the file, and the member."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from verify_data import (
    MANIFEST,
    QUARANTINE,
    SIDECAR,
    TAR,
    Depth,
    change,
    details,
    places,
    rewrite,
    write_two_shards,
)

from arrowimg import ImageBatch, ImageWriterStage, verify


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_shards(tmp_path_factory.mktemp("written"))


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "out"))


class TestMissing:
    @pytest.mark.parametrize("depth", ["quick", "checksums", "decode"])
    @pytest.mark.parametrize("name", [TAR, SIDECAR, QUARANTINE])
    def test_a_file_that_is_gone_is_named(self, folder: Path, name: str, depth: Depth) -> None:
        (folder / name).unlink()
        report = verify(folder, depth)

        assert places(report) == [(name, None, "missing")]
        assert report.num_shards == (1 if name == SIDECAR else 2)

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_a_shard_that_a_batch_lacks_is_named_without_a_manifest(
        self, tmp_path: Path, number: int
    ) -> None:
        pixels = np.random.default_rng(7).integers(0, 256, (5, 8, 8, 3), np.uint8)
        stage = ImageWriterStage(tmp_path, 2)
        batches = [
            ImageBatch.from_arrays(pixels, [f"{name}{at}" for at in range(5)]) for name in "ab"
        ]
        group, _ = [stage.process(batch) for batch in batches]
        for path in (group.tar_paths[number], group.parquet_paths[number]):
            Path(path).unlink()
        report = verify(tmp_path)

        assert places(report) == [(Path(group.parquet_paths[number]).name, None, "missing")]
        assert details(report) == ["one of the 3 shards of its batch"]


class TestUnreadable:
    @pytest.mark.parametrize("text", [b"tar_file", b"arrowimg", b"member_name"])
    def test_text_of_the_footer_that_is_no_text_is_damage(self, folder: Path, text: bytes) -> None:
        (folder / MANIFEST).unlink()
        sidecar = (folder / SIDECAR).read_bytes()
        (folder / SIDECAR).write_bytes(sidecar.replace(text, b"\xff" + text[1:]))

        assert {file for file, _, _ in places(verify(folder))} == {SIDECAR}

    @pytest.mark.parametrize("what", ["cut", "nothing", "foreign", "no rows"])
    def test_a_sidecar_that_cannot_be_read_is_named(self, folder: Path, what: str) -> None:
        path = folder / SIDECAR
        if what == "foreign":
            pq.write_table(pa.table({"a": [1]}), path)
        elif what == "no rows":
            rewrite(folder, pq.read_table(path).drop_columns(["error"]))
        else:
            path.write_bytes(path.read_bytes()[:-9] if what == "cut" else b"")
        report = verify(folder)

        assert places(report) == [(SIDECAR, None, "unreadable")]
        assert all("\n" not in detail for detail in details(report))


class TestSize:
    @pytest.mark.parametrize("name", [TAR, QUARANTINE])
    @pytest.mark.parametrize("by", [-512, 1])
    def test_a_file_of_another_size_is_named_at_a_glance(
        self, folder: Path, name: str, by: int
    ) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:by] if by < 0 else data + bytes(by))
        report = verify(folder, "quick")

        assert places(report) == [(name, None, "size")]
        assert details(report) == [f"{len(data):,} bytes stated, {len(data) + by:,} there"]

    def test_a_sidecar_of_another_size_than_listed_is_named_at_a_glance(self, folder: Path) -> None:
        path = folder / SIDECAR
        manifest = (folder / MANIFEST).read_bytes()
        rewrite(folder, batch_shards=123_456_789)
        (folder / MANIFEST).write_bytes(manifest)

        assert places(verify(folder, "quick"))[0] == (SIDECAR, None, "size")
        assert path.stat().st_size != json.loads(manifest)["shards"][0]["parquet_nbytes"]


class TestChecksum:
    def test_a_bit_in_a_picture_is_named_with_its_member(self, folder: Path) -> None:
        row = pq.read_table(folder / SIDECAR).to_pylist()[1]
        change(folder / TAR, row["offset"] + row["size"] - 3, b"\0")
        stated = json.loads((folder / MANIFEST).read_bytes())["shards"][0]["tar_checksum"]
        found = xxhash.xxh3_128_hexdigest((folder / TAR).read_bytes())
        report = verify(folder)

        assert places(report) == [(TAR, None, "checksum"), (TAR, "b.jpg", "checksum")]
        assert details(report)[0] == f"{stated} stated, {found} there"
        assert verify(folder, "quick").is_sound

    def test_a_bit_in_quarantined_bytes_is_named(self, folder: Path) -> None:
        change(folder / QUARANTINE, 600, b"\0\0")

        assert places(verify(folder)) == [(QUARANTINE, None, "checksum")]

    @pytest.mark.parametrize("has_manifest", [True, False])
    def test_a_bit_in_a_sidecar_is_named_with_and_without_a_manifest(
        self,
        folder: Path,
        has_manifest: bool,  # noqa: FBT001
    ) -> None:
        data = (folder / SIDECAR).read_bytes()
        at = data.rindex(b"parquet-cpp-arrow")
        change(folder / SIDECAR, at, b"q")
        if not has_manifest:
            (folder / MANIFEST).unlink()

        assert places(verify(folder)) == [(SIDECAR, None, "checksum")] * (1 + has_manifest)


class TestCount:
    @pytest.mark.parametrize("total", ["num_shards", "num_images", "num_rows"])
    def test_a_manifest_that_counts_wrong_is_named(self, folder: Path, total: str) -> None:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        right = manifest[total]
        manifest[total] = 1234
        (folder / MANIFEST).write_text(json.dumps(manifest))
        report = verify(folder, "quick")

        what = total.removeprefix("num_")
        assert places(report) == [(MANIFEST, None, "count")]
        assert details(report) == [f"{right} {what} listed, 1,234 counted"]

    @pytest.mark.parametrize("field", ["tar_nbytes", "tar_checksum", "num_images", "num_rows"])
    def test_a_manifest_that_says_otherwise_than_a_sidecar_is_found_out(
        self, folder: Path, field: str
    ) -> None:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        manifest["shards"][0][field] = "0" * 32 if field == "tar_checksum" else 7
        (folder / MANIFEST).write_text(json.dumps(manifest))

        assert (SIDECAR, None, "count") in places(verify(folder, "quick"))


class TestTar:
    def test_a_broken_header_is_named_and_so_are_the_members_behind_it(self, folder: Path) -> None:
        row = pq.read_table(folder / SIDECAR).to_pylist()[1]
        change(folder / TAR, row["offset"] - 512, b"\xff")
        report = verify(folder)

        assert places(report) == [
            (TAR, None, "checksum"),
            (TAR, None, "tar"),
            (TAR, "b.jpg", "member"),
        ]
        assert f"{row['offset'] - 512:,}" in details(report)[1]
