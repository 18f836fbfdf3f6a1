"""Processes copy what threads copy: the same files, the same errors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from file_data import FILES, JPEG
from folders import content
from worker_data import PoolOfNone

import arrowimg
from arrowimg._reshard.source import open_sources
from arrowimg._storage.local import LocalStorage
from arrowimg.errors import ArrowimgError, ChecksumError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ROWS = 90


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Return a dataset, some of its rows bad."""
    table = pa.table(
        {
            "image_id": [f"i{row}" for row in range(ROWS)],
            "image_data": [FILES[row % 13] if row % 9 == 0 else JPEG for row in range(ROWS)],
            "word": pa.array([f"w{row % 5}" for row in range(ROWS)]).dictionary_encode(),
        }
    )
    arrowimg.write_shards(
        table, tmp_path / "whole", 20, on_error="quarantine", members={"txt": "word"}
    )
    return tmp_path / "whole"


def outcome(whole: Path, name: str, **options: Any) -> object:  # noqa: ANN401  # of reshard
    folder = whole.with_name(name)
    try:
        group = arrowimg.reshard(whole, folder, progress=False, **options)
    except ArrowimgError as error:
        return type(error), str(error)
    return content(folder), group.data["checksum"].to_pylist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"images_per_tar": 7, "where": "error is null"},
        {"images_per_tar": 13, "shuffle_seed": 1, "checksum": "sha256"},
        {"max_bytes_per_tar": 60_000},
    ],
)
def test_what_processes_copy_has_the_bytes_of_one(
    options: dict[str, Any], whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = list[PoolOfNone]()

    def make(count: int, context: object) -> PoolOfNone:
        pools.append(PoolOfNone(count, context))
        return pools[-1]

    monkeypatch.setattr("arrowimg._reshard.shards.WorkerPool", make)

    assert outcome(whole, "three", workers=3, **options) == outcome(whole, "one", **options)
    assert [pool.regions for pool in pools] == [[]]


@pytest.mark.parametrize(("seconds", "pools"), [(0, 1), (20, 0)])
def test_processes_are_chosen_where_much_is_copied_on_many_cores(
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seconds: int,
    pools: int,
) -> None:
    one = outcome(whole, "one")
    made = list[int]()

    def make(count: int, context: object) -> PoolOfNone:
        made.append(count)
        return PoolOfNone(count, context)

    monkeypatch.setattr("arrowimg._reshard.shards.WorkerPool", make)
    monkeypatch.setattr("arrowimg._write.processes.choice.granted_cores", lambda: 6)
    monkeypatch.setattr("arrowimg._write.processes.choice._WORTH_SECONDS", seconds)
    with caplog.at_level(logging.INFO, "arrowimg"):
        chosen = outcome(whole, "chosen")

    assert chosen == one
    assert made == [6] * pools
    assert f"workers: {6 if pools else 1}, for about 0 seconds" in caplog.messages[0]


def test_real_processes_copy(whole: Path) -> None:
    assert outcome(whole, "two", workers=2, images_per_tar=7) == outcome(
        whole, "one", images_per_tar=7
    )


def test_a_damaged_picture_is_the_error_of_one(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowimg._reshard.shards.WorkerPool", PoolOfNone)
    tar = whole / "images-000001.tar"
    data = bytearray(tar.read_bytes())
    data[600:640] = b"x" * 40
    tar.write_bytes(data)

    found = outcome(whole, "two", workers=2)

    assert found == outcome(whole, "one")
    assert isinstance(found, tuple)
    assert found[0] is ChecksumError


def test_what_is_no_number_of_processes_is_refused(whole: Path) -> None:
    with pytest.raises(OptionError, match="workers"):
        arrowimg.reshard(whole, whole.with_name("out"), workers=0)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_shards_come_in_order_whichever_thread_has_which(
    whole: Path, monkeypatch: pytest.MonkeyPatch, *, is_damaged: bool
) -> None:
    if is_damaged:
        tar = whole / "images-000001.tar"
        tar.write_bytes(tar.read_bytes()[:600] + b"x" * 40 + tar.read_bytes()[640:])
    expected = outcome(whole, "expected", images_per_tar=20)

    def last_first(
        function: Callable[[int], object], numbers: Iterator[int], *_: int
    ) -> Iterator[object]:
        # The last call has the first shard, and its result comes last.
        return reversed([function(next(numbers)) for _ in range(8)])

    monkeypatch.setattr("arrowimg._reshard.shards.map_on_threads", last_first)

    assert outcome(whole, "new", images_per_tar=20) == expected


@pytest.mark.parametrize("workers", [2, None])
def test_a_source_that_no_process_can_open_is_copied_by_one(
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    workers: int | None,
) -> None:
    one = outcome(whole, "one", workers=1)
    monkeypatch.setattr("arrowimg._write.processes.choice.granted_cores", lambda: 6)
    monkeypatch.setattr("arrowimg._write.processes.choice._WORTH_SECONDS", 0)

    def refuse(_: LocalStorage, __: object) -> object:
        raise TypeError("a function")  # noqa: EM101, TRY003

    opened = open_sources

    def unsendable(places: Sequence[LocalStorage]) -> object:
        kind = type("Own", (LocalStorage,), {"__reduce_ex__": refuse})
        return opened([kind(place._folder) for place in places])

    monkeypatch.setattr("arrowimg._reshard.reshard.open_sources", unsendable)

    assert outcome(whole, "two", workers=workers) == one
    assert "cannot be sent to them: a function" in caplog.text


def test_merge_takes_workers(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[int]()

    def make(count: int, context: object) -> PoolOfNone:
        made.append(count)
        return PoolOfNone(count, context)

    monkeypatch.setattr("arrowimg._reshard.shards.WorkerPool", make)
    arrowimg.merge([whole], whole.with_name("one"), workers=1)
    arrowimg.merge([whole], whole.with_name("three"), workers=3)

    assert made == [3]
    assert content(whole.with_name("one")) == content(whole.with_name("three"))
