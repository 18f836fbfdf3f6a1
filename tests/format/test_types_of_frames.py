"""What pandas, Polars and DuckDB export comes back from three readers, or is refused by name."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from type_data import rows_of

import arrowimg
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BUFFER = io.BytesIO()
Image.new("RGB", (8, 8), (9, 90, 200)).save(BUFFER, "JPEG")
JPEG = BUFFER.getvalue()
BERLIN = pl.Datetime("ns", "Europe/Berlin")


def read(folder: Path, name: str) -> list[Any]:
    """Return a column as Polars has it, once PyArrow and DuckDB have the same."""
    pattern = f"{folder}/*.parquet"
    by_polars = rows_of(arrowimg.scan(folder).collect().rechunk().to_arrow()[name])
    paths = sorted(folder.glob("*.parquet"))
    by_arrow = [row for path in paths for row in rows_of(pq.read_table(path)[name])]
    source = f"read_parquet('{pattern}', filename = true, file_row_number = true)"
    query = f"SELECT * FROM {source} ORDER BY filename, file_row_number"  # noqa: S608
    relation = duckdb.sql(query)
    assert relation is not None
    by_duckdb = rows_of(relation.to_arrow_table()[name])
    assert by_arrow == by_polars
    assert by_duckdb == by_polars
    return by_polars


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        (
            "170141183460469231731687303715884105::HUGEINT",
            [Decimal(170141183460469231731687303715884105)],
        ),
        ("INTERVAL '2 months 3 days'", [{"months": 2, "days": 3, "nanoseconds": 0}]),
        ("'2d89ebe6-1e13-47e5-803a-b81c87660b66'::UUID", ["2d89ebe6-1e13-47e5-803a-b81c87660b66"]),
        ("MAP {'a': 1}", [[{"key": "a", "value": 1}]]),
        ("'b'::ENUM('a', 'b')", ["b"]),
        ("'12:00:00'::TIME", [12 * 3600 * 10**9]),
        ("'1970-01-01 00:00:00.000000001'::TIMESTAMP_NS", [1]),
        ("'1970-01-01 00:00:01'::TIMESTAMP_S", [10**9]),
        ("[1, 2]::INTEGER[2]", [[1, 2]]),
        ("{'a': 1, 'b': ['x']}", [{"a": 1, "b": ["x"]}]),
        ("1.5::DECIMAL(38, 2)", [Decimal("1.50")]),
        ("'\\xAA'::BLOB", [b"\xaa"]),
        ("'0101'::BIT", [b"\x04\xf5"]),
    ],
)
def test_what_duckdb_exports_comes_back(expression: str, rows: list[Any], tmp_path: Path) -> None:
    source = duckdb.sql(
        f"SELECT 'a' AS image_id, ?::BLOB AS image_data, {expression} AS x", params=[JPEG]
    )

    arrowimg.write_shards(source, tmp_path, progress=False)

    assert read(tmp_path, "x") == rows


@pytest.mark.parametrize("expression", ["union_value(num := 2)", "2::HUGEINT ** 1"][:1])
def test_what_duckdb_exports_and_parquet_lacks_is_refused(expression: str, tmp_path: Path) -> None:
    source = duckdb.sql(
        f"SELECT 'a' AS image_id, ?::BLOB AS image_data, {expression} AS x", params=[JPEG]
    )

    with pytest.raises(SchemaError, match="union") as caught:
        arrowimg.write_shards(source, tmp_path / "out", progress=False)

    assert caught.value.column == "x"
    assert not (tmp_path / "out").exists()


def test_a_number_of_39_digits_is_refused(tmp_path: Path) -> None:
    source = duckdb.sql(
        "SELECT ?::BLOB AS image_data, 170141183460469231731687303715884105727::HUGEINT AS x",
        params=[JPEG],
    )

    with pytest.raises(SchemaError, match="does not fit in precision") as caught:
        arrowimg.write_shards(source, tmp_path / "out", progress=False)

    assert caught.value.column == "x"


@pytest.mark.parametrize(
    ("dtype", "value", "rows"),
    [
        (pl.Categorical, "a", ["a"]),
        (pl.Enum(["a", "b"]), "b", ["b"]),
        (pl.List(pl.Categorical), ["a", "b"], [["a", "b"]]),
        (pl.Struct({"q": pl.Enum(["a", "b"])}), {"q": "a"}, [{"q": "a"}]),
        (pl.Decimal(38, 2), Decimal("1.5"), [Decimal("1.50")]),
        (pl.Time, dt.time(0, 0, 1), [10**9]),
        (BERLIN, None, [0]),
        (pl.Array(pl.Int8, 2), [1, 2], [[1, 2]]),
        (pl.Null, None, [None]),
        (pl.Binary, b"a", [b"a"]),
    ],
    ids=str,
)
def test_what_polars_exports_comes_back(
    dtype: Any,  # noqa: ANN401
    value: object,
    rows: list[Any],
    tmp_path: Path,
) -> None:
    column = pl.Series([value]).cast(dtype) if dtype == BERLIN else pl.Series([value], dtype=dtype)
    if dtype == BERLIN:
        column = pl.Series([0]).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC").cast(BERLIN)

    arrowimg.write_shards(
        pl.DataFrame({"image_data": [JPEG], "x": column}), tmp_path, progress=False
    )

    assert read(tmp_path, "x") == rows


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(pl.Object, object()), (pl.Int128, 2**100), (pl.List(pl.Int128), [2**100])],
    ids=["Object", "Int128", "List(Int128)"],
)
def test_what_polars_cannot_export_is_refused(dtype: Any, value: object, tmp_path: Path) -> None:  # noqa: ANN401
    frame = pl.DataFrame({"image_data": [JPEG], "x": pl.Series([value], dtype=dtype)})

    for write in (
        lambda: arrowimg.write_shards(frame, tmp_path / "out", progress=False),
        lambda: arrowimg.ImageBatch.from_table(frame),
        lambda: arrowimg.write_shards(frame.lazy(), tmp_path / "out", progress=False),
    ):
        with pytest.raises(SchemaError, match=r"Object|Int128") as caught:
            write()
        assert caught.value.column == "x"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        (pd.Categorical(["a", "b"]), ["a", "b"]),
        (pd.Categorical([1, 2]), [1, 2]),
        (pd.Categorical(["a", "b"], ordered=True), ["a", "b"]),
        (pd.interval_range(0, 2), [{"left": 0, "right": 1}, {"left": 1, "right": 2}]),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        (pd.to_datetime(["1970-01-01", "1970-01-02"]), [0, 86_400 * 10**9]),
        ([Decimal("1.5"), Decimal("10.25")], [Decimal("1.50"), Decimal("10.25")]),
        ([{"a": 1}, {"b": 2}], [{"a": 1, "b": None}, {"a": None, "b": 2}]),
        (pd.array([[1], [2]], dtype=pd.ArrowDtype(pa.list_view(pa.int8()))), [[1], [2]]),
    ],
)
def test_what_pandas_exports_comes_back(values: Any, rows: list[Any], tmp_path: Path) -> None:  # noqa: ANN401
    frame = pd.DataFrame({"image_id": ["a", "b"], "image_data": [JPEG] * 2, "x": values})

    arrowimg.write_shards(frame, tmp_path, progress=False)

    assert read(tmp_path, "x") == rows


@pytest.mark.parametrize(
    "values",
    [[object(), object()], [1, "a"], [2**70, 1], [1j, 2j], pd.arrays.SparseArray([0, 1])],
    ids=["objects", "numbers and text", "large numbers", "complex", "sparse"],
)
def test_what_pandas_cannot_export_is_refused(values: Any, tmp_path: Path) -> None:  # noqa: ANN401
    frame = pd.DataFrame({"image_id": ["a", "b"], "image_data": [JPEG] * 2, "x": values})

    for write in (
        lambda: arrowimg.write_shards(frame, tmp_path / "out", progress=False),
        lambda: arrowimg.ImageBatch.from_table(frame),
    ):
        with pytest.raises(SchemaError, match="leave it out") as caught:
            write()
        assert caught.value.column == "x"
    assert not (tmp_path / "out").exists()


def test_python_objects_beside_arrays_are_refused_by_name() -> None:
    with pytest.raises(SchemaError) as caught:
        arrowimg.ImageBatch.from_arrays([None, None], things=[object(), 1])

    assert caught.value.column == "things"


@pytest.mark.parametrize(
    "ids", [range(1, 4), [1, 2, 3], ["1", "2", "3"]], ids=["range", "ints", "text"]
)
@pytest.mark.parametrize(
    "handed",
    [lambda it: it, lambda it: [it], arrowimg.ImageBatch.from_table],
    ids=["frame", "list", "batch"],
)
def test_an_index_of_that_name_is_the_ids(
    ids: Any,  # noqa: ANN401
    handed: Callable[[Any], Any],
    tmp_path: Path,
) -> None:
    index = pd.RangeIndex(1, 4) if ids == range(1, 4) else pd.Index(ids)
    frame = pd.DataFrame({"image_data": [JPEG] * 3}, index.rename("image_id"))

    arrowimg.write_shards(handed(frame), tmp_path, progress=False)

    assert read(tmp_path, "image_id") == ["1", "2", "3"]


@pytest.mark.parametrize("handed", [lambda it: it, pa.Table.from_pandas], ids=["frame", "table"])
def test_the_numbers_of_filtered_rows_are_no_column(
    handed: Callable[[Any], Any], tmp_path: Path
) -> None:
    frame = pd.DataFrame({"image_id": list("abc"), "image_data": [JPEG] * 3, "n": [1, 2, 3]})
    metadata = pd.DataFrame({"image_id": list("abc"), "m": [4, 5, 6]})

    source = handed(frame[frame["n"] != 2])
    arrowimg.write_shards(source, tmp_path, metadata=metadata[metadata["m"] != 5], progress=False)

    assert "__index_level_0__" not in arrowimg.scan(tmp_path).collect_schema().names()
    assert read(tmp_path, "m") == [4, 6]


def categories() -> Any:  # noqa: ANN401
    for number in range(3):
        hosts = pd.Categorical([f"host{100 * number + row}" for row in range(100)])
        ids = [f"{number}-{row}" for row in range(100)]
        yield pd.DataFrame({"image_id": ids, "image_data": [JPEG] * 100, "host": hosts})


def test_categories_of_several_batches_are_joined_in_one_shard(tmp_path: Path) -> None:
    arrowimg.write_shards(categories(), tmp_path / "small", 100, progress=False)
    arrowimg.write_shards(categories(), tmp_path / "large", progress=False)
    arrowimg.reshard(tmp_path / "small", tmp_path / "copy", progress=False)
    first, second, _ = categories()
    arrowimg.write_shards(first, tmp_path / "one", progress=False)
    arrowimg.write_shards(second, tmp_path / "two", progress=False)
    arrowimg.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both", progress=False)

    hosts = [f"host{number}" for number in range(300)]
    assert read(tmp_path / "large", "host") == hosts
    assert read(tmp_path / "copy", "host") == hosts
    assert read(tmp_path / "both", "host") == hosts[:200]
