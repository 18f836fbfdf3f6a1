from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import JPEG
from folders import content
from worker_data import PoolOfNone

from arrowimg import write_shards
from arrowimg._storage.open import open_storage
from arrowimg._write.processes.choice import chosen_workers
from arrowimg._write.sources.source import Source

if TYPE_CHECKING:
    from pathlib import Path

MUCH = (10**7, 10**11)


@pytest.mark.parametrize(
    ("cores", "rows", "nbytes", "workers"),
    [
        (2, *MUCH, 1),
        (4, *MUCH, 1),
        (8, *MUCH, 8),
        (16, *MUCH, 16),
        (16, 1000, 10**7, 1),
        (16, None, None, 1),
        (16, 10**7, None, 1),
        (16, 0, 0, 1),
        (8, 10**5, 10**11, 1),
        (16, 10**5, 10**11, 16),
    ],
)
def test_processes_are_chosen_where_threads_cannot(
    cores: int,
    rows: int | None,
    nbytes: int | None,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("arrowimg._write.processes.choice.granted_cores", lambda: cores)

    assert chosen_workers(rows, nbytes) == workers


def test_bytes_are_those_of_files(tmp_path: Path) -> None:
    table = pa.table({"image_data": [JPEG] * 9})
    pq.write_table(table, tmp_path / "images.parquet")
    for row in range(9):
        (tmp_path / f"{row}.jpg").write_bytes(JPEG)

    assert (
        Source(tmp_path / "images.parquet").nbytes == (tmp_path / "images.parquet").stat().st_size
    )
    assert Source(tmp_path).nbytes == 9 * len(JPEG)
    assert Source(table).nbytes is None
    assert Source([tmp_path, table]).nbytes is None


def test_what_was_chosen_is_logged_and_writes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pq.write_table(pa.table({"image_data": [JPEG] * 9}), tmp_path / "images.parquet")
    write_shards(tmp_path / "images.parquet", tmp_path / "one", 4, progress=False)
    monkeypatch.setattr("arrowimg._write.processes.choice.granted_cores", lambda: 6)
    monkeypatch.setattr("arrowimg._write.processes.choice._WORTH_SECONDS", 0)
    monkeypatch.setattr("arrowimg._write.processes.line.WorkerPool", PoolOfNone)
    opened = list[object]()

    def counted(place: Any, *told: Any, **named: Any) -> Any:  # noqa: ANN401  # of the function
        opened.append(place)
        return open_storage(place, *told, **named)

    monkeypatch.setattr("arrowimg._write.publish.open_storage", counted)

    with caplog.at_level(logging.INFO, "arrowimg"):
        write_shards(tmp_path / "images.parquet", tmp_path / "six", 4, progress=False)

    assert opened == [tmp_path / "six"]
    assert caplog.messages == ["workers: 6, for about 0 seconds of work for one core, and 6 cores"]
    assert content(tmp_path / "six") == content(tmp_path / "one")
