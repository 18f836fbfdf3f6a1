"""JSON documents as columns: Arrow's own reader and the slow way agree, and nothing is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowimg._dataset.adopt import documents as documents_module
from arrowimg._dataset.adopt.documents import document_columns
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from arrowimg._dataset.adopt.options import Clashes

LEAVES = [
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.booleans(),
]
COLUMNS = st.dictionaries(
    st.sampled_from(["a", "b", "ü", "image_id", ""]),
    st.sampled_from([*LEAVES, *[st.lists(it, max_size=3) for it in LEAVES]]),
    max_size=3,
)


def as_documents(values: list[object]) -> pa.LargeBinaryArray:
    texts = [
        it if it is None or isinstance(it, bytes) else json.dumps(it).encode() for it in values
    ]
    return pa.array(texts, pa.large_binary())


def columns_of(values: list[object], clashes: Clashes = "raise") -> dict[str, list[object]]:
    found = document_columns(as_documents(values), clashes, "a.tar")
    return {name: column.to_pylist() for name, column in found.items()}


@given(st.data())
def test_values_are_those_that_json_has(data: st.DataObject) -> None:
    columns = data.draw(COLUMNS)
    row = st.fixed_dictionaries({}, optional={name: st.none() | it for name, it in columns.items()})
    rows = data.draw(st.lists(st.none() | row, min_size=1, max_size=8))

    found = columns_of(list(rows))

    for name, values in found.items():
        expected = [None if it is None else it.get(name) for it in rows]
        assert values == expected
    assert {*found} == {name for it in rows if it for name in it}


@given(st.lists(st.fixed_dictionaries({"a": LEAVES[2], "b": st.integers(0, 10**14)}), min_size=1))
def test_both_ways_give_the_same(rows: list[dict[str, object]]) -> None:
    texts = as_documents(list(rows)).to_pylist()

    fast = documents_module._read_alike(texts)
    slow = documents_module._read_one_by_one(texts, "raise", "")

    assert fast is not None
    assert fast == slow


def test_texts_that_look_like_dates_stay_texts() -> None:
    rows = [{"day": "2020-01-01", "in": {"at": ["2020-01-01T00:00:00"]}}]

    assert columns_of(list(rows)) == {"day": ["2020-01-01"], "in": [rows[0]["in"]]}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([b'{"a":1}{"a":2}', b"", b'{"a":3}'], {"a": [None, None, 3]}),
        ([b'{"a":1}, "b": {"a":2}', b'{"a":3}'], {"a": [None, 3]}),
        ([b'1}{"document":2', b'{"a":3}'], {"a": [None, 3]}),
        ([b"[1,2]", b'"text"', b"7"], {}),
        ([b'{"a": NaN}', b'{"a":1.5}'], None),
        ([b'{"a":1,"a":2}'], {"a": [2]}),
        ([b"\xff", b'{"a":"\xff"}', b'{"a":"x"}'], {"a": [None, None, "x"]}),
        ([b'{\n "a": 1\n}\n', b'{"a":2}\r\n'], {"a": [1, 2]}),
        ([b'{"a":18446744073709551615}'], {"a": [2**64 - 1]}),
        ([b'{"a":9007199254740993}', b'{"a":1}'], {"a": [2**53 + 1, 1]}),
        ([b'{"a":"\\ud800"}'], {"a": ["\\ud800"]}),
        ([b"[" * 100_000], {}),
    ],
)
def test_odd_documents_move_no_row(
    texts: list[object], expected: dict[str, list[object]] | None
) -> None:
    found = columns_of(texts, "text")
    others = found.pop("json", [None] * len(texts))

    if expected is not None:
        assert found == expected
        for text, other, *values in zip(texts, others, *found.values(), strict=True):
            assert isinstance(text, bytes)
            assert other in (None, text.decode(errors="backslashreplace"))
            assert (other is None) == any(value is not None for value in values)
    assert len(others) == len(texts)


def test_values_that_clash_are_named_or_become_texts() -> None:
    rows = [{"a": 1}, {"a": "x"}, {"a": [1, 2]}, None]

    with pytest.raises(SchemaError, match=r"'a'.*int and str and list in a\.tar.*clashes="):
        columns_of(list(rows))
    assert columns_of(list(rows), "text") == {"a": ["1", "x", "[1,2]", None]}


def test_what_parquet_does_not_have_becomes_text() -> None:
    assert columns_of([{"a": {}}, {"a": None}]) == {"a": ["{}", None]}


def test_keys_that_are_data_become_no_columns() -> None:
    rows = [{f"key {number}": 1 for number in range(5000)}]

    assert columns_of(list(rows)) == {"json": [json.dumps(rows[0])]}
