"""Tables look the same however they came."""

from __future__ import annotations

import pyarrow as pa

from arrowimg._core.tables import canonical_table


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
