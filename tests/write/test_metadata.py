from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowimg._write.metadata import MetadataFrame, with_metadata
from arrowimg.errors import MetadataJoinError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAME = pl.DataFrame({"image_id": ["a", "b", "c", "d"], "score": [1.0, 2.0, None, 4.0]})


def ids(*values: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([list(values)], pa.string())


@given(st.permutations(["a", "b", "c", "d"]), st.permutations(range(4)))
def test_rows_follow_the_images_whatever_the_order_of_the_frame(
    asked: Sequence[str], order: Sequence[int]
) -> None:
    metadata = MetadataFrame(FRAME[list(order)])

    taken = metadata.take(ids(*asked))

    scores = dict(FRAME.iter_rows())
    assert taken.column_names == ["score"]
    assert taken["score"].to_pylist() == [scores[image_id] for image_id in asked]


def test_rows_are_handed_out_batch_by_batch() -> None:
    metadata = MetadataFrame(FRAME)

    batches = []
    for asked in (("d", "a"), ("c",), ("b",)):
        batches.append(metadata.take(ids(*asked)))
        metadata.confirm()

    metadata.check_all_used()
    assert [row["score"] for table in batches for row in table.to_pylist()] == [4.0, 1.0, None, 2.0]


@pytest.mark.parametrize(
    "source",
    [FRAME, FRAME.lazy(), FRAME.to_arrow(), FRAME.to_arrow().to_reader(), FRAME.to_pandas()],
    ids=["polars", "lazy", "table", "reader", "pandas"],
)
def test_anything_that_speaks_arrow_may_be_the_metadata(source: object) -> None:
    metadata = MetadataFrame(source)

    assert metadata.take(ids("b"))["score"].to_pylist() == [2.0]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal("1.5")], pa.decimal256(60, 2)),
        pa.array(["x"], pa.dictionary(pa.int32(), pa.string())),
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([1], pa.timestamp("ns", "Asia/Tokyo")),
        pa.array([[1.0, 2.0]], pa.list_(pa.float16(), 2)),
    ],
    ids=lambda column: str(column.type),
)
def test_types_that_polars_lacks_come_through(column: pa.Array) -> None:
    metadata = MetadataFrame(pa.table({"image_id": ["a"], "value": column}))

    taken = metadata.take(ids("a"))

    assert taken.schema.field("value").type == column.type
    assert taken["value"].to_pylist() == column.to_pylist()


def test_integer_ids_match_text_in_decimal() -> None:
    metadata = MetadataFrame(pa.table({"image_id": [7, 8], "n": [70, 80]}))

    assert metadata.take(ids("8", "7"))["n"].to_pylist() == [80, 70]


def test_a_frame_without_ids_is_refused() -> None:
    with pytest.raises(SchemaError, match="'image_id': expected a column of strings"):
        MetadataFrame(pl.DataFrame({"score": [1.0]}))


def test_ids_that_are_no_text_are_refused() -> None:
    with pytest.raises(SchemaError, match="'image_id'"):
        MetadataFrame(pl.DataFrame({"image_id": [["a"]]}))


@pytest.mark.parametrize(
    ("in_frame", "offenders"),
    [(["a", "b", "a", "c", "c"], ("a", "c")), (["a", None], (None,)), ([None, None], (None,))],
)
def test_ids_that_are_null_or_stand_twice_in_the_frame_are_listed(
    in_frame: list[str | None], offenders: tuple[str | None, ...]
) -> None:
    with pytest.raises(MetadataJoinError, match="once in metadata") as caught:
        MetadataFrame(pl.DataFrame({"image_id": in_frame}, schema={"image_id": pl.String}))

    assert caught.value.image_ids == offenders


@pytest.mark.parametrize("asked", [("a", "x", "y"), ("x", "b", "y")])
def test_images_without_metadata_are_listed_in_order(asked: tuple[str, ...]) -> None:
    metadata = MetadataFrame(FRAME)

    with pytest.raises(MetadataJoinError, match="metadata for every image_id") as caught:
        metadata.take(ids(*asked))

    assert caught.value.image_ids == ("x", "y")


def test_an_image_without_id_has_no_metadata() -> None:
    with pytest.raises(MetadataJoinError, match="metadata for every image_id") as caught:
        MetadataFrame(FRAME).take(ids("a", None))

    assert caught.value.image_ids == (None,)


def test_ids_that_stand_twice_in_a_batch_are_listed() -> None:
    with pytest.raises(MetadataJoinError, match="once in the images") as caught:
        MetadataFrame(FRAME).take(ids("a", "b", "a"))

    assert set(caught.value.image_ids) == {"a"}


def test_ids_that_stood_in_a_batch_before_are_listed() -> None:
    metadata = MetadataFrame(FRAME)
    metadata.take(ids("a", "b"))
    metadata.confirm()

    with pytest.raises(MetadataJoinError, match="once in the images") as caught:
        metadata.take(ids("c", "b"))

    assert caught.value.image_ids == ("b",)


def test_metadata_without_an_image_is_listed_at_the_end() -> None:
    metadata = MetadataFrame(FRAME)
    metadata.take(ids("c", "a"))
    metadata.confirm()

    with pytest.raises(MetadataJoinError, match="an image for every row") as caught:
        metadata.check_all_used()

    assert caught.value.image_ids == ("b", "d")


@pytest.mark.parametrize(
    ("images", "expected", "offenders"),
    [
        (("a", "b", "c", "d", "a"), "once in the images", {"a"}),
        (("a", "b", "c", "d", "e"), "metadata for every", {"e"}),
        (("a", "b", "c", None), "metadata for every", {None}),
        (("a", "c"), "an image for every row", {"b", "d"}),
    ],
)
def test_all_ids_can_be_checked_at_once_before_anything_is_handed_out(
    images: tuple[str | None, ...], expected: str, offenders: set[str | None]
) -> None:
    metadata = MetadataFrame(FRAME)

    with pytest.raises(MetadataJoinError, match=expected) as caught:
        metadata.check_ids(ids(*images))

    assert set(caught.value.image_ids) == offenders


def test_checking_uses_nothing_up() -> None:
    metadata = MetadataFrame(FRAME)

    metadata.check_ids(ids("d", "c", "b", "a"))

    assert metadata.take(ids("a"))["score"].to_pylist() == [1.0]


def test_a_table_gets_the_columns_of_its_ids() -> None:
    images = pa.table({"image_data": [b"1", b"2"], "image_id": ["d", "c"]})

    joined = with_metadata(images, MetadataFrame(FRAME).take)

    assert joined.drop_columns(["image_data"]).to_pydict() == {
        "image_id": ["d", "c"],
        "score": [4.0, None],
    }
    with pytest.raises(SchemaError, match="join metadata on"):
        with_metadata(images.drop_columns(["image_id"]), MetadataFrame(FRAME).take)
