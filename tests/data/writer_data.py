"""Pictures for the tests of the writer, cut into batches, and what was written of them."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from photographs import SKIMAGE
from PIL import Image

from arrowimg import FileGroupTask, ImageBatch, ShardWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PHOTOGRAPH = SKIMAGE / "coffee.png"
ROWS = 320
IDS = [f"id{row:03d}" for row in range(ROWS)]


def windows(count: int = ROWS) -> np.ndarray[Any, np.dtype[np.uint8]]:
    photograph = np.asarray(Image.open(PHOTOGRAPH))
    return np.stack([photograph[at : at + 12, 2 * at % 500 :][:, :16] for at in range(count)])


def dataset(count: int = ROWS, **columns: Any) -> pa.Table:  # noqa: ANN401  # any column
    return ImageBatch.from_arrays(windows(count), IDS[:count], **columns).data


def in_batches(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    """Yield pieces that own their buffers, as batches from elsewhere do."""
    for start in range(0, table.num_rows, rows):
        sink = pa.BufferOutputStream()
        piece = table.slice(start, rows)
        for at, field in enumerate(piece.schema):
            if pa.types.is_dictionary(field.type):
                values = piece[at].cast(field.type.value_type).combine_chunks()
                piece = piece.set_column(at, field, values.dictionary_encode())
        with pa.ipc.new_stream(sink, piece.schema) as writer:
            writer.write_table(piece)
        yield pa.ipc.open_stream(sink.getvalue()).read_all()


def write_all(batches: Iterator[pa.Table], folder: Path, **options: Any) -> FileGroupTask:  # noqa: ANN401
    with ShardWriter(folder, **options) as writer:
        for batch in batches:
            writer.write(batch)
    return writer.file_group


def names_in(path: str) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return [
        row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
