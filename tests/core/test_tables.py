"""Tables look the same however they came."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from arrowimg._core.tables import canonical_table, rows_where


class TestCanonicalTable:
    def test_chunks_and_unused_dictionary_entries_do_not_show(self) -> None:
        words = pa.array(["b", "a", None, "b"]).dictionary_encode()
        sliced = pa.array(["z", "b", "a", None, "b"]).dictionary_encode().slice(1)
        once = pa.table({"n": [1, 2, 3, 4], "w": words})
        pieces = pa.table({"n": pa.chunked_array([[1], [], [2, 3, 4]]), "w": sliced})
        (left, right) = canonical_table(once), canonical_table(pieces)

        assert left == right == once
        assert [column.num_chunks for column in right.columns] == [1, 1]
        assert right["w"].chunk(0).dictionary == left["w"].chunk(0).dictionary

    def test_ordered_dictionaries_keep_their_order(self) -> None:
        kind = pa.dictionary(pa.int8(), pa.string(), ordered=True)
        sizes = pa.DictionaryArray.from_arrays(pa.array([1], pa.int8()), ["S", "L"], ordered=True)
        table = canonical_table(pa.table({"w": sizes}))

        assert table.schema.types == [kind]
        assert table["w"].chunk(0).dictionary.to_pylist() == ["S", "L"]


class TestRowsWhere:
    @pytest.mark.parametrize(
        "values",
        [
            pa.array(["a", None, "b", "a long text, beyond a view"], pa.string_view()),
            pa.array([b"a", None, b"b", b"c"], pa.binary_view()),
            pa.array([{"a": "x"}, None, {"a": None}, {}], pa.struct([("a", pa.string_view())])),
            pa.array([["x"], None, [], ["y"]], pa.list_(pa.string_view())),
            pa.array([[1], None, [2, 3], []], pa.list_view(pa.int8())),
            pa.RunEndEncodedArray.from_arrays(pa.array([2, 4], pa.int32()), pa.array([1, 2])),
            pa.array(["a", "b", None, "a"]).dictionary_encode(),
            pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((4, 2, 3, 3), np.uint8)),
            pa.array([[("k", 1)], None, [], []], pa.map_("string", "int8")),
        ],
        ids=lambda values: str(values.type),
    )
    def test_rows_of_any_type_are_taken_in_order(self, values: pa.Array) -> None:
        table = pa.table({"x": pa.chunked_array([values.slice(0, 3), values.slice(3)])})
        for mask in ([1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 1]):
            rows = rows_where(table, np.array(mask, np.bool_))
            expected = [it for it, wanted in zip(values.to_pylist(), mask, strict=True) if wanted]

            assert rows.schema == table.schema
            assert str(rows["x"].to_pylist()) == str(expected)
