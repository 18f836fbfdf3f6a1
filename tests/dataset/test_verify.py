from __future__ import annotations

import io
import json
import shutil
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from counted_reads import reads_of_tars
from folders import state_of
from photographs import SKIMAGE
from PIL import Image

from arrowimg import ImageBatch, ImageWriterStage, Report, scan, verify, write_shards
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PHOTOGRAPH = SKIMAGE / "coffee.png"
DEPTHS: tuple[Literal["quick", "checksums", "decode"], ...] = ("quick", "checksums", "decode")


def table() -> pa.Table:
    """Return six rows: pictures of a photograph as JPEG files, the third of them torn."""
    photograph = Image.open(PHOTOGRAPH).convert("RGB")
    files = []
    for at in range(6):
        sink = io.BytesIO()
        photograph.crop((60 * at, 9 * at, 60 * at + 32, 9 * at + 24)).save(sink, "JPEG")
        files.append(sink.getvalue())
    files[2] = files[2][:200]
    captions = [f"caption {at}" for at in range(6)]
    return pa.table({"image_id": list("abcdef"), "image_data": files, "caption": captions})


def write_dataset(folder: Path, **options: Any) -> None:  # noqa: ANN401  # any option
    chosen: dict[str, Any] = {"on_error": "quarantine"} | options
    write_shards(table(), folder, 2, **chosen)


def write_batch(folder: Path, **options: Any) -> None:  # noqa: ANN401
    stage = ImageWriterStage(folder, 2, on_error="quarantine", **options)
    stage.process(ImageBatch(table()))
    stage.process(ImageBatch.from_arrays(np.zeros((3, 8, 8, 3), np.uint8), ["x", "y", "z"]))


SOUND: dict[str, tuple[Callable[[Path], object], tuple[int, int, int]]] = {
    "a dataset": (write_dataset, (3, 5, 6)),
    "quarantined bytes": (lambda folder: write_dataset(folder, keep_quarantined=True), (3, 5, 6)),
    "extra members": (
        lambda folder: write_dataset(folder, members={"txt": "caption", "json": ["caption"]}),
        (3, 5, 6),
    ),
    "sha256": (
        lambda folder: write_dataset(folder, checksum="sha256", keep_quarantined=True),
        (3, 5, 6),
    ),
    "pictures kept": (lambda folder: write_dataset(folder, remove_image_data=False), (3, 5, 6)),
    "reencoded": (lambda folder: write_dataset(folder, reencode=True), (3, 5, 6)),
    "batches": (write_batch, (5, 8, 9)),
    "batches without pictures": (
        lambda folder: write_batch(folder, remove_image_data=True),
        (5, 8, 9),
    ),
    "rows without ids": (
        lambda folder: write_shards(table().drop_columns(["image_id"])[:2], folder),
        (1, 2, 2),
    ),
    "no rows": (lambda folder: write_shards(table()[:0], folder), (0, 0, 0)),
    "bad rows only": (
        lambda folder: write_shards(table()[2:3], folder, on_error="quarantine"),
        (1, 0, 1),
    ),
}


def test_each_byte_of_a_tar_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = table().append_column("large", [[b"x" * 50_000] * 6])
    write_shards(large, tmp_path, members={"bin": "large"}, on_error="quarantine")
    tar = tmp_path / "images-000000.tar"
    read = reads_of_tars(monkeypatch)

    assert verify(tmp_path).is_sound

    # The end is looked for once more.
    assert tar.stat().st_size <= sum(read) <= tar.stat().st_size + 1024


def test_what_is_not_what_was_written_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(table()[:1], tmp_path)
    tar, row = tmp_path / "images-000000.tar", scan(tmp_path).collect().row(0, named=True)
    damaged = bytearray(tar.read_bytes())
    damaged[row["offset"] + 100] ^= 1
    decoded = list[object]()
    monkeypatch.setattr("arrowimg._dataset.tar_checks.decoded_size", decoded.append)

    tar.write_bytes(damaged)
    kinds = {str(it.kind) for it in verify(tmp_path, "decode").damages}

    assert (kinds, decoded) == ({"checksum"}, [])


class TestSound:
    @pytest.mark.parametrize("depth", DEPTHS)
    @pytest.mark.parametrize("kind", SOUND)
    def test_what_was_written_is_sound_and_counted(
        self, tmp_path: Path, kind: str, depth: Literal["quick", "checksums", "decode"]
    ) -> None:
        write, counts = SOUND[kind]
        write(tmp_path)
        report = verify(tmp_path, depth)

        assert report == Report(str(tmp_path), depth, *counts, damages=[], notices=[])
        assert report.is_sound

    def test_a_dataset_without_its_manifest_is_judged_by_its_sidecars(self, tmp_path: Path) -> None:
        write_dataset(tmp_path)
        whole = verify(tmp_path)
        (tmp_path / "manifest.json").unlink()

        assert verify(tmp_path) == whole

    def test_a_folder_that_was_moved_is_sound(self, tmp_path: Path) -> None:
        write_dataset(tmp_path / "here", keep_quarantined=True)
        shutil.move(tmp_path / "here", tmp_path / "there")

        assert verify(tmp_path / "there", "decode").is_sound

    def test_every_byte_is_read_unless_told_otherwise(self, tmp_path: Path) -> None:
        write_dataset(tmp_path)

        assert verify(str(tmp_path)) == verify(tmp_path, "checksums")

    @pytest.mark.parametrize("depth", DEPTHS)
    def test_nothing_is_changed(
        self, tmp_path: Path, depth: Literal["quick", "checksums", "decode"]
    ) -> None:
        write_dataset(tmp_path, keep_quarantined=True)
        tar = tmp_path / "images-000001.tar"
        tar.write_bytes(tar.read_bytes()[:-600])
        (tmp_path / ".arrowimg-0.tmp").write_bytes(b"")
        before = state_of(tmp_path)
        report = verify(tmp_path, depth)

        assert not report.is_sound
        assert state_of(tmp_path) == before


class TestNotices:
    @pytest.mark.parametrize("depth", DEPTHS)
    def test_files_that_no_shard_needs_are_no_damage(
        self, tmp_path: Path, depth: Literal["quick", "checksums", "decode"]
    ) -> None:
        write_dataset(tmp_path, keep_quarantined=True)
        for name in (
            ".arrowimg-0123.tmp",
            "images-000009.tar",
            "notes.txt",
            "quarantine-images-000009.tar",
        ):
            (tmp_path / name).write_bytes(b"something")
        (tmp_path / "folder").mkdir()
        report = verify(tmp_path, depth)

        assert report.is_sound
        assert report.notices == [
            ".arrowimg-0123.tmp: a temporary file",
            "images-000009.tar: a tar that no sidecar names",
            "notes.txt: not ours",
            "quarantine-images-000009.tar: quarantined bytes that no sidecar names",
        ]

    def test_a_shard_that_the_manifest_does_not_list_is_no_damage(self, tmp_path: Path) -> None:
        write_dataset(tmp_path)
        shutil.copy(tmp_path / "images-000000.parquet", tmp_path / "images-000003.parquet")
        report = verify(tmp_path)

        assert report.is_sound
        assert report.notices == ["images-000003.parquet: of a shard that is not listed"]

    def test_the_tar_of_a_shard_that_is_not_listed_is_not_called_nobodys(
        self, tmp_path: Path
    ) -> None:
        write_dataset(tmp_path)
        manifest = json.loads((tmp_path / "manifest.json").read_bytes())
        manifest["shards"].pop()
        manifest |= {"num_shards": 2, "num_images": 4, "num_rows": 5}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        report = verify(tmp_path)

        assert report.is_sound
        assert "images-000002.parquet: of a shard that is not listed" in report.notices
        assert "images-000002.tar: a tar that no sidecar names" not in report.notices

    def test_the_tar_of_a_sidecar_that_cannot_be_read_is_not_called_nobodys(
        self, tmp_path: Path
    ) -> None:
        write_dataset(tmp_path)
        sidecar = tmp_path / "images-000001.parquet"
        sidecar.write_bytes(sidecar.read_bytes()[:-9])

        assert verify(tmp_path).notices == []


class TestReport:
    def test_it_is_json(self, tmp_path: Path) -> None:
        write_dataset(tmp_path)
        (tmp_path / "images-000001.tar").unlink()
        (tmp_path / "notes.txt").write_bytes(b"")

        assert json.loads(msgspec.json.encode(verify(tmp_path, "quick"))) == {
            "path": str(tmp_path),
            "depth": "quick",
            "num_shards": 3,
            "num_images": 5,
            "num_rows": 6,
            "damages": [
                {
                    "file": "images-000001.tar",
                    "member": None,
                    "kind": "missing",
                    "detail": "its sidecar names it",
                }
            ],
            "notices": ["notes.txt: not ours"],
        }

    def test_a_damage_says_where_and_what(self, tmp_path: Path) -> None:
        write_dataset(tmp_path)
        (tmp_path / "images-000001.tar").unlink()

        (damage,) = verify(tmp_path).damages
        assert str(damage) == "images-000001.tar: missing: its sidecar names it"


class TestNothingToVerify:
    @pytest.mark.parametrize("what", ["nothing", "no folder", "others' files"])
    def test_a_folder_without_shards_is_refused(self, tmp_path: Path, what: str) -> None:
        if what == "others' files":
            (tmp_path / "a.tar").write_bytes(bytes(1024))
        folder = tmp_path / "nowhere" if what == "no folder" else tmp_path

        with pytest.raises(ManifestError, match="a manifest or sidecars") as caught:
            verify(folder)

        assert caught.value.path == str(folder)

    def test_a_manifest_that_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        write_dataset(tmp_path)
        (tmp_path / "manifest.json").write_bytes(b"{")

        with pytest.raises(ManifestError, match=r"manifest\.json: expected a manifest"):
            verify(tmp_path)

        assert pq.read_metadata(tmp_path / "images-000000.parquet").num_rows == 3
