"""Storages, files and memory for the tests of the storage room."""

from __future__ import annotations

import atexit
import uuid
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
import xxhash
from store_servers import start

from arrowimg._storage.base import CommittedFile
from arrowimg._storage.memory import MemoryStorage
from arrowimg._storage.object_store.look import look
from arrowimg._storage.object_store.storage import ObjectStorage
from arrowimg._storage.open import open_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arrowimg._storage.base import Commit, IfExists, Storage

Files = dict[str, bytes]

PAIR = {"a.tar": b"tar" * 1000, "a.parquet": b"parquet"}
SINGLE = {"manifest.json": b"{}"}
OTHERS: list[Files] = [
    {"a.tar": b"other" * 1000, "a.parquet": b"other parquet"},
    {"manifest.json": b"[]"},
]

STORAGES = ("local", "memory", "moto")


def new_storage(kind: str, folder: Path) -> Storage:
    """Return an empty storage of a kind; a local one is a folder below `folder`."""
    if kind == "moto":
        return open_storage(f"s3://storages/{uuid.uuid4().hex}", moto_options())
    return MemoryStorage() if kind == "memory" else open_storage(folder / "storage")


@cache
def moto_options() -> dict[str, str]:
    """Start an S3 server that ends with this process; return what its clients are told."""
    running = ExitStack()
    atexit.register(running.close)
    folder = Path(running.enter_context(TemporaryDirectory()))
    server = running.enter_context(start("moto", folder))
    server.bucket("storages").close()
    return server.options()


def commit(
    storage: Storage,
    files: Files,
    if_exists: IfExists = "verify",
    is_same: Callable[[], bool] | None = None,
) -> Commit:
    """Commit files, the last one as the record."""
    with storage.begin("xxh3_128") as transaction:
        for name, data in files.items():
            transaction.create(name).write(data)
        return transaction.publish(if_exists, is_same)


def put(storage: Storage, name: str, data: bytes) -> None:
    """Have a file be there, whatever was before."""
    commit(storage, {name: data}, "overwrite")


def files_in(storage: Storage) -> Files:
    """Return what is visible."""
    found = {}
    for name in storage.names():
        with storage.open(name) as file:
            found[name] = file.read()
    return found


def fingerprints(storage: Storage) -> dict[str, object]:
    """Return of each file what is another as soon as it is written again, be it the same bytes."""
    if isinstance(storage, MemoryStorage):
        return {path: id(entry) for path, entry in storage._contents.items()}
    if isinstance(storage, ObjectStorage):
        return {name: look(storage, name).mark for name in storage.names()}
    stats = {name: Path(storage.path_of(name)).stat() for name in storage.names()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def described(files: Files) -> list[CommittedFile]:
    """Return names, sizes and checksums of files."""
    return [
        CommittedFile(name, len(data), xxhash.xxh3_128_hexdigest(data))
        for name, data in files.items()
    ]


def rows_of(*columns: Sequence[bytes | None]) -> list[pa.LargeBinaryArray]:
    """Return columns as files are given them, each a slice of a longer one."""
    whole = [pa.array([b"before", *column, b"after"], pa.large_binary()) for column in columns]
    return [column.slice(1, len(column) - 2) for column in whole]
