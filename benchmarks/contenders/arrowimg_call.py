"""arrowimg's one call: on a table, or on an Arrow file, which its workers open by themselves."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import arrowimg
from benchmarks.contenders import arrowimg_shards

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORD_ROWS = 1_000


def prepare(table: pa.Table, workers: int, **_settings: Any) -> pa.Table | Path:
    if workers == 1:
        return table
    handle, path = tempfile.mkstemp(suffix=".arrow")
    os.close(handle)
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=_RECORD_ROWS)
    return Path(path)


def write(prepared: pa.Table | Path, out: str, **options: Any) -> None:
    arrowimg.write_shards(prepared, out, progress=False, **options)


def read_back(out: str, _prepared: pa.Table | Path) -> Iterator[tuple[str, bytes]]:
    yield from arrowimg_shards.read_pairs(out)
