"""Values are spelled the same way whatever else is installed."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from arrowimg._core.texts import json_values, shown_values, texts_of
from arrowimg._format.members import extra_members
from arrowimg.errors import SchemaError

NS = 1_500_000_001
CASES: list[tuple[pa.DataType, Any, str, Any]] = [
    (pa.date32(), 18_321, "2020-02-29", "2020-02-29"),
    (pa.time32("ms"), 1500, "00:00:01.500000", "00:00:01.500000"),
    (pa.time64("ns"), NS, "00:00:01.500000001", "00:00:01.500000001"),
    (pa.timestamp("s"), 1, "1970-01-01 00:00:01", "1970-01-01T00:00:01"),
    (pa.timestamp("us"), 1_500_000, "1970-01-01 00:00:01.500000", "1970-01-01T00:00:01.500000"),
    (pa.timestamp("ns"), NS, "1970-01-01 00:00:01.500000001", "1970-01-01T00:00:01.500000001"),
    (pa.timestamp("ns"), -1, "1969-12-31 23:59:59.999999999", "1969-12-31T23:59:59.999999999"),
    (pa.timestamp("ns"), 10**9, "1970-01-01 00:00:01", "1970-01-01T00:00:01"),
    (pa.timestamp("us", "UTC"), 0, "1970-01-01 00:00:00+00:00", "1970-01-01T00:00:00Z"),
    (
        pa.timestamp("ns", "Europe/Berlin"),
        NS,
        "1970-01-01 01:00:01.500000001+01:00",
        "1970-01-01T01:00:01.500000001+01:00",
    ),
    (
        # In summer, after the years that older packages of time zones know.
        pa.timestamp("s", "Europe/Berlin"),
        2_540_000_000,
        "2050-06-28 05:33:20+02:00",
        "2050-06-28T05:33:20+02:00",
    ),
    (pa.timestamp("ms", "-03:30"), 0, "1969-12-31 20:30:00-03:30", "1969-12-31T20:30:00-03:30"),
    (pa.duration("s"), 90_061, "1 day, 1:01:01", "P1DT3661S"),
    (pa.duration("us"), 1_500_000, "0:00:01.500000", "PT1.5S"),
    (pa.duration("ns"), NS, "0:00:01.500000001", "PT1.500000001S"),
    (pa.duration("ns"), -1, "-1 day, 23:59:59.999999999", "-PT0.000000001S"),
    (pa.duration("ms"), 0, "0:00:00", "P0D"),
    (pa.float16(), 1.5, "1.5", 1.5),
    (pa.float32(), 0.1, "0.10000000149011612", 0.10000000149011612),
    (pa.float64(), 1e16, "1e+16", 1e16),
    (pa.decimal128(5, 2), Decimal("1.50"), "1.50", "1.50"),
    (pa.uint64(), 2**64 - 1, str(2**64 - 1), 2**64 - 1),
    (pa.bool_(), True, "True", True),
]


def column(kind: pa.DataType, value: Any) -> pa.ChunkedArray:  # noqa: ANN401
    if pa.types.is_temporal(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pa.chunked_array([pa.array([None, value], width).cast(kind)])
    return pa.chunked_array([pa.array([None, value], kind)])


@pytest.mark.parametrize(("kind", "value", "text", "document"), CASES, ids=str)
def test_a_value_has_one_text_and_one_json(
    kind: pa.DataType, value: object, text: str, document: object
) -> None:
    table = pa.table({"x": column(kind, value)})

    assert texts_of(table["x"], "x") == [None, text]
    assert extra_members(table, {"txt": "x"})["txt"].to_pylist() == [b"", text.encode()]
    members = extra_members(table, {"json": ["x"]})["json"].to_pylist()
    assert [json.loads(it) for it in members] == [{"x": None}, {"x": document}]


@pytest.mark.parametrize(
    "kind",
    [kind for kind, *_ in CASES if pa.types.is_temporal(kind) and "ns" not in str(kind)],
    ids=str,
)
def test_moments_of_no_nanoseconds_are_spelled_as_python_does(kind: pa.DataType) -> None:
    values = column(kind, 86_399)
    if "Berlin" in str(kind):
        pytest.skip("which zones PyArrow finds depends on what is installed")

    assert texts_of(values, "x")[1] == str(values[1].as_py())


def test_nested_values_are_spelled_in_the_same_way() -> None:
    stamps = pa.array([NS, None, 0], pa.timestamp("ns"))
    lists = pa.ListArray.from_arrays([0, 2, 2, 3], stamps, mask=pa.array([False, True, False]))
    structs = pa.StructArray.from_arrays([stamps], ["at"], mask=pa.array([False, True, False]))
    maps = pa.MapArray.from_arrays([0, 1, 1, 3], pa.array(["a", "b", "c"]), stamps)
    words = pa.array(["x", None, "x"]).dictionary_encode()
    spelled = ["1970-01-01T00:00:01.500000001", None, "1970-01-01T00:00:00"]

    assert json_values(pa.chunked_array([lists]), "x") == [spelled[:2], None, spelled[2:]]
    assert json_values(pa.chunked_array([lists.slice(1)]), "x") == [None, spelled[2:]]
    assert json_values(pa.chunked_array([structs]), "x") == [
        {"at": spelled[0]},
        None,
        {"at": spelled[2]},
    ]
    assert json_values(pa.chunked_array([maps]), "x") == [
        [("a", spelled[0])],
        [],
        [("b", None), ("c", spelled[2])],
    ]
    assert json_values(pa.chunked_array([words]), "x") == ["x", None, "x"]


def test_a_date_beyond_the_year_9999_cannot_be_spelled_but_shown() -> None:
    far = column(pa.date32(), 2**31 - 1)

    with pytest.raises(SchemaError, match="years 1 to 9999") as caught:
        extra_members(pa.table({"when": far}), {"txt": "when"})

    assert caught.value.column == "when"
    assert len(shown_values(far)) == 2


def test_the_same_bytes_with_pandas_and_without() -> None:
    program = """
import sys
def absent(name, path=None, target=None):
    if name.partition(".")[0] == "pandas":
        raise ModuleNotFoundError(name)
if sys.argv[1] == "without":
    sys.meta_path.insert(0, type("Absent", (), {"find_spec": staticmethod(absent)}))
import pyarrow as pa
from arrowimg._format.members import extra_members
kinds = [pa.timestamp("ns"), pa.timestamp("ns", "Asia/Tokyo"), pa.duration("ns"), pa.time64("ns")]
table = pa.table({str(kind): pa.array([1_500_000_001, 10**9], kind) for kind in kinds})
for name in table.column_names:
    print(extra_members(table, {"txt": name, "json": [name]}).to_pydict())
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", program, which], capture_output=True, check=True
        ).stdout
        for which in ("with", "without")
    ]

    assert said[0] == said[1]
    assert said[0].count(b"\n") == 4


def test_dates_are_spelled_as_they_are_in_python() -> None:
    assert texts_of(column(pa.date64(), 86_400_000), "x")[1] == str(dt.date(1970, 1, 2))
