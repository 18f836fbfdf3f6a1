"""LitData: `optimize` by two worker processes, files as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litdata import StreamingDataset, optimize

from benchmarks.views import files, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def prepare(table: pa.Table, **_settings: Any) -> list[dict[str, Any]]:
    return [row | {"image": data} for row, data in zip(rows(table), files(table), strict=True)]


def write(prepared: list[dict[str, Any]], out: str) -> None:
    optimize(_same, prepared, f"{out}/images.lit", chunk_size=1000, num_workers=2)


def _same(row: dict[str, Any]) -> dict[str, Any]:
    return row


def read_back(out: str, _prepared: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    dataset = StreamingDataset(f"{out}/images.lit")
    for place in range(len(dataset)):
        row = dataset[place]
        yield row["image_id"], row["image"]
