from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from folders import content, state_of
from photographs import SKIMAGE
from PIL import Image
from stage_data import encoded_batch

from arrowimg import ImageBatch, JpegOptions, WriteOptions
from arrowimg._storage.open import open_storage
from arrowimg._write import shard as _shards
from arrowimg._write.shard import Shard, write_shard
from arrowimg.errors import (
    DatasetConflictError,
    ShardConflictError,
)

PHOTOGRAPH = SKIMAGE / "coffee.png"
COUNT = 5


@pytest.fixture(scope="module")
def windows() -> np.ndarray[Any, np.dtype[np.uint8]]:
    photograph = np.asarray(Image.open(PHOTOGRAPH))
    return np.stack([photograph[at : at + 24, at + 60 : at + 92] for at in range(100, 160, 10)])


@pytest.fixture
def batch(windows: np.ndarray[Any, np.dtype[np.uint8]]) -> ImageBatch:
    return ImageBatch.from_arrays(windows[:COUNT], list("abcde"), score=np.arange(5.0))


def write(folder: Path, batch: ImageBatch, **options: Any) -> Shard:  # noqa: ANN401  # any option
    chosen = WriteOptions(**options)
    parts = list(encoded_batch(batch, chosen).parts)
    return write_shard(open_storage(folder), "images-a", parts, chosen)


def footer_of(path: Path) -> dict[str, Any]:
    footer: dict[str, Any] = json.loads(pq.read_metadata(path).metadata[b"arrowimg"])
    return footer


class TestCommitted:
    def test_a_shard_says_what_stands_there(self, tmp_path: Path, batch: ImageBatch) -> None:
        shard = write(tmp_path, batch)

        written = content(tmp_path)
        assert sorted(written) == ["images-a.parquet", "images-a.tar"]
        assert not shard.unchanged
        assert [
            (file.path, file.kind, file.num_images, file.num_rows, file.nbytes, file.checksum)
            for file in (shard.tar, shard.parquet)
        ] == [
            (str(tmp_path / name), kind, 5, 5, len(data), xxhash.xxh3_128_hexdigest(data))
            for kind in ("tar", "parquet")
            for name, data in [(f"images-a.{kind}", written[f"images-a.{kind}"])]
        ]

    @pytest.mark.parametrize("if_exists", ["verify", "skip"])
    def test_the_same_again_is_unchanged(
        self, tmp_path: Path, batch: ImageBatch, if_exists: Literal["verify", "skip"]
    ) -> None:
        first = write(tmp_path, batch)
        before = state_of(tmp_path)
        again = write(tmp_path, batch, if_exists=if_exists)

        assert again == Shard(first.tar, first.parquet, None, unchanged=True)
        assert state_of(tmp_path) == before

    @pytest.mark.parametrize("remove", [True, False])
    def test_the_same_rows_written_by_other_versions_stay_as_they_are(
        self,
        tmp_path: Path,
        batch: ImageBatch,
        monkeypatch: pytest.MonkeyPatch,
        remove: bool,  # noqa: FBT001
    ) -> None:
        first = write(tmp_path, batch, remove_image_data=remove)
        before = state_of(tmp_path)
        monkeypatch.setattr(_shards, "writer_versions", lambda: {"arrowimg": "9", "pyarrow": "99"})
        again = write(tmp_path, batch, remove_image_data=remove)

        sidecar = before["images-a.parquet"][2]
        assert again == Shard(first.tar, first.parquet, None, unchanged=True)
        assert again.parquet.checksum == xxhash.xxh3_128_hexdigest(sidecar)
        assert state_of(tmp_path) == before

    def test_other_options_are_refused_with_what_differs(
        self, tmp_path: Path, batch: ImageBatch
    ) -> None:
        write(tmp_path, batch)
        before = state_of(tmp_path)

        with pytest.raises(DatasetConflictError) as caught:
            write(tmp_path, batch, checksum="sha256", images_per_tar=7)

        assert caught.value.path == str(tmp_path / "images-a.parquet")
        assert caught.value.differences == (
            "checksum: 'xxh3_128' there, 'sha256' here",
            "images_per_tar: 1000 there, 7 here",
        )
        assert state_of(tmp_path) == before

    @pytest.mark.parametrize("what", ["pictures", "column", "ids", "fewer"])
    def test_other_content_is_a_conflict_with_both_checksums(
        self,
        tmp_path: Path,
        windows: np.ndarray[Any, np.dtype[np.uint8]],
        batch: ImageBatch,
        what: str,
    ) -> None:
        other = {
            "pictures": ImageBatch.from_arrays(windows[1:], list("abcde"), score=np.arange(5.0)),
            "column": ImageBatch.from_arrays(windows[:5], list("abcde"), score=np.ones(5)),
            "ids": ImageBatch.from_arrays(windows[:5], list("abcdf"), score=np.arange(5.0)),
            "fewer": ImageBatch(batch.data[:4]),
        }[what]
        committed = write(tmp_path / "out", batch)
        offered = write(tmp_path / "elsewhere", other)
        before = state_of(tmp_path / "out")

        with pytest.raises(ShardConflictError) as caught:
            write(tmp_path / "out", other)

        assert (caught.value.path, caught.value.committed, caught.value.offered) == (
            committed.parquet.path,
            committed.parquet.checksum,
            offered.parquet.checksum,
        )
        assert state_of(tmp_path / "out") == before

    def test_error_refuses_and_overwrite_replaces(
        self, tmp_path: Path, windows: np.ndarray[Any, np.dtype[np.uint8]], batch: ImageBatch
    ) -> None:
        write(
            tmp_path / "out",
            ImageBatch.from_arrays(windows, list("uvwxyz")),
            jpeg=JpegOptions(quality=50),
        )
        before = state_of(tmp_path / "out")

        with pytest.raises(ShardConflictError, match=r"images-a\.parquet"):
            write(tmp_path / "out", batch, if_exists="error")
        unharmed = state_of(tmp_path / "out")
        shard = write(tmp_path / "out", batch, if_exists="overwrite", checksum="sha256")
        write(tmp_path / "fresh", batch, checksum="sha256")

        assert unharmed == before
        assert not shard.unchanged
        assert content(tmp_path / "out") == content(tmp_path / "fresh")


class TestFiles:
    def test_members_stand_sample_by_sample_extensions_in_order(
        self, tmp_path: Path, windows: np.ndarray[Any, np.dtype[np.uint8]]
    ) -> None:
        thumbs = [f"thumb {at}".encode() * 99 for at in range(5)]
        batch = ImageBatch.from_arrays(
            windows[:5], list("abcde"), thumb=thumbs, caption=[f"c{at}" for at in range(5)]
        )
        members = {"txt": "caption", "thumb.jpg": "thumb", "a.jpg": "thumb", "json": ["caption"]}
        shard = write(tmp_path, batch, members=members)

        rows = pq.read_table(shard.parquet.path).to_pylist()
        extensions = ["a.jpg", "jpg", "json", "thumb.jpg", "txt"]
        with tarfile.open(shard.tar.path) as tar:
            found = {member.name: member for member in tar}
        assert list(found) == [f"{key}.{name}" for key in "abcde" for name in extensions]
        assert [(row["offset"], row["size"]) for row in rows] == [
            (found[f"{key}.jpg"].offset_data, found[f"{key}.jpg"].size) for key in "abcde"
        ]
        tar_bytes = Path(shard.tar.path).read_bytes()
        assert [
            xxhash.xxh3_128_digest(tar_bytes[row["offset"] : row["offset"] + row["size"]])
            for row in rows
        ] == [row["checksum"] for row in rows]

    def test_a_sample_without_picture_has_no_member_at_all(
        self, tmp_path: Path, windows: np.ndarray[Any, np.dtype[np.uint8]]
    ) -> None:
        batch = ImageBatch.from_arrays([windows[0], None, windows[1]], list("abc"), text=["x"] * 3)
        shard = write(tmp_path, batch, members={"txt": "text"}, on_error="quarantine")

        with tarfile.open(shard.tar.path) as tar:
            assert tar.getnames() == ["a.jpg", "a.txt", "c.jpg", "c.txt"]
        offsets = pq.read_table(shard.parquet.path)["offset"].to_pylist()
        assert (offsets[0], offsets[1]) == (512, None)

    def test_the_footer_names_tar_and_quarantine_with_size_and_checksum(
        self, tmp_path: Path
    ) -> None:
        torn = [b"\xff\xd8\xff", None, b"<html>"]
        batch = ImageBatch(pa.table({"image_id": list("abc"), "image_data": torn}))
        write(tmp_path, batch, on_error="quarantine", keep_quarantined=True, checksum="sha256")

        footer = footer_of(tmp_path / "images-a.parquet")
        for kind, name in (("tar", "images-a.tar"), ("quarantine", "quarantine-images-a.tar")):
            path = tmp_path / name
            described = [footer[f"{kind}_{what}"] for what in ("file", "nbytes", "checksum")]
            assert described == [name, path.stat().st_size, sha256_of(path)]
        with tarfile.open(tmp_path / "quarantine-images-a.tar") as tar:
            kept = {member.name: read(tar, member) for member in tar}
        assert kept == {"a.truncated": torn[0], "c.unknown_format": torn[2]}

    @pytest.mark.parametrize("keep", [True, False])
    def test_without_anything_to_keep_there_is_no_quarantine_tar(
        self,
        tmp_path: Path,
        windows: np.ndarray[Any, np.dtype[np.uint8]],
        keep: bool,  # noqa: FBT001
    ) -> None:
        batch = ImageBatch.from_arrays([windows[0], None], ["a", "b"])
        write(tmp_path, batch, on_error="quarantine", keep_quarantined=keep)

        footer = footer_of(tmp_path / "images-a.parquet")
        assert {footer[f"quarantine_{what}"] for what in ("file", "nbytes", "checksum")} == {None}
        assert sorted(content(tmp_path)) == ["images-a.parquet", "images-a.tar"]


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()
