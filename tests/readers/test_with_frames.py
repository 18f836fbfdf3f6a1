"""Tools for tables: the sidecars say where in a tar each picture is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from reader_data import ALL_EQUAL, Dataset, Sample, as_json, compare

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.readers(env="readers-frames")
COLUMNS = ["tar_file", "member_name", "offset", "size", "caption", "score"]


def samples_at(folder: Path, rows: Iterable[tuple[Any, ...]]) -> list[Sample]:
    """Read the picture of each row out of its tar, at its offset."""
    samples = []
    for tar_file, member_name, offset, size, caption, score in rows:
        with (folder / tar_file).open("rb") as tar:
            tar.seek(offset)
            jpeg = tar.read(size)
        json = as_json({"caption": caption, "score": score})
        members = {"jpg": jpeg, "json": json, "txt": caption.encode()}
        samples.append(Sample(member_name.removesuffix(".jpg"), members))
    return samples


def test_duckdb(dataset: Dataset) -> None:
    import duckdb

    with duckdb.connect() as connection:
        sidecars = connection.read_parquet(f"{dataset.folder}/*.parquet")
        rows = sidecars.select(*COLUMNS).fetchall()

    assert compare(dataset, samples_at(dataset.folder, rows), "duckdb") == ALL_EQUAL


def test_pandas(dataset: Dataset) -> None:
    import pandas as pd

    frame = pd.concat(pd.read_parquet(path, columns=COLUMNS) for path in dataset.sidecars)
    rows = frame.itertuples(index=False)

    assert compare(dataset, samples_at(dataset.folder, rows), "pandas") == ALL_EQUAL


def test_polars(dataset: Dataset) -> None:
    import polars as pl

    rows = pl.scan_parquet(dataset.folder / "*.parquet").select(COLUMNS).collect().rows()

    assert compare(dataset, samples_at(dataset.folder, rows), "polars") == ALL_EQUAL
