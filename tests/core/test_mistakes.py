"""What is handed over by mistake: it is named, and one line says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from file_data import JPEG, SMALL

import arrowimg
from arrowimg.errors import SchemaError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COLUMNS = {"image_id": ["a"], "image_data": [JPEG]}
FRAME = pl.DataFrame(COLUMNS)
PIXELS = np.zeros((3, 8, 9, 3), np.uint8)

MISTAKES = {
    "dict of columns": (COLUMNS, "builtins.dict of 'image_id', 'image_data'", "pyarrow.table("),
    "one sample": ({"__key__": "a", "jpg": JPEG}, "dict of '__key__', 'jpg'", "from_pylist"),
    "list of dicts": ([{"__key__": "a", "jpg": JPEG}], "dict of '__key__', 'jpg'", "from_pylist"),
    "list of bytes": ([JPEG, JPEG], "builtins.bytes among its items", '{"image_data": files}'),
    "bytes": (JPEG, "builtins.bytes", '{"image_data": files}'),
    "array": (PIXELS, "numpy.ndarray", "ImageBatch.from_arrays"),
    "list of arrays": (list(PIXELS), "numpy.ndarray among its items", "ImageBatch.from_arrays"),
    "generator of arrays": (iter(PIXELS), "numpy.ndarray among", "ImageBatch.from_arrays"),
    "list of pictures": ([SMALL, SMALL], "PIL.", "ImageBatch.from_arrays"),
    "dict of frames": ({"train": FRAME}, "dict of 'train'", "one of its tables"),
    "column": (FRAME["image_data"], "Series", '{"image_data": column}'),
    "pandas column": (pd.Series([JPEG]), "Series", '{"image_data": column}'),
    "function": (lambda: FRAME, "function", "pass what it returns"),
    "nothing": (None, "builtins.NoneType", ""),
    "a number": (5, "builtins.int", ""),
}


@pytest.mark.parametrize(("source", "found", "advice"), MISTAKES.values(), ids=MISTAKES)
def test_a_source_that_is_none_is_named_and_answered(
    tmp_path: Path, source: object, found: str, advice: str
) -> None:
    with pytest.raises(SourceError) as caught:
        arrowimg.write_shards(source, tmp_path / "out", progress=False)

    text = str(caught.value)
    assert found in text
    assert advice in caught.value.advice
    assert "\n" not in text
    assert len(text) < 360


@pytest.mark.parametrize(
    ("column", "values"),
    [("image_data", list(PIXELS)), ("mixed", [1, "a"]), ("complex", [1j, 2j])],
)
def test_a_column_of_a_frame_that_arrow_cannot_hold_is_named(
    tmp_path: Path, column: str, values: list[object]
) -> None:
    frame = pd.DataFrame({"image_data": [JPEG] * len(values), column: values})
    with pytest.raises(SchemaError, match=f"column '{column}': expected values of one Arrow") as it:
        arrowimg.write_shards(frame, tmp_path / "out", progress=False)

    assert "from_arrays" in it.value.advice
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [FRAME, COLUMNS, [COLUMNS], None, "images.parquet"])
def test_a_stage_says_that_it_takes_batches(tmp_path: Path, value: object) -> None:
    with pytest.raises(SourceError, match="expected an ImageBatch") as caught:
        arrowimg.ImageWriterStage(tmp_path).process(value)  # type: ignore[arg-type]

    assert ("ImageBatch.from_table" in str(caught.value)) == (value is FRAME)


def test_a_column_of_paths_is_answered_with_what_reads_files(tmp_path: Path) -> None:
    for paths in (["a.jpg"], pa.array(["a.jpg"], pa.large_string()), pl.Series(["a.jpg"])):
        with pytest.raises(SchemaError, match=r"ImageBatch.from_files\(paths\)"):
            arrowimg.write_shards(pl.DataFrame({"image_data": paths}), tmp_path / "out")


@pytest.mark.parametrize("read", [lambda rows: rows, arrowimg.fetch_images])
def test_rows_of_a_dataset_are_answered_with_reshard(
    tmp_path: Path, read: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    arrowimg.write_shards(FRAME, tmp_path / "out")

    with pytest.raises(SchemaError, match=r"arrowimg\.reshard"):
        arrowimg.write_shards(read(arrowimg.scan(tmp_path / "out").collect()), tmp_path / "new")


def test_metadata_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("labels.csv", "labels.parquet"):
        with pytest.raises(SourceError, match=f"{name}: expected a file of metadata .* nothing"):
            arrowimg.write_shards(FRAME, tmp_path / "out", metadata=name)
