"""pandas frames as people make them: the index, and columns of Python objects."""

from __future__ import annotations

import datetime as dt
import decimal
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from arrowimg._core.tables import as_table
from arrowimg.errors import SchemaError

NOON = pd.Timestamp("2020-02-29 12:00").to_pydatetime()
FRAME = pd.DataFrame({"image_id": [1, 2, 3], "score": [0.5, 1.5, 2.5]})


class TestIndex:
    @pytest.mark.parametrize("ids", [[1, 2, 3], [3, 1, 2], ["a", "b", "c"]])
    def test_an_index_that_has_a_name_is_a_column(self, ids: list[Any]) -> None:
        frame = FRAME.assign(image_id=ids).set_index("image_id")

        assert as_table(frame)["image_id"].to_pylist() == ids

    def test_an_index_whose_name_is_a_number_is_a_column_of_that_name(self) -> None:
        frame = FRAME.set_index(pd.RangeIndex(4, 7, name=0))

        assert as_table(frame)["0"].to_pylist() == [4, 5, 6]

    def test_levels_that_have_a_name_are_columns(self) -> None:
        frame = FRAME.set_index(["image_id", pd.Index(["x", "y", "z"])])

        assert as_table(frame).column_names == ["score", "image_id"]

    def test_an_index_that_is_kept_as_a_column_too_is_there_once(self) -> None:
        frame = FRAME.set_index("image_id", drop=False)

        assert as_table(frame).to_pydict() == FRAME.to_dict("list")

    def test_one_without_a_name_is_left_out_and_said(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "arrowimg"):
            table = as_table(FRAME.set_index(pd.Index([5, 9, 6])))

        assert table.to_pydict() == FRAME.to_dict("list")
        assert ["no name and is left out" in message for message in caplog.messages] == [True]

    def test_nothing_is_said_of_the_numbers_of_the_rows(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        as_table(FRAME)

        assert caplog.messages == []


class TestObjects:
    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (["a", None, "b"], pa.string()),
            (["a", float("nan"), pd.NA], pa.string()),
            ([1, None, 2], pa.int64()),
            ([1, 2.5, None], pa.float64()),
            ([True, None, False], pa.bool_()),
            ([b"a", None, b""], pa.binary()),
            ([decimal.Decimal("1.2"), decimal.Decimal("10.345"), None], pa.decimal128(5, 3)),
            ([dt.date(2020, 2, 29), None, None], pa.date32()),
            ([pd.Timestamp("2020-02-29 12:00"), pd.NaT, None], pa.timestamp("us")),
            ([[1], [], None], pa.list_(pa.int64())),
            ([np.zeros(2), np.ones(3), None], pa.list_(pa.float64())),
            ([{"a": 1}, {"b": 2}, None], pa.struct([("a", pa.int64()), ("b", pa.int64())])),
            ([None, None, None], pa.null()),
        ],
    )
    def test_a_column_is_what_its_values_are(self, values: list[Any], kind: pa.DataType) -> None:
        table = as_table(pd.DataFrame({"x": pd.Series(values, dtype=object)}))

        assert table.schema.field("x").type == kind

    @pytest.mark.parametrize(
        ("values", "found"),
        [
            ([None, object(), 1], "object at row 1"),
            ([1, None, "b"], "str at row 2, after int"),
            (["a", "b", 1], "int at row 2, after str"),
            ([True, 1, None], "int at row 1, after bool"),
            ([[1], None, ["a"]], "list at row 2, after list"),
            ([None, Path("a"), None], "Path at row 1"),
            ([np.zeros((2, 2, 3), np.uint8), None, None], "ndarray at row 0"),
            ([None, 1j, None], "complex at row 1"),
            ([1, 2**70, None], "int at row 1, after int"),
            ([None, {1, 2}, None], "set at row 1"),
            ([dt.date(2020, 2, 29), None, NOON], "datetime beside dates"),
            ([NOON, dt.date(2020, 2, 29), None], "datetime beside dates"),
        ],
    )
    def test_a_value_that_is_nothing_is_named_with_its_row_and_type(
        self, values: list[Any], found: str
    ) -> None:
        frame = pd.DataFrame({"n": range(3), "x": pd.Series(values, dtype=object)})

        with pytest.raises(SchemaError) as refused:
            as_table(frame)

        assert refused.value.column == "x"
        assert found.removeprefix("Path") in refused.value.found

    @pytest.mark.parametrize(
        ("value", "advice"),
        [
            (np.zeros((2, 2, 3), np.uint8), "ImageBatch.from_arrays"),
            (Path("a"), "as str"),
            ({1, 2}, "sorted lists"),
        ],
    )
    def test_what_to_do_is_said(self, value: object, advice: str) -> None:
        with pytest.raises(SchemaError, match=advice):
            as_table(pd.DataFrame({"x": pd.Series([value], dtype=object)}))

    def test_the_row_is_found_among_many(self) -> None:
        values = ["a"] * 1000
        values[777] = object()  # type: ignore[call-overload]

        with pytest.raises(SchemaError, match="object at row 777"):
            as_table(pd.DataFrame({"x": pd.Series(values, dtype=object)}))
