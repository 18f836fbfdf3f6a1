"""Lance: `write_dataset` of the table as it is, files in a binary column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lance

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def prepare(table: pa.Table, **_settings: Any) -> pa.Table:
    return table


def write(prepared: pa.Table, out: str) -> None:
    lance.write_dataset(prepared, f"{out}/images.lance")


def read_back(out: str, _prepared: pa.Table) -> Iterator[tuple[str, bytes]]:
    table = lance.dataset(f"{out}/images.lance").to_table()
    for image_id, data in zip(table["image_id"], table["image_data"], strict=True):
        yield image_id.as_py(), data.as_py()
