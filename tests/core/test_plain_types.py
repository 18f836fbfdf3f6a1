"""Metadata columns become types that every reader knows, the values unchanged."""

from __future__ import annotations

import pyarrow as pa
import pytest

from arrowimg._core.plain_types import plain_table

UUID = b"sixteen bytes..."
UUIDS = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([UUID], pa.binary(16)))


class TestPlainTable:
    @pytest.mark.parametrize(
        ("kind", "plain", "rows"),
        [
            (pa.string_view(), pa.large_string(), ["a", None]),
            (pa.binary_view(), pa.large_binary(), [b"a", None]),
            (pa.list_(pa.string_view()), pa.list_(pa.large_string()), [["a", None], None]),
            (pa.large_list(pa.binary_view()), pa.large_list(pa.large_binary()), [[b"a"], []]),
            (pa.list_(pa.string_view(), 1), pa.list_(pa.large_string(), 1), [["a"], None]),
            (
                pa.struct([("x", pa.list_(pa.string_view()))]),
                pa.struct([("x", pa.list_(pa.large_string()))]),
                [{"x": ["a"]}, {"x": None}, None],
            ),
            (
                pa.map_(pa.string_view(), pa.string_view()),
                pa.map_(pa.large_string(), pa.large_string()),
                [[("k", "v")], None],
            ),
            (pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC"), [None]),
        ],
        ids=str,
    )
    def test_view_types_become_plain(
        self, kind: pa.DataType, plain: pa.DataType, rows: list[object]
    ) -> None:
        array = pa.array(rows, kind)
        table = plain_table(pa.table({"c": pa.chunked_array([array, array.slice(1)])}))
        table.validate(full=True)

        assert table.schema.types == [plain]
        assert table["c"].to_pylist() == rows + rows[1:]

    @pytest.mark.parametrize(
        ("array", "plain", "row"),
        [
            (UUIDS, pa.binary(16), UUID),
            (
                pa.StructArray.from_arrays([UUIDS], ["x"]),
                pa.struct([("x", pa.binary(16))]),
                {"x": UUID},
            ),
            (pa.ListArray.from_arrays([0, 1], UUIDS), pa.list_(pa.binary(16)), [UUID]),
            (pa.FixedSizeListArray.from_arrays(UUIDS, 1), pa.list_(pa.binary(16), 1), [UUID]),
            (
                pa.ExtensionArray.from_storage(
                    pa.json_(pa.string_view()), pa.array(["{}"], pa.string_view())
                ),
                pa.large_string(),
                "{}",
            ),
        ],
        ids=["alone", "in a struct", "in a list", "in a fixed-size list", "over a view"],
    )
    def test_extension_types_become_their_storage(
        self, array: pa.Array, plain: pa.DataType, row: object
    ) -> None:
        table = plain_table(pa.table({"c": array}))

        assert table.schema.types == [plain]
        assert table["c"].to_pylist() == [row]

    def test_dictionaries_stay_dictionaries(self) -> None:
        words = pa.DictionaryArray.from_arrays([0, None, 0], pa.array(["a"], pa.string_view()))
        table = plain_table(pa.table({"c": words}))

        assert table.schema.types == [pa.dictionary(pa.int64(), pa.large_string())]
        assert table["c"].to_pylist() == ["a", None, "a"]

    def test_field_metadata_is_kept_but_for_extension_types(self) -> None:
        metadata = {"unit": "m", "ARROW:extension:name": "ray.data.arrow_tensor"}
        inner = pa.field("x", pa.string_view(), metadata=metadata)
        fields = [
            pa.field("plain", pa.int8(), nullable=False, metadata=metadata),
            pa.field("nested", pa.struct([inner])),
            pa.field("listed", pa.list_(inner)),
        ]
        plain, nested, listed = plain_table(pa.schema(fields).empty_table()).schema

        assert (plain.metadata, plain.nullable) == ({b"unit": b"m"}, False)
        assert nested.type.field("x").metadata == {b"unit": b"m"}
        assert listed.type.value_field.metadata == {b"unit": b"m"}

    def test_columns_that_are_plain_are_not_copied(self) -> None:
        table = pa.table({"c": pa.array([1, 2, 3])})
        (before,), (after,) = table["c"].chunks, plain_table(table)["c"].chunks

        assert before.buffers()[1].address == after.buffers()[1].address
