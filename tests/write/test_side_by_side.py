"""Shards of one call are written side by side, in order, and none is lost when one fails."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from index_data import jpegs

import arrowimg
from arrowimg import ImageBatch
from arrowimg._write import publish
from arrowimg._write import stage as _stage
from arrowimg._write.shard import write_shard
from arrowimg.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from arrowimg._write.shard import Shard

NUM_ROWS, AT_ONCE = 24, 3
IDS = [f"id{row:03}" for row in range(NUM_ROWS)]
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM_ROWS, 16, 16, 3), np.uint8)
FILES = pa.table({"image_id": IDS, "image_data": pa.array(jpegs(NUM_ROWS), pa.binary())})

# One thread writes what four encode, and each thread what is copied.
CASES = [
    pytest.param(ImageBatch.from_arrays(PIXELS, IDS), 8, id="encoded"),
    pytest.param(ImageBatch(FILES), AT_ONCE, id="copied"),
]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> threading.Barrier:
    """Let no shard be written before as many have begun as shall be written side by side."""
    barrier = threading.Barrier(AT_ONCE, timeout=60)

    def writing(*arguments: Any, **options: Any) -> Shard:  # noqa: ANN401  # passed on
        if threading.current_thread() is not threading.main_thread():
            barrier.wait()
        return write_shard(*arguments, **options)

    monkeypatch.setattr(publish, "write_shard", writing)
    monkeypatch.setattr(_stage, "write_shard", writing)
    return barrier


@pytest.mark.parametrize(("batch", "threads"), CASES)
def test_a_stage_writes_the_bytes_of_one_thread(
    tmp_path: Path, meeting: threading.Barrier, batch: ImageBatch, threads: int
) -> None:
    groups = [
        arrowimg.ImageWriterStage(tmp_path / str(number), 4, encode_threads=number).process(batch)
        for number in (1, threads)
    ]
    paths = [[path.rpartition("/")[2] for path in group.tar_paths] for group in groups]

    assert not meeting.broken
    assert paths[0] == paths[1] == sorted(paths[0])
    assert files_in(tmp_path / "1") == files_in(tmp_path / str(threads))


@pytest.mark.parametrize(("batch", "threads"), CASES)
def test_all_shards_that_a_call_fills_are_there_when_it_returns(
    tmp_path: Path, meeting: threading.Barrier, batch: ImageBatch, threads: int
) -> None:
    for number in (1, threads):
        with arrowimg.ShardWriter(tmp_path / str(number), 3, encode_threads=number) as writer:
            # Six full shards beside the one that waits for more rows.
            writer.write(ImageBatch(batch.data.slice(0, 20)))
            assert len(list((tmp_path / str(number)).glob("*.parquet"))) == 6
            writer.write(ImageBatch(batch.data.slice(20)))

    assert not meeting.broken
    assert files_in(tmp_path / "1") == files_in(tmp_path / str(threads))


@pytest.mark.parametrize(("batch", "threads"), CASES)
@pytest.mark.parametrize("failing", ["images-000000", "images-000003", "images-000005"])
def test_a_shard_that_failed_is_written_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: ImageBatch, threads: int, failing: str
) -> None:
    failures = [failing]

    def writing(storage: Any, name: str, *arguments: Any, **options: Any) -> Shard:  # noqa: ANN401
        if name in failures:
            failures.remove(name)
            raise StorageError(name, "no space left", 28, 0, 0)
        return write_shard(storage, name, *arguments, **options)

    monkeypatch.setattr(publish, "write_shard", writing)
    with arrowimg.ShardWriter(tmp_path / "out", 3, encode_threads=threads) as writer:
        with pytest.raises(StorageError, match="no space left"):
            writer.write(ImageBatch(batch.data.slice(0, 20)))
        writer.write(ImageBatch(batch.data.slice(20)))
    arrowimg.write_shards(batch, tmp_path / "whole", 3, encode_threads=1)

    assert not failures
    assert files_in(tmp_path / "out") == files_in(tmp_path / "whole")
