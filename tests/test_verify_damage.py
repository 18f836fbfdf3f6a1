"""Each kind of damage, done by hand once; `verify` must name the file, and the member."""

from __future__ import annotations

import io
import json
import shutil
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from PIL import Image

from arrowimg import ImageBatch, ImageWriterStage, Report, verify, write_shards
from arrowimg._sidecar import Footer, read_footer, sidecar_buffers

Depth = Literal["quick", "checksums", "decode"]
Places = list[tuple[str, str | None, str]]

PHOTOGRAPH = Path(str(distribution("scikit-image").locate_file("skimage/data/coffee.png")))
TAR, SIDECAR, QUARANTINE, MANIFEST = (
    "images-000000.tar",
    "images-000000.parquet",
    "quarantine-images-000000.tar",
    "manifest.json",
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write pictures a and b and the torn c as the first shard, d and e as the second."""
    photograph = Image.open(PHOTOGRAPH).convert("RGB")
    files = []
    for at in range(5):
        sink = io.BytesIO()
        photograph.crop((60 * at, 9 * at, 60 * at + 32, 9 * at + 24)).save(sink, "JPEG")
        files.append(sink.getvalue())
    files[2] = files[2][:200]
    folder = tmp_path_factory.mktemp("written")
    table = pa.table({"image_id": list("abcde"), "image_data": files})
    write_shards(table, folder, 2, on_error="quarantine", keep_quarantined=True)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "out"))


def places(report: Report) -> Places:
    return [(damage.file, damage.member, str(damage.kind)) for damage in report.damages]


def details(report: Report) -> list[str]:
    return [damage.detail for damage in report.damages]


def change(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def rewrite(folder: Path, table: pa.Table | None = None, **fields: Any) -> None:  # noqa: ANN401
    """Write another sidecar in place of the first, sound in itself, and forget the manifest."""
    path = folder / SIDECAR
    with path.open("rb") as file:
        footer: Footer = msgspec.structs.replace(read_footer(file, SIDECAR), **fields)
    rows = pq.read_table(path) if table is None else table
    path.write_bytes(b"".join(sidecar_buffers(rows, footer)))
    (folder / MANIFEST).unlink(missing_ok=True)


def with_value(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    at = table.column_names.index(name)
    values = table[name].to_pylist()
    values[row] = value
    return table.set_column(at, table.schema.field(name), pa.array(values, table[name].type))


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
        manifest["shards"][0][field] = "00" if field == "tar_checksum" else 7
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
