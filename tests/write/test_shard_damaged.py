from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import content
from photographs import SKIMAGE
from PIL import Image
from stage_data import encoded_batch

from arrowimg import ImageBatch, WriteOptions
from arrowimg._storage.open import open_storage
from arrowimg._write import shard as _shards
from arrowimg._write.shard import Shard, write_shard
from arrowimg.errors import ManifestError, ShardConflictError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PHOTOGRAPH = SKIMAGE / "coffee.png"


@pytest.fixture
def batch() -> ImageBatch:
    photograph = np.asarray(Image.open(PHOTOGRAPH))
    windows = np.stack([photograph[at : at + 24, at + 60 : at + 92] for at in range(100, 150, 10)])
    return ImageBatch.from_arrays(windows, list("abcde"), score=np.arange(5.0))


def write(folder: Path, batch: ImageBatch, **options: Any) -> Shard:  # noqa: ANN401  # any option
    chosen = WriteOptions(**options)
    parts = list(encoded_batch(batch, chosen).parts)
    return write_shard(open_storage(folder), "images-a", parts, chosen)


class TestDamaged:
    """What stands there is not what was committed: never "unchanged", never mended silently."""

    @pytest.mark.parametrize("damage", ["missing", "a flipped bit", "cut"])
    @pytest.mark.parametrize("versions", ["same", "other"])
    def test_a_tar_that_is_not_the_sidecars_is_a_conflict(
        self,
        tmp_path: Path,
        batch: ImageBatch,
        monkeypatch: pytest.MonkeyPatch,
        damage: str,
        versions: str,
    ) -> None:
        offered = write(tmp_path, batch)
        tar = tmp_path / "images-a.tar"
        data = bytearray(tar.read_bytes())
        data[700] ^= 1
        if damage == "missing":
            tar.unlink()
        else:
            tar.write_bytes(data if damage == "a flipped bit" else data[:-512])
        before = content(tmp_path)
        if versions == "other":
            monkeypatch.setattr(_shards, "writer_versions", lambda: {"arrowimg": "9"})

        with pytest.raises(ShardConflictError) as caught:
            write(tmp_path, batch)

        is_named = caught.value.path == offered.tar.path
        assert is_named or (versions, caught.value.path) == ("other", offered.parquet.path)
        assert content(tmp_path) == before

    def test_a_sidecar_of_damaged_rows_is_a_conflict(
        self, tmp_path: Path, batch: ImageBatch
    ) -> None:
        write(tmp_path, batch)
        path = tmp_path / "images-a.parquet"
        data = path.read_bytes()
        path.write_bytes(data[:100] + bytes(200) + data[300:])
        before = content(tmp_path)

        with pytest.raises(ShardConflictError, match=r"images-a\.parquet"):
            write(tmp_path, batch)

        assert content(tmp_path) == before

    @pytest.mark.parametrize("if_exists", ["verify", "skip", "error"])
    def test_a_file_of_somebody_else_in_the_sidecars_place_is_refused(
        self, tmp_path: Path, batch: ImageBatch, if_exists: str
    ) -> None:
        pq.write_table(pa.table({"a": [1]}), tmp_path / "images-a.parquet")
        before = content(tmp_path)

        with pytest.raises((ManifestError, ShardConflictError), match=r"images-a\.parquet"):
            write(tmp_path, batch, if_exists=if_exists)

        assert content(tmp_path) == before


@pytest.fixture
def fail_syncs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[int]]]:
    """Make the first so many fsyncs fail; gives a list of the inodes that fsync was called for."""
    fsync, inodes, kept = os.fsync, list[int](), list[int]()

    def start(times: int) -> list[int]:
        def failing(descriptor: int) -> None:
            inodes.append(os.fstat(descriptor).st_ino)
            if len(inodes) <= times:
                # Held on to, so that no other file is given the same number.
                kept.append(os.dup(descriptor))
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", failing)
        return inodes

    yield start
    for descriptor in kept:
        os.close(descriptor)


class TestRestaged:
    @pytest.mark.parametrize("kind", ["unnamed", "named"])
    def test_a_file_that_could_not_be_synced_is_written_anew(
        self,
        tmp_path: Path,
        batch: ImageBatch,
        monkeypatch: pytest.MonkeyPatch,
        fail_syncs: Callable[[int], list[int]],
        kind: str,
    ) -> None:
        write(tmp_path / "whole", batch)
        if kind == "named":
            monkeypatch.delattr(os, "O_TMPFILE")
        inodes = fail_syncs(1)
        shard = write(tmp_path / "out", batch)

        assert not shard.unchanged
        assert inodes.count(inodes[0]) == 1
        assert content(tmp_path / "out") == content(tmp_path / "whole")

    def test_a_second_failure_is_an_error_and_leaves_nothing(
        self, tmp_path: Path, batch: ImageBatch, fail_syncs: Callable[[int], list[int]]
    ) -> None:
        inodes = fail_syncs(2)

        with pytest.raises(StorageError, match="Input/output error") as caught:
            write(tmp_path, batch)

        assert caught.value.path == str(tmp_path)
        assert len(set(inodes)) == len(inodes) == 2
        assert content(tmp_path) == {}
