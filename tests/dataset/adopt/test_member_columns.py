"""Members and Parquet beside a tar as columns: one schema over all tars, widened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from adopt_data import picture, samples, tar_of, write_tars

import arrowimg
from arrowimg._dataset.adopt.find import find_tars
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def adopted(folder: Path, *tars: list[tuple[str, bytes]], **options: Any) -> pl.DataFrame:  # noqa: ANN401
    arrowimg.adopt(write_tars(folder, *tars), **options)
    assert arrowimg.verify(folder).is_sound
    return arrowimg.scan(folder).collect()


def test_types_widen_over_all_tars_and_missing_columns_are_null(tmp_path: Path) -> None:
    rows = adopted(
        tmp_path / "tars",
        samples([0], n=None),
        samples([1], n=1),
        samples([2], n=2.5, late="x"),
    )

    assert rows["n"].to_list() == [None, 1.0, 2.5]
    assert rows["late"].to_list() == [None, None, "x"]
    schemas = {
        pq.read_schema(path).remove_metadata().to_string()
        for path in (tmp_path / "tars").glob("adopted-*.parquet")
    }
    assert len(schemas) == 1


def test_a_clash_of_tars_names_both_and_can_become_text(tmp_path: Path) -> None:
    tars = [samples([0], n=1), samples([1], n="x")]

    with pytest.raises(SchemaError, match=r"int64, as in 00000\.tar.*string in 00001\.tar"):
        adopted(tmp_path / "tars", *tars)
    rows = adopted(tmp_path / "tars", *tars, clashes="text")

    assert rows["n"].to_list() == ["1", "x"]


def test_classes_are_numbers_where_all_are(tmp_path: Path) -> None:
    rows = adopted(
        tmp_path / "tars",
        [("a.jpg", picture(1)), ("a.cls", b" 7\n"), ("b.jpg", picture(2)), ("b.cls", b"8")],
    )
    words = adopted(
        tmp_path / "words",
        [("a.jpg", picture(1)), ("a.cls", b"7"), ("b.jpg", picture(2)), ("b.cls", b"cat")],
    )

    assert rows["cls"].to_list() == [7, 8]
    assert words["cls"].to_list() == ["7", "cat"]


def test_other_members_are_bytes_on_request(tmp_path: Path) -> None:
    members = [("a.jpg", picture(1)), ("a.seg.png", b"mask"), ("a.npy", b"\x93"), ("a.json", b"{}")]

    rows = adopted(tmp_path / "tars", members, members=["seg.png", "npy"])

    assert (rows["seg_png"][0], rows["npy"][0]) == (b"mask", b"\x93")
    assert rows["member_name"].to_list() == ["a.jpg"]


def test_names_of_our_own_get_a_prefix(tmp_path: Path) -> None:
    rows = adopted(tmp_path / "tars", samples([0], width=3, size="big", tar_path="x"))

    assert rows.select("source_width", "source_size", "source_tar_path").row(0) == (3, "big", "x")
    assert rows["width"][0] == 24


def test_texts_that_are_no_utf_8_are_spelled_and_counted(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", [("a.jpg", picture(1)), ("a.txt", b"caf\xe9")])

    adoption = arrowimg.adopt(tars)

    assert arrowimg.scan(tars).collect()["txt"].to_list() == ["caf\\xe9"]
    assert adoption.notices == {"texts that are no UTF-8": 1}


def test_the_table_of_img2dataset_is_joined(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", samples([0, 2], status="success"))
    table = {
        "url": ["a", "b", "c"],
        "key": ["000000000", "000000001", "000000002"],
        "status": ["success", "failed_to_download", "success"],
        "caption": ["x", "y", "z"],
        "width": pa.array([24, None, 24], pa.int32()),
    }
    theirs = tars / "00000.parquet"
    pq.write_table(pa.table(table), theirs)
    before = theirs.read_bytes()

    adoption = arrowimg.adopt(tars)

    rows = arrowimg.scan(tars).collect()
    assert rows.select("image_id", "url", "status", "caption", "source_width", "txt").rows() == [
        ("000000000", "a", "success", "x", 24, "picture 0"),
        ("000000002", "c", "success", "z", 24, "picture 2"),
    ]
    assert "key" not in rows.columns
    assert adoption.notices == {"rows of Parquet beside a tar whose sample is not in it": 1}
    assert theirs.read_bytes() == before
    assert arrowimg.verify(tars).is_sound


def test_the_table_of_nemo_curator_gives_ids_and_paths(tmp_path: Path) -> None:
    tars = tmp_path / "tars"
    tars.mkdir()
    name = "images-0a1b2c-000000"
    (tars / f"{name}.tar").write_bytes(tar_of([("k1.jpg", picture(1)), ("k2.jpg", picture(2))]))
    table = {
        "image_id": ["cats/1", "cats/2"],
        "tar_file": [f"{name}.tar"] * 2,
        "member_name": ["k1.jpg", "k2.jpg"],
        "original_path": ["/in/1.png", None],
        "metadata": ["{}", "{}"],
    }
    pq.write_table(pa.table(table), tars / f"{name}.parquet")

    arrowimg.adopt(tars)

    rows = arrowimg.scan(tars).collect()
    columns = ("image_id", "member_name", "original_path", "metadata")
    assert rows.select(columns).rows() == [
        ("cats/1", "k1.jpg", "/in/1.png", "{}"),
        ("cats/2", "k2.jpg", None, "{}"),
    ]
    assert arrowimg.fetch_images(rows)["image_data"].to_list() == [picture(1), picture(2)]


def beside(folder: Path, column: str, values: object) -> dict[str, int]:
    """Adopt a tar of two samples beside which a column is; returns the notices."""
    tars = write_tars(folder, samples([0, 1], image_id="in the document"))
    table = pa.table({"key": ["000000000", "000000001"], column: values, "url": ["a", "b"]})
    pq.write_table(table, tars / "00000.parquet")
    return arrowimg.adopt(tars).notices


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (pa.array([7002, 7001]), ["7002", "7001"]),
        (pa.array([2**63, 3], pa.uint64()), ["9223372036854775808", "3"]),
        (pa.array(["x", "y"], pa.large_string()), ["x", "y"]),
        (pa.array([5, None]), ["5", "000000001"]),
    ],
)
def test_ids_beside_a_tar_are_ids(values: pa.Array, ids: list[str], tmp_path: Path) -> None:
    notices = beside(tmp_path / "tars", "image_id", values)

    rows = arrowimg.scan(tmp_path / "tars").collect()
    assert (rows["image_id"].to_list(), rows["url"].to_list(), notices) == (ids, ["a", "b"], {})
    assert arrowimg.verify(tmp_path / "tars").is_sound


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("image_id", ["s", "s"]),
        ("image_id", [7, 7]),
        ("image_id", ["000000001", None]),
        ("image_id", [0.5, 1.5]),
        ("original_path", [["a"], ["b"]]),
    ],
)
def test_what_can_be_no_id_beside_a_tar_is_kept_and_counted(
    column: str, values: list[object], tmp_path: Path
) -> None:
    notices = beside(tmp_path / "tars", column, values)

    rows = arrowimg.scan(tmp_path / "tars").collect()
    assert rows[f"source_{column}"].to_list() == values
    assert rows["image_id"].to_list() == ["000000000", "000000001"]
    notice = f"{column} of Parquet beside a tar that can be none, in source_{column}"
    assert notices == {notice: 1}
    assert arrowimg.verify(tmp_path / "tars").is_sound


@pytest.mark.parametrize("data", [b"PAR1 no", b""])
def test_a_table_that_cannot_be_read_is_counted(data: bytes, tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", samples([0]))
    (tars / "00000.parquet").write_bytes(data)

    adoption = arrowimg.adopt(tars)

    assert adoption.notices == {"Parquet beside a tar that cannot be read": 1}
    assert arrowimg.scan(tars).collect()["caption"].to_list() == ["picture 0"]


def test_braces_stand_for_what_webdataset_makes_of_them(tmp_path: Path) -> None:
    from braceexpand import braceexpand

    for text in ("a-{000..012}.tar", "{a,b}-{1..3}.tar", "x{8..11}.tar", "{b}.tar", "{3..1}.tar"):
        names = find_tars(f"{tmp_path}/{text}").names
        assert names == list(braceexpand(text))
