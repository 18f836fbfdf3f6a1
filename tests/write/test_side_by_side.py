"""Shards of one batch are written side by side, in order."""

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
from arrowimg._write.packing import packer
from arrowimg._write.shard import write_shard

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
def meetings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let no shard be written before as many have begun as shall be written side by side."""
    barrier = threading.Barrier(AT_ONCE, action=lambda: met.append(AT_ONCE), timeout=60)
    met = list[int]()

    def writing(*arguments: Any, **options: Any) -> Shard:  # noqa: ANN401  # passed on
        if threading.current_thread() is not threading.main_thread():
            barrier.wait()
        return write_shard(*arguments, **options)

    monkeypatch.setattr(_stage, "write_shard", writing)
    monkeypatch.setattr(publish, "write_shard", writing)
    monkeypatch.setattr(packer, "_LEAST_NBYTES", 0)
    return met


@pytest.mark.parametrize(("batch", "threads"), CASES)
def test_a_stage_writes_the_bytes_of_one_thread(
    tmp_path: Path, meetings: list[int], batch: ImageBatch, threads: int
) -> None:
    groups = [
        arrowimg.ImageWriterStage(tmp_path / str(number), 4, encode_threads=number).process(batch)
        for number in (1, threads)
    ]
    paths = [[path.rpartition("/")[2] for path in group.tar_paths] for group in groups]

    assert meetings == [AT_ONCE] * 2
    assert paths[0] == paths[1] == sorted(paths[0])
    assert files_in(tmp_path / "1") == files_in(tmp_path / str(threads))


@pytest.mark.parametrize(("batch", "threads"), CASES)
def test_a_writer_writes_the_bytes_of_one_thread(
    tmp_path: Path, meetings: list[int], batch: ImageBatch, threads: int
) -> None:
    for number in (1, threads):
        out = tmp_path / str(number)
        arrowimg.write_shards(batch, out, 4, progress=False, encode_threads=number)

    assert meetings == [AT_ONCE] * 2
    assert files_in(tmp_path / "1") == files_in(tmp_path / str(threads))


def test_no_thread_is_handed_a_tiny_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idents = set[int]()

    def writing(*arguments: Any, **options: Any) -> Shard:  # noqa: ANN401  # passed on
        idents.add(threading.get_ident())
        return write_shard(*arguments, **options)

    monkeypatch.setattr(publish, "write_shard", writing)
    arrowimg.write_shards(FILES, tmp_path, 4, progress=False, encode_threads=AT_ONCE)

    assert idents == {threading.get_ident()}
