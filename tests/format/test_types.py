"""Every Arrow type is read back equal by Polars, DuckDB and PyArrow, or refused by name."""

from __future__ import annotations

import io
import random
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from type_data import CONSTRUCTORS, array_of, constructors, is_refused, nested_in, rows_of

import arrowimg
from arrowimg._format import column_types
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROWS = 4
READS_SPANS_IN_MAPS = int(pa.__version__.split(".")[0]) >= 26
EXPORTS_CATEGORIES = int(version("polars").split(".")[0]) >= 2
DUCKDB_KEEPS_NANOSECONDS = int(version("duckdb").split(".")[0]) >= 2
MADE = [kind for kinds in CONSTRUCTORS.values() for kind in kinds]
NESTED = [nested for kind in MADE for nested in nested_in(kind)]
TYPES = list({str(kind): kind for kind in [*MADE, *NESTED]}.values())
WRITTEN = [kind for kind in TYPES if not is_refused(kind)]
REFUSED = [kind for kind in TYPES if is_refused(kind)]


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 90)).save(buffer, "JPEG")
    return buffer.getvalue()


PICTURE = picture()


def images(columns: dict[str, pa.Array], first: int = 0) -> pa.Table:
    ids = [f"id{first + row}" for row in range(ROWS)]
    return pa.table({"image_id": ids, "image_data": [PICTURE] * ROWS, **columns})


def columns_of(kinds: Sequence[pa.DataType], seed: int) -> dict[str, pa.Array]:
    """Return columns of these types; each is a slice, so that offsets count."""
    choose = random.Random(seed)  # noqa: S311  # no secret
    arrays = (array_of(kind, ROWS + 1, choose).slice(1) for kind in kinds)
    return {f"c{number}": array for number, array in enumerate(arrays)}


def in_duckdb(rows: Any, kind: pa.DataType) -> Any:  # noqa: ANN401, PLR0911
    """Return values as DuckDB has them: spans as counts, and before 2.0 no nanoseconds."""
    if rows is None:
        return None
    if isinstance(kind, pa.BaseExtensionType):
        return in_duckdb(rows, kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return in_duckdb(rows, kind.value_type)
    if pa.types.is_struct(kind):
        return {field.name: in_duckdb(rows[field.name], field.type) for field in kind}
    if pa.types.is_map(kind):
        entries = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        return [in_duckdb(row, entries) for row in rows]
    if pa.types.is_nested(kind):
        return [in_duckdb(row, kind.value_type) for row in rows]
    if pa.types.is_duration(kind):
        return rows // {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
    is_naive = pa.types.is_timestamp(kind) and kind.tz is None
    is_moment = pa.types.is_temporal(kind) and not pa.types.is_interval(kind)
    if DUCKDB_KEEPS_NANOSECONDS or is_naive or not is_moment:
        return rows
    return rows // 1000 * 1000 if rows >= 0 else -(-rows // 1000 * 1000)


def in_arrow(rows: Any, kind: pa.DataType, *, in_map: bool = False) -> Any:  # noqa: ANN401
    """Return values as PyArrow before 26 has them: within maps, spans as counts."""
    if rows is None or READS_SPANS_IN_MAPS:
        return rows
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return in_arrow(rows, kind.value_type, in_map=in_map)
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        return {it: in_arrow(rows[it], kind.field(it).type, in_map=in_map) for it in names}
    if pa.types.is_map(kind):
        kinds = {"key": kind.key_type, "value": kind.item_type}
        return [{it: in_arrow(row[it], kinds[it], in_map=True) for it in kinds} for row in rows]
    if isinstance(kind, pa.BaseExtensionType) or not pa.types.is_nested(kind):
        return in_duckdb(rows, kind) if in_map and pa.types.is_duration(kind) else rows
    return [in_arrow(row, kind.value_type, in_map=in_map) for row in rows]


def known_to_polars(columns: dict[str, pa.Array]) -> list[str]:
    """Return the columns that Polars can hand on: 1.30 only shows nested categories."""
    return [
        name
        for name, array in columns.items()
        if EXPORTS_CATEGORIES or not has_nested_dictionary(array.type)
    ]


def has_nested_dictionary(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return has_nested_dictionary(kind.storage_type)
    if pa.types.is_run_end_encoded(kind):
        return has_nested_dictionary(kind.value_type)
    children = [kind.field(at).type for at in range(kind.num_fields)]
    return any("dictionary" in str(child) for child in children)


def check_written(columns: dict[str, pa.Array], folder: Path) -> None:
    """Write columns, and read them back in all ways that there are."""
    expected = {name: rows_of(array) for name, array in columns.items()}
    group = arrowimg.write_shards(images(columns), folder / "out", progress=False)
    (path,) = group.parquet_paths

    by_arrow = pq.read_table(path)
    scanned = arrowimg.scan(folder / "out").select(known_to_polars(columns))
    by_polars = scanned.collect().rechunk().to_arrow()
    by_duckdb = duckdb.read_parquet(path).to_arrow_table()
    (batch,) = arrowimg.read_batches(folder / "out")
    arrowimg.reshard(folder / "out", folder / "copy", progress=False)
    copied = pq.read_table(folder / "copy" / "images-000000.parquet")
    for name, array in columns.items():
        kind = array.type
        known = [in_arrow(row, kind) for row in expected[name]]
        assert rows_of(by_arrow[name]) == known, ("PyArrow", kind)
        if name in by_polars.column_names:
            assert rows_of(by_polars[name]) == expected[name], ("Polars", kind)
        assert rows_of(by_duckdb[name]) == [in_duckdb(row, kind) for row in expected[name]], (
            "DuckDB",
            kind,
        )
        assert rows_of(batch.data[name]) == known, ("read_batches", kind)
        assert copied[name].equals(by_arrow[name]), ("reshard", kind)


def test_the_constructors_are_all_that_pyarrow_has() -> None:
    assert constructors() == set(CONSTRUCTORS)


def test_the_types_are_of_all_kinds_that_pyarrow_can_make() -> None:
    not_made = {"Type_INTERVAL_MONTHS", "Type_INTERVAL_DAY_TIME"}
    ids = {getattr(pa.lib, it) for it in dir(pa.lib) if it.startswith("Type_")}
    ids -= {getattr(pa.lib, name) for name in not_made}

    assert ids <= {kind.id for kind in MADE}
    assert len(TYPES) > 500
    assert len(WRITTEN) > 300


@pytest.mark.parametrize("part", range(0, len(WRITTEN), 40))
def test_values_come_back_from_every_reader(part: int, tmp_path: Path) -> None:
    check_written(columns_of(WRITTEN[part : part + 40], part), tmp_path)


@pytest.mark.parametrize("kind", REFUSED, ids=str)
def test_what_would_not_come_back_is_refused_by_column_and_type(
    kind: pa.DataType, tmp_path: Path
) -> None:
    column = array_of(kind, ROWS, random.Random(5))  # noqa: S311
    table = images({"fine": pa.array(range(ROWS)), "odd one": column})

    with pytest.raises(SchemaError) as caught:
        arrowimg.write_shards(table, tmp_path / "out", progress=False)

    assert caught.value.column == "odd one"
    assert str(kind) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_lists_that_a_null_struct_hides_are_written_as_none(tmp_path: Path) -> None:
    lists = pa.array([[None], [None, None], [None], []], pa.list_(pa.null()))
    mask = pa.array([False, True, False, True])
    column = pa.StructArray.from_arrays([lists], ["a"], mask=mask)
    check_written({"c0": column, "c1": column.slice(1, 3).take(pa.array([0, 1, 2, 0]))}, tmp_path)


def test_a_map_whose_keys_are_null_once_decoded_is_refused(tmp_path: Path) -> None:
    keys = pa.run_end_encoded(pa.int16(), pa.null())
    column = array_of(pa.map_(keys, pa.int8()), ROWS, random.Random(1))  # noqa: S311
    with pytest.raises(SchemaError, match="null keys") as caught:
        arrowimg.write_shards(images({"odd": column}), tmp_path / "out", progress=False)
    assert caught.value.column == "odd"


def deeper(kinds: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    return kinds.flatmap(lambda kind: st.sampled_from(list(nested_in(kind))))


@settings(deadline=None, max_examples=15)
@given(
    kinds=st.lists(deeper(deeper(st.sampled_from(MADE))), min_size=1, max_size=12),
    seed=st.integers(0, 2**32),
)
def test_types_nested_in_one_another_come_back_or_are_refused(
    kinds: list[pa.DataType], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = [kind for kind in kinds if not is_refused(kind)]
    folder = tmp_path_factory.mktemp("types")
    check_written(columns_of(written, seed), folder)
    for name, column in columns_of([it for it in kinds if is_refused(it)], seed).items():
        with pytest.raises(SchemaError) as caught:
            arrowimg.ImageWriterStage(str(folder / "never made")).process(
                arrowimg.ImageBatch(images({name: column}))
            )
        assert caught.value.column == name
    assert not (folder / "never made").exists()


def test_only_columns_that_become_wider_are_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    judged, judge = list[str](), column_types._written_column

    def counted(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
        judged.append(field.name)
        return judge(column, field)

    monkeypatch.setattr(column_types, "_written_column", counted)
    table = pa.table({"wider": pa.array([1, 2], pa.int8()), "same": [[1], None]})
    kinds = {"same": pa.list_(pa.int64()), "late": pa.string(), "wider": pa.float32()}
    schema = pa.schema(list(kinds.items()))

    wider = column_types.wider_columns(column_types.written_columns(table), schema, 2)

    assert wider.schema == schema
    assert wider.to_pydict() == {"same": [[1], None], "late": [None, None], "wider": [1.0, 2.0]}
    assert judged == ["wider", "same", "late", "wider"]
