"""The packer writes the shards of a batch while the next one is encoded, and loses no row."""

from __future__ import annotations

import errno
import subprocess
import sys
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from index_data import jpegs
from PIL import Image

import arrowimg
from arrowimg import ShardWriter
from arrowimg._images.batch import ImageBatch
from arrowimg._write import publish
from arrowimg._write.packing import packer
from arrowimg._write.packing.packer import ShardPacker
from arrowimg._write.packing.plan import PartStream
from arrowimg._write.packing.under_way import ShardsUnderWay
from arrowimg._write.shard import write_shard
from arrowimg.errors import BrokenWriterError, ErrorFractionError, ImageError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arrowimg._write.shard import Shard

PER_TAR = 4
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)


@pytest.fixture(autouse=True)
def _side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other threads write shards that are as small as those here."""
    monkeypatch.setattr(packer, "_LEAST_NBYTES", 0)


def batch(first: int, last: int) -> ImageBatch:
    ids = [f"id{row:03}" for row in range(first, last)]
    return ImageBatch.from_arrays(PIXELS[first:last], ids)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def tars_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.tar"))


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("cuts", [(40,), (7, 40), (1, 2, 3, 9, 9, 40), (20, 20, 21, 40)])
def test_however_the_rows_come_the_files_are_those_of_one_batch(
    tmp_path: Path, cuts: tuple[int, ...], threads: int
) -> None:
    with ShardWriter(tmp_path / "one", PER_TAR) as writer:
        writer.write(batch(0, 40))
    with ShardWriter(tmp_path / "many", PER_TAR, encode_threads=threads) as writer:
        for first, last in zip((0, *cuts), cuts, strict=False):
            writer.write_ahead(batch(first, last))

    assert files_in(tmp_path / "one") == files_in(tmp_path / "many")


def test_a_batch_that_is_written_is_there_and_one_that_is_written_ahead_when_the_next_came(
    tmp_path: Path,
) -> None:
    with ShardWriter(tmp_path, PER_TAR, encode_threads=2) as writer:
        writer.write(batch(0, 9))
        written = tars_in(tmp_path)
        writer.write_ahead(batch(9, 18))
        ahead = tars_in(tmp_path)
        writer.write_ahead(batch(18, 20))
        after = tars_in(tmp_path)

    assert [len(written), len(ahead), len(after)] == [2, 2, 4]
    assert len(tars_in(tmp_path)) == 5


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_what_is_wrong_with_a_batch_does_not_keep_back_the_one_before(
    tmp_path: Path, threads: int
) -> None:
    good, bad = (
        ImageBatch(pa.table({"image_id": ids, "image_data": pa.array(files, pa.binary())}))
        for ids, files in (([f"id{row}" for row in range(10)], jpegs(10)), (["bad"], [b"none"]))
    )

    with pytest.raises(ImageError, match="bad"):  # noqa: SIM117, PT012  # one thing after the other
        with ShardWriter(tmp_path, PER_TAR, encode_threads=threads) as writer:
            writer.write_ahead(good)
            writer.write_ahead(bad)

    # The last two rows did not fill a shard.
    assert tars_in(tmp_path) == ["images-000000.tar", "images-000001.tar"]
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_what_ends_the_source_does_not_keep_back_a_batch_that_came(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    def batches() -> Iterator[ImageBatch]:
        yield batch(0, 9)
        raise kind

    with pytest.raises(kind):
        arrowimg.write_shards(batches(), tmp_path, PER_TAR, progress=False)

    assert tars_in(tmp_path) == ["images-000000.tar", "images-000001.tar"]
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_what_ends_the_block_does_not_keep_back_a_batch_that_was_written_ahead(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    def write() -> None:
        with ShardWriter(tmp_path, PER_TAR, encode_threads=2) as writer:
            writer.write_ahead(batch(0, 9))
            raise kind

    with pytest.raises(kind):
        write()

    assert tars_in(tmp_path) == ["images-000000.tar", "images-000001.tar"]
    assert not (tmp_path / "manifest.json").exists()


def test_an_interrupt_while_shards_are_waited_for_ends_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: ShardsUnderWay) -> None:
        raise KeyboardInterrupt

    def write() -> None:
        with ShardWriter(tmp_path, PER_TAR) as writer:
            with monkeypatch.context() as patch:
                patch.setattr(ShardsUnderWay, "settle", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    writer.write(batch(0, 3))
            writer.write(batch(3, 9))

    with pytest.raises(BrokenWriterError, match="interrupted"):
        write()

    assert not (tmp_path / "manifest.json").exists()


def test_no_dataset_is_made_of_fewer_rows_than_were_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShardPacker, "begin", lambda *_: None)
    writer = ShardWriter(tmp_path, PER_TAR)

    with pytest.raises(BrokenWriterError, match="9 rows were counted, 0 are in the shards"), writer:
        writer.write(batch(0, 9))

    assert not (tmp_path / "manifest.json").exists()


def test_rows_that_were_refused_for_too_many_errors_may_come_again_mended(tmp_path: Path) -> None:
    ids = [f"more{row}" for row in range(1200)]
    bad = pa.table({"image_id": ids, "image_data": pa.array([b"none"] * 1200, pa.binary())})
    mended = ImageBatch.from_arrays(np.zeros((1200, 8, 8, 3), np.uint8), ids)

    writer = ShardWriter(tmp_path, 500, on_error="quarantine", max_error_fraction=0.5)
    with writer:
        writer.write(batch(0, 9))
        with pytest.raises(ErrorFractionError):
            writer.write(bad)
        writer.write(mended)

    assert writer.file_group.num_images == 1209


FORKED = """
import os, signal, sys
import numpy as np, arrowimg
images, out = np.zeros((40, 16, 16, 3), np.uint8), sys.argv[1]
with arrowimg.ShardWriter(out, 4, encode_threads=2) as writer:
    writer.write_ahead(arrowimg.ImageBatch.from_arrays(images))
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        sys.exit(7)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), os.path.exists(out))
print(writer.file_group.num_images)
"""


def test_a_forked_child_that_ends_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)

    assert ended.stdout.split() == ["7", "False", "40"]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_source_may_read_each_batch_into_the_same_memory(tmp_path: Path, threads: int) -> None:
    memory = np.empty((40, 64, 64, 3), np.uint8)

    def batches() -> Iterator[ImageBatch]:
        for number in range(4):
            memory[:] = 60 * number
            yield ImageBatch.from_arrays(memory, [f"{number}-{row}" for row in range(40)])

    arrowimg.write_shards(batches(), tmp_path, 25, encode_threads=threads, progress=False)

    for tar in tmp_path.glob("*.tar"):
        with tarfile.open(tar) as file:
            for member in file:
                with Image.open(file.extractfile(member)) as picture:  # type: ignore[arg-type]
                    expected = 60 * int(member.name.partition("-")[0])
                    assert abs(picture.getpixel((9, 9))[0] - expected) < 3  # type: ignore[index]


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt])
def test_no_dataset_is_made_when_a_batch_was_lost_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    def lost(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise kind

    def write() -> None:
        with ShardWriter(tmp_path, PER_TAR) as writer:
            writer.write(batch(0, 9))
            with monkeypatch.context() as patch:
                patch.setattr(packer, "shards_at_once", lost)
                with pytest.raises(kind):
                    writer.write(batch(9, 18))

    with pytest.raises(BrokenWriterError, match="interrupted"):
        write()

    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("failing", [0, 2, 5, 9])
def test_rows_of_a_shard_that_could_not_be_written_come_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, failing: int
) -> None:
    with ShardWriter(tmp_path / "whole", PER_TAR) as writer:
        writer.write(batch(0, 40))
    failures = [f"images-{failing:06}"]

    def writing(storage: Any, name: str, *arguments: Any, **options: Any) -> Shard:  # noqa: ANN401
        if name in failures:
            failures.remove(name)
            raise StorageError(name, "full", errno.ENOSPC, None, None)
        return write_shard(storage, name, *arguments, **options)

    monkeypatch.setattr(publish, "write_shard", writing)
    writer = ShardWriter(tmp_path / "again", PER_TAR, encode_threads=threads)
    is_refused = True
    with suppress(StorageError):
        with writer:
            for first in range(0, 40, 8):
                with suppress(StorageError):
                    writer.write_ahead(batch(first, first + 8))
        is_refused = False

    assert not failures
    if is_refused:
        assert failing > 4, "there was a further call"
        assert not (tmp_path / "again" / "manifest.json").exists()
    else:
        assert files_in(tmp_path / "again") == files_in(tmp_path / "whole")


def test_a_writer_refuses_more_after_rows_were_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise MemoryError

    def write() -> None:
        with ShardWriter(tmp_path, PER_TAR) as writer:
            writer.write_ahead(batch(0, 9))
            with monkeypatch.context() as patch:
                patch.setattr(PartStream, "take", no_memory)
                patch.setattr(PartStream, "rest", lambda _: [])
                with pytest.raises(MemoryError):
                    writer.write_ahead(batch(9, 12))
            writer.write_ahead(batch(12, 20))

    with pytest.raises(BrokenWriterError):
        write()

    assert not (tmp_path / "manifest.json").exists()
