"""Types in common are those that PyArrow's permissive promotion names, values unchanged."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowimg._core.columns.common_columns import CommonColumns, common_type, conformed
from arrowimg.errors import SchemaError

DAY = dt.date(2020, 2, 29)
PAIRS: list[tuple[pa.DataType, Any, pa.DataType, Any]] = [
    (pa.null(), None, pa.string(), "a"),
    (pa.null(), None, pa.struct([("a", pa.null())]), {"a": None}),
    (pa.null(), None, pa.list_(pa.float32(), 2), [1.0, 2.0]),
    (pa.string(), "a", pa.large_string(), "b"),
    (pa.binary(), b"a", pa.large_binary(), b"b"),
    (pa.binary(3), b"abc", pa.binary(), b"b"),
    (pa.string(), "a", pa.binary(), b"b"),
    (pa.int32(), 1, pa.int64(), 2),
    (pa.int8(), -1, pa.uint8(), 255),
    (pa.uint32(), 1, pa.int32(), -2),
    (pa.int64(), 1, pa.uint64(), 2),
    (pa.float32(), 0.5, pa.float64(), 0.25),
    (pa.float16(), 0.5, pa.float32(), 0.25),
    (pa.int64(), 1, pa.float64(), 0.5),
    (pa.int32(), 1, pa.float32(), 0.5),
    (pa.int64(), 123, pa.decimal128(5, 2), Decimal("1.25")),
    (pa.decimal128(5, 2), Decimal("1.25"), pa.decimal128(10, 4), Decimal("2.5000")),
    (pa.decimal128(5, 2), Decimal("1.25"), pa.float64(), 0.5),
    (pa.date32(), DAY, pa.date64(), DAY),
    (pa.timestamp("s"), dt.datetime(2020, 2, 29), pa.timestamp("us"), None),  # noqa: DTZ001
    (pa.timestamp("ms", "UTC"), None, pa.timestamp("us", "UTC"), None),
    (pa.time32("ms"), dt.time(1), pa.time64("us"), dt.time(2)),
    (pa.duration("ms"), dt.timedelta(1), pa.duration("us"), dt.timedelta(2)),
    (pa.list_(pa.int32()), [1, None], pa.list_(pa.int64()), [2]),
    (pa.list_(pa.null()), [None], pa.list_(pa.string()), ["a"]),
    (pa.list_(pa.int32()), [], pa.large_list(pa.int32()), [2]),
    (pa.list_(pa.float32(), 2), [0.5, 1], pa.list_(pa.float32(), 3), [1, 2, 3]),
    (pa.list_(pa.float32(), 2), [0.5, 1], pa.list_(pa.float64()), [0.25]),
    (pa.struct([("a", pa.int32())]), {"a": 1}, pa.struct([("a", pa.int64())]), {"a": 2}),
    (pa.map_("string", "int32"), [("k", 1)], pa.map_("string", "int64"), [("k", 2)]),
    (pa.struct([("a", pa.null())]), {"a": None}, pa.struct([("a", pa.string())]), {"a": "b"}),
    (pa.list_(pa.struct([("a", pa.int8())])), [{"a": 1}], pa.list_(pa.null()), [None]),
]
"""Pairs of types that dataframes make of one column, with a value each."""

CLASHES = [
    (pa.string(), pa.int64()),
    (pa.string(), pa.float64()),
    (pa.string(), pa.bool_()),
    (pa.string(), pa.timestamp("us")),
    (pa.int64(), pa.bool_()),
    (pa.int64(), pa.timestamp("us")),
    (pa.timestamp("us"), pa.timestamp("us", "UTC")),
    (pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin")),
    (pa.list_(pa.int64()), pa.int64()),
    (pa.decimal128(38, 0), pa.decimal128(38, 10)),
    (pa.list_(pa.int64()), pa.list_(pa.string())),
    (pa.struct([("a", pa.int64())]), pa.string()),
    (pa.struct([("a", pa.int64())]), pa.struct([("a", pa.string())])),
]


def oracle(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    schemas = [pa.schema([("column", kind)]) for kind in (left, right)]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0).type


def comparable(value: object) -> object:
    return value.encode() if isinstance(value, str) else value


class TestTypes:
    @pytest.mark.parametrize(("left", "one", "right", "other"), PAIRS)
    def test_pairs_become_what_pyarrow_says(
        self, left: pa.DataType, one: object, right: pa.DataType, other: object
    ) -> None:
        assert common_type(left, right) == oracle(left, right)
        assert common_type(right, left) == oracle(right, left)

        kind = oracle(left, right)
        schema = pa.schema([("x", kind)])
        for value, own in ((one, left), (other, right)):
            table = pa.table({"x": pa.array([None, value, None, value], own)}).slice(1)
            wide = conformed(table, schema)
            wide.validate(full=True)
            values = wide["x"].to_pylist()
            if pa.types.is_binary(kind):
                assert values == [comparable(it) for it in table["x"].to_pylist()]
            else:
                assert values == table["x"].to_pylist()

    @pytest.mark.parametrize(("left", "right"), [*CLASHES, *(it[::-1] for it in CLASHES)])
    def test_a_clash_names_column_types_and_places(
        self, left: pa.DataType, right: pa.DataType
    ) -> None:
        first = CommonColumns().with_table(pa.schema([("n", "int8"), ("x", left)]), "a.parquet")

        with pytest.raises(SchemaError) as clash:
            first.with_table(pa.schema([("x", right)]), "b.parquet")

        assert clash.value.column == "x"
        assert clash.value.expected == f"{left}, as in a.parquet"
        assert clash.value.found == f"{right} in b.parquet"

    @pytest.mark.parametrize(
        ("left", "right", "both"),
        [
            (pa.dictionary(pa.int32(), pa.string()), pa.string(), pa.string()),
            (pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.large_string()),
            (
                pa.dictionary(pa.int32(), pa.string(), ordered=True),
                pa.dictionary(pa.int32(), pa.string()),
                pa.string(),
            ),
        ],
    )
    def test_categories_beside_text_are_text(
        self, left: pa.DataType, right: pa.DataType, both: pa.DataType
    ) -> None:
        codes = pa.array([0, None], pa.int32())
        table = pa.table({"x": pa.DictionaryArray.from_arrays(codes, ["a"], ordered=True)})

        assert common_type(left, right) == both
        assert conformed(table, pa.schema([("x", both)]))["x"].to_pylist() == ["a", None]


KINDS = [kind for pair in PAIRS for kind in (pair[0], pair[2])]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from(KINDS)), max_size=4))
def test_any_schemas_become_what_pyarrow_says_or_a_clash(tables: list[dict[str, Any]]) -> None:
    schemas = [pa.schema(list(columns.items())) for columns in tables]
    common = CommonColumns()
    try:
        expected = pa.unify_schemas(schemas, promote_options="permissive") if schemas else None
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        expected = None

    try:
        for number, schema in enumerate(schemas):
            common = common.with_table(schema, f"table {number}")
    except SchemaError:
        assert expected is None
        return

    assert expected is None or common.schema.equals(expected)


class TestColumns:
    def test_missing_columns_are_null_in_the_order_of_appearance(self) -> None:
        common = CommonColumns().with_table(pa.schema([("a", "int8")]), "1")
        common = common.with_table(pa.schema([("c", "string"), ("b", "bool")]), "2")
        table = conformed(pa.table({"b": [True], "c": ["x"]}), common.schema)

        assert common.schema.names == ["a", "c", "b"]
        assert table.to_pylist() == [{"a": None, "c": "x", "b": True}]
        assert common.widened == {"a": "int8", "c": "string", "b": "bool"}

    def test_a_column_that_may_not_be_null_may_be_where_it_is_missing(self) -> None:
        field = pa.field("a", pa.int8(), nullable=False)
        alone = CommonColumns().with_table(pa.schema([field]), "1")

        assert alone.with_table(pa.schema([field]), "2").schema == pa.schema([field])
        assert alone.with_table(pa.schema([]), "2").schema.field("a").nullable
        assert CommonColumns().with_table(pa.schema([]), "0").num_tables == 1

    def test_the_same_columns_in_another_order_change_nothing(self) -> None:
        common = CommonColumns().with_table(pa.schema([("a", "int8"), ("b", "bool")]), "1")

        assert common.with_table(pa.schema([("b", "bool"), ("a", "int8")]), "2") is common

    @pytest.mark.parametrize("number", [2**53 + 1, -(2**60) - 1])
    def test_a_number_that_would_become_another_is_refused(self, number: int) -> None:
        with pytest.raises(SchemaError, match="column 'n': expected values that double holds"):
            conformed(pa.table({"n": [1, number]}), pa.schema([("n", pa.float64())]))
