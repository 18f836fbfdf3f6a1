"""Datasets to reshard, and what they hold by readers that are not arrowimg's."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from writer_data import IDS, windows

from arrowimg import write_shards

if TYPE_CHECKING:
    from pathlib import Path


def jpegs(count: int) -> list[bytes]:
    files = list[bytes]()
    for pixels in windows(max(1, count))[:count]:
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, "JPEG", quality=50 + len(files) % 40)
        files.append(sink.getvalue())
    return files


def table(count: int = 20, first: int = 0, **columns: Any) -> pa.Table:  # noqa: ANN401  # any column
    stop = first + count
    fixed = {
        "image_id": pa.array(IDS[first:stop], pa.string()),
        "image_path": pa.array([f"photographs/{row}.jpg" for row in range(first, stop)]),
        "image_data": pa.array(jpegs(stop)[first:], pa.binary()),
        "score": [row / 10 for row in range(first, stop)],
    }
    return pa.table({**fixed, **columns})


def typed_columns(count: int = 20) -> dict[str, pa.Array]:
    """Return columns of types that Polars would change, or that Parquet alone does not tell."""
    rows = range(count)
    return {
        "kind": pa.array([f"k{row % 3}" for row in rows]).dictionary_encode(),
        "small": pa.array([f"s{row % 2}" for row in rows]).cast(
            pa.dictionary(pa.int8(), pa.string())
        ),
        "nested": pa.array(
            [{"a": [row, None], "b": f"{row}"} if row % 4 else None for row in rows]
        ),
        "taken_at": pa.array(list(rows), pa.timestamp("ms", "Europe/Berlin")),
        "embedding": pa.FixedSizeListArray.from_arrays(
            pa.array(np.arange(4 * count, dtype=np.float32)), 4
        ),
        "price": pa.array(list(rows), pa.decimal256(38, 2)),
        "tags": pa.array([[("a", row)] for row in rows], pa.map_(pa.string(), pa.int64())),
    }


def members(folder: Path) -> list[tuple[str, bytes]]:
    """Return name and bytes of every member, tar by tar."""
    found = []
    for path in sorted(folder.glob("images-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                found.append((member.name, file.read()))
    return found


def sidecar(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def source(folder: Path, count: int = 20, images_per_tar: int = 6, **options: Any) -> Path:  # noqa: ANN401
    write_shards(table(count), folder, images_per_tar, **options)
    return folder
