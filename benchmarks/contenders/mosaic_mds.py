"""MosaicML streaming: MDSWriter, files in a column of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streaming import LocalDataset, MDSWriter

from benchmarks.views import files, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

_COLUMNS = {"image": "bytes", "image_id": "str", "caption": "str", "score": "float64"}


def prepare(table: pa.Table, **_settings: Any) -> list[dict[str, Any]]:
    return [row | {"image": data} for row, data in zip(rows(table), files(table), strict=True)]


def write(prepared: list[dict[str, Any]], out: str) -> None:
    with MDSWriter(out=f"{out}/images.mds", columns=_COLUMNS) as writer:
        for row in prepared:
            writer.write(row)


def read_back(out: str, _prepared: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    for row in LocalDataset(f"{out}/images.mds"):
        yield row["image_id"], row["image"]
