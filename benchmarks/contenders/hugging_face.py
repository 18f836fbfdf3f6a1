"""Hugging Face datasets: `Dataset.to_parquet` with an Image column of encoded files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, Value

from benchmarks.views import files, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

_FEATURES = {
    "image": Image(),
    "image_id": Value("string"),
    "caption": Value("string"),
    "score": Value("float64"),
}


def prepare(table: pa.Table, **_settings: Any) -> Dataset:
    columns = {
        name: [row[name] for row in rows(table)] for name in ("image_id", "caption", "score")
    }
    columns["image"] = [{"bytes": data, "path": None} for data in files(table)]
    return Dataset.from_dict(columns, features=Features(_FEATURES))


def write(prepared: Dataset, out: str) -> None:
    prepared.to_parquet(f"{out}/images.parquet")


def read_back(out: str, _prepared: Dataset) -> Iterator[tuple[str, bytes]]:
    table = pq.read_table(f"{out}/images.parquet")
    for image_id, image in zip(table["image_id"], table["image"], strict=True):
        yield image_id.as_py(), image["bytes"].as_py()
