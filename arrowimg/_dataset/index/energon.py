"""Indexes of Megatron-Energon: what ``energon prepare`` would write, without reading a tar.

Files and tables as of Energon 7: https://github.com/NVIDIA/Megatron-Energon,
``src/megatron/energon/flavors/webdataset`` (``indexing.py``, ``itar.py``, ``structs.py``).
"""

from __future__ import annotations

import sqlite3
import tempfile
from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from arrowimg._core.threads import CallsUnderWay
from arrowimg._dataset.index.source import Format
from arrowimg._dataset.index.text import brace_ranges, json_bytes
from arrowimg._format.names import INDEX_SUFFIX, TAR_SUFFIX, shard_of
from arrowimg._storage.open import open_storage
from arrowimg.errors import DuplicateIdError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._dataset.folder import Listing
    from arrowimg._dataset.index.source import File, Source
    from arrowimg._format.layout import Layout
    from arrowimg._storage.base import Storage

_INFO = ".nv-meta/.info.json"
_SPLIT = ".nv-meta/split.yaml"
_DATASET = ".nv-meta/dataset.yaml"
_DATABASE = ".nv-meta/index.sqlite"
_UUID = ".nv-meta/index.uuid"
_SUFFIX = TAR_SUFFIX + INDEX_SUFFIX

_READ_NBYTES = 2**20

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE samples (
    tar_file_id INTEGER NOT NULL,
    sample_key TEXT NOT NULL UNIQUE,
    sample_index INTEGER NOT NULL,
    byte_offset INTEGER,
    byte_size INTEGER
);
CREATE TABLE sample_parts (
    tar_file_id INTEGER,
    sample_index INTEGER,
    part_name TEXT,
    content_byte_offset INTEGER,
    content_byte_size INTEGER
);
"""
_INDEXES = """
CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index);
CREATE INDEX idx_sample_parts_seq
    ON sample_parts(tar_file_id, sample_index, content_byte_offset);
CREATE INDEX idx_sample_parts_full
    ON sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);
"""
_COLUMNS = 5
_ROWS_AT_ONCE = 1000
"""In one statement, which costs half as much as one for each, if SQLite has so many variables."""


def _energon_index(source: Source) -> Iterator[File]:
    """Yield an index per tar, the database of all samples, and Energon's settings.

    Tars without pictures are left out: Energon refuses them. The database is made in the temporary
    folder of the machine.

    Raises
    ------
    DuplicateIdError
        When a key is in two tars.
    StorageError
        When the temporary folder has no room for the database.
    """
    with tempfile.TemporaryDirectory(prefix="arrowimg-") as folder:
        storage, name = open_storage(folder), "index.sqlite"
        database = sqlite3.connect(
            storage.path_of(name), isolation_level=None, check_same_thread=False
        )
        inserted = CallsUnderWay[None](1, "work")
        try:
            database.executescript(_TABLES)
            database.execute("BEGIN")
            number, extensions = 0, set[str]()
            for layout in source.of_each_tar(lambda layout: layout):
                if len(layout.keys):
                    yield f"{shard_of(layout.tar_file)}{_SUFFIX}", [_tar_index(layout)]
                    # SQLite needs no lock of the interpreter: the next tar is read meanwhile.
                    if inserted:
                        inserted.result()
                    inserted.start(partial(_insert, database, number, layout))
                    extensions.update(layout.pictures)
                    number += 1
            if inserted:
                inserted.result()
            database.executescript(_INDEXES)
        except sqlite3.OperationalError as error:
            raise StorageError(folder, f"SQLite: {error}", 0, None, None) from error
        finally:
            inserted.wait()
            database.close()
        yield _DATABASE, _content(storage, name)
    yield _UUID, [str(source.listing.uuid).encode()]
    yield from _settings(source.listing, sorted(extensions))


def _tar_index(layout: Layout) -> bytes:
    """Return where each sample begins, and where the last one ends, as native uint64."""
    return layout.bounds.astype("=u8").tobytes()


def _insert(database: sqlite3.Connection, number: int, layout: Layout) -> None:
    num_samples = len(layout.keys)
    samples, columns = np.nonzero(layout.is_there)
    bounds = layout.bounds
    places = [
        [number] * num_samples,
        layout.keys.to_pylist(),
        list(range(num_samples)),
        bounds[:-1].tolist(),
        (bounds[1:] - bounds[:-1]).tolist(),
    ]
    try:
        _insert_rows(database, "samples", places)
    except sqlite3.IntegrityError as error:
        expected = "sample keys that are in the dataset once, which Energon asks for"
        raise DuplicateIdError(expected, _repeated(database, number, layout)) from error
    parts = [
        [number] * len(samples),
        samples.tolist(),
        [layout.extensions[at] for at in columns.tolist()],
        layout.offsets[samples, columns].tolist(),
        layout.sizes[samples, columns].tolist(),
    ]
    _insert_rows(database, "sample_parts", parts)


def _insert_rows(database: sqlite3.Connection, table: str, columns: list[list[object]]) -> None:
    """Insert rows, given by column, many with each statement."""
    values = [*chain.from_iterable(zip(*columns, strict=True))]
    most = database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // _COLUMNS
    num_values = min(_ROWS_AT_ONCE, most) * _COLUMNS
    for at in range(0, len(values), num_values):
        some = values[at : at + num_values]
        database.execute(_insertion(table, len(some) // _COLUMNS), some)


@cache
def _insertion(table: str, num_rows: int) -> str:
    row = f"({', '.join('?' * _COLUMNS)})"
    # A statement that fails half way is not undone, for which there is no journal.
    return f"INSERT OR FAIL INTO {table} VALUES {', '.join([row] * num_rows)}"  # noqa: S608


def _repeated(database: sqlite3.Connection, number: int, layout: Layout) -> list[str]:
    """Return a line for each key of a layout that is in a tar before it."""
    query = "SELECT 1 FROM samples WHERE sample_key = ? AND tar_file_id < ?"
    keys = layout.keys.to_pylist()
    found = [key for key in keys if database.execute(query, (key, number)).fetchone()]
    return [f"{key!r} in {layout.tar_file} and in a tar before" for key in found]


def _content(storage: Storage, name: str) -> Iterator[bytes]:
    with storage.open(name) as file:
        while data := file.read(_READ_NBYTES):
            yield data


def _settings(listing: Listing, extensions: list[str]) -> Iterator[File]:
    """Yield what Energon's loader reads first: of which part all shards are.

    A comma between extensions says that a sample has one of them.
    """
    shards = [shard for shard in listing.shards if shard.num_images]
    counts = {shard.tar: shard.num_images for shard in shards}
    none: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    split = none | {listing.split or "train": brace_ranges(counts)}
    has_captions = "txt" in listing.extensions
    sample_type = {
        "__module__": "megatron.energon",
        "__class__": "CaptioningSample" if has_captions else "ImageSample",
    }
    field_map = {"image": ",".join(extensions) or "jpg"} | (
        {"caption": "txt"} if has_captions else {}
    )
    yield _INFO, [json_bytes({"energon_version": None, "shard_counts": counts})]
    # JSON is YAML.
    yield _SPLIT, [json_bytes({"split_parts": split, "exclude": []})]
    yield _DATASET, [json_bytes({"sample_type": sample_type, "field_map": field_map})]


ENERGON = Format(_energon_index, (_INFO, _SPLIT, _DATASET, _DATABASE, _UUID), _SUFFIX)
