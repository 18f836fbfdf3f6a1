"""Pictures that keep the contract and cannot be encoded: no row is lost or written twice."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from writer_data import ROWS, dataset, rows_in

from arrowimg import ImageBatch, ImageWriterStage, ShardWriter
from arrowimg._images.codec.opencv import encode_jpegs
from arrowimg._write import encode as _batches
from arrowimg._write import publish
from arrowimg._write.packing.packer import ShardPacker
from arrowimg._write.shard import write_shard
from arrowimg.errors import (
    ArrowimgError,
    BrokenWriterError,
    ErrorCode,
    ImageError,
    Problem,
    StorageError,
)

if TYPE_CHECKING:
    from pathlib import Path

FAILURES = ["no memory", "refused"]


@pytest.fixture(params=FAILURES)
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    """Make the fourth part of a batch fail, once; returns what is raised."""
    calls = itertools.count(1)

    def encode(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # passed on
        number = next(calls)
        made = [*encode_jpegs(*arguments, **options)]
        if number != 4:
            return iter(made)
        if request.param == "no memory":
            raise MemoryError
        return iter([*made[:-1], Problem(ErrorCode.ENCODE_FAILED, "OpenCV's error")])

    monkeypatch.setattr("arrowimg._images.encode.encode_jpegs", encode)
    monkeypatch.setattr(_batches, "_ENCODED_ROWS", 50)
    return MemoryError if request.param == "no memory" else ImageError


def ids_in(folder: Path) -> list[str]:
    return [row["image_id"] for row in rows_in(folder)]


@pytest.mark.parametrize("threads", [1, 2])
class TestWriter:
    def test_a_batch_that_failed_and_comes_again_is_there_once(
        self, tmp_path: Path, failing: type[Exception], threads: int
    ) -> None:
        table = dataset()
        is_refused = False
        try:
            with ShardWriter(tmp_path, 40, encode_threads=threads) as writer:
                with pytest.raises(failing):
                    writer.write(table)
                writer.write(table)
        except ArrowimgError:
            is_refused = True

        if is_refused:
            assert not (tmp_path / "manifest.json").exists()
        else:
            assert ids_in(tmp_path) == table["image_id"].to_pylist()

    def test_a_batch_that_failed_is_there_as_a_whole_or_not_at_all(
        self, tmp_path: Path, failing: type[Exception], threads: int
    ) -> None:
        table = dataset()
        with (
            suppress(ArrowimgError),
            ShardWriter(tmp_path, 40, encode_threads=threads) as writer,
        ):
            writer.write(table[:10])
            with pytest.raises(failing):
                writer.write(table[10:])

        if (tmp_path / "manifest.json").exists():
            assert len(ids_in(tmp_path)) in (10, ROWS)

    def test_where_the_error_leaves_the_block_no_dataset_appears_and_another_run_completes_it(
        self, tmp_path: Path, failing: type[Exception], threads: int
    ) -> None:
        table = dataset()
        with (
            pytest.raises(failing),
            ShardWriter(tmp_path, 40, encode_threads=threads) as writer,
        ):
            writer.write(table)
        is_there = (tmp_path / "manifest.json").exists()
        with ShardWriter(tmp_path, 40) as writer:
            writer.write(table)

        assert not is_there
        assert ids_in(tmp_path) == table["image_id"].to_pylist()


def test_a_writer_that_was_interrupted_takes_no_more_and_makes_no_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:  # noqa: ANN401  # anything
        raise KeyboardInterrupt

    def write() -> None:
        with ShardWriter(tmp_path, 40) as writer:
            writer.write(dataset()[:50])
            with monkeypatch.context() as patched:
                patched.setattr(ShardPacker, "_write", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    writer.write(dataset()[50:])
            with pytest.raises(BrokenWriterError, match="interrupted"):
                writer.write(dataset()[50:])

    with pytest.raises(BrokenWriterError):
        write()

    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("per_tar", [40, 1000])
def test_a_stage_that_failed_completes_its_shards_when_asked_again(
    tmp_path: Path, failing: type[Exception], threads: int, per_tar: int
) -> None:
    batch = ImageBatch(dataset())
    stage = ImageWriterStage(tmp_path, per_tar, encode_threads=threads)
    with pytest.raises(failing):
        stage.process(batch)
    group = stage.process(batch)

    assert group.num_images == ROWS
    assert ids_in(tmp_path) == batch.data["image_id"].to_pylist()


@pytest.mark.parametrize("failing", ["refused"], indirect=True)
@pytest.mark.usefixtures("failing")
def test_what_opencv_refuses_is_quarantined_where_that_is_asked_for(tmp_path: Path) -> None:
    stage = ImageWriterStage(tmp_path, on_error="quarantine", encode_threads=1)
    group = stage.process(ImageBatch(dataset()))
    rows = rows_in(tmp_path)

    assert [row["image_id"] for row in rows] == dataset()["image_id"].to_pylist()
    assert [at for at, row in enumerate(rows) if row["error"]] == [199]
    assert rows[199]["error"] == ErrorCode.ENCODE_FAILED
    assert (group.num_images, group.metadata["num_errors"]) == (ROWS - 1, 1)


def test_what_a_failed_write_left_is_packed_in_shards_when_the_writer_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = [True]

    def failing(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # passed on
        if away and "images-000001" in arguments:
            away.clear()
            raise StorageError(str(tmp_path), "away", 5, None, None)
        return write_shard(*arguments, **options)

    monkeypatch.setattr(publish, "write_shard", failing)
    with ShardWriter(tmp_path, 40) as writer, suppress(StorageError):
        writer.write(dataset())

    assert not away
    sizes = [it["num_rows"] for it in writer.file_group.data.to_pylist() if it["kind"] == "tar"]
    assert sizes[:-1] == [40] * (len(sizes) - 1)
    assert sum(sizes) == len(dataset())
