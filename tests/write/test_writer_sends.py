"""A writer sends several shards to an object store at once, and loses none that failed."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from index_data import jpegs

import arrowimg
from arrowimg._write import publish
from arrowimg._write.shard import write_shard
from arrowimg.errors import NotFinishedError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from store_servers import Server, Servers

    from arrowimg._write.shard import Shard

NUM_ROWS = 24
PICTURES = jpegs(NUM_ROWS)


@pytest.fixture(scope="module")
def server(servers: Servers) -> Server:
    made = servers.get("moto")
    made.bucket("sends").close()
    return made


@pytest.fixture
def writer(server: Server) -> arrowimg.ShardWriter:
    place = server.url("sends", uuid.uuid4().hex)
    return arrowimg.ShardWriter(place, 2, storage_options=server.options())


def rows(first: int, last: int) -> pl.DataFrame:
    ids = [f"id{row:03}" for row in range(first, last)]
    return pl.DataFrame({"image_id": ids, "image_data": PICTURES[first:last]})


def check_whole(writer: arrowimg.ShardWriter, server: Server, folder: Path) -> None:
    """Compare what was sent with the same, written to a folder."""
    with arrowimg.ShardWriter(folder, 2) as local:
        local.write(rows(0, NUM_ROWS))
    said = ["kind", "num_rows", "nbytes", "checksum"]
    assert writer.file_group.data.select(said).equals(local.file_group.data.select(said))
    assert arrowimg.verify(str(writer.output_dir), storage_options=server.options()).is_sound


def test_three_shards_are_sent_while_the_next_is_made(
    writer: arrowimg.ShardWriter, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_there = threading.Barrier(3, timeout=60)

    def writing(*arguments: Any, **options: Any) -> Shard:  # noqa: ANN401  # passed on
        if threading.current_thread() is not threading.main_thread():
            # Twelve shards: three at a time come as far as this.
            all_there.wait()
        return write_shard(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(publish, "write_shard", writing)
        with writer:
            writer.write(rows(0, NUM_ROWS))
    check_whole(writer, server, tmp_path / "out")


def test_a_shard_that_failed_is_sent_again_by_the_next_call(
    writer: arrowimg.ShardWriter, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = ["images-000001", "images-000001", "images-000006"]
    lock = threading.Lock()

    def failing(storage: Any, name: str, *arguments: Any, **options: Any) -> Shard:  # noqa: ANN401
        with lock:
            if name in failures:
                failures.remove(name)
                raise StorageError(name, "away", 5, None, None)
        return write_shard(storage, name, *arguments, **options)

    monkeypatch.setattr(publish, "write_shard", failing)
    num_errors, first = 0, 0
    with writer:
        while first < NUM_ROWS:
            try:
                writer.write(rows(first, first + 4))
            except StorageError:
                num_errors += 1
            first += 4
    assert num_errors == 3
    assert not failures
    check_whole(writer, server, tmp_path / "out")


def test_an_exception_waits_for_what_was_sent_and_commits_no_manifest(
    writer: arrowimg.ShardWriter, server: Server
) -> None:
    def stop() -> None:
        message = "stop"
        raise RuntimeError(message)

    with suppress(RuntimeError), writer:
        writer.write(rows(0, 7))
        stop()
    with pytest.raises(NotFinishedError):
        writer.file_group.data.validate()
    found = arrowimg.scan(str(writer.output_dir), storage_options=server.options()).collect()
    assert found["image_id"].to_list() == [f"id{row:03}" for row in range(6)]
