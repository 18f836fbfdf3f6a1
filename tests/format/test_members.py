from __future__ import annotations

import datetime as dt
import json
import tarfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photographs import SKIMAGE
from PIL import Image

from arrowimg import ImageBatch, ImageWriterStage
from arrowimg._format.members import check_members, extra_members
from arrowimg.errors import ErrorCode, SchemaError

PHOTOGRAPH = SKIMAGE / "coffee.png"

METADATA = pa.table(
    {
        "caption": ["naïve café 猫", None, ""],
        "score": [0.5, None, 2.0],
        "label": [7, None, -1],
        "is_sharp": [True, None, False],
        "blob": [b"\x00\xff", None, b""],
        "tags": [["a", "b"], None, []],
        "kind": pa.array(["x", None, "x"]).dictionary_encode(),
        "when": [dt.datetime(2020, 2, 29, tzinfo=dt.UTC), None, None],
        "price": [Decimal("1.50"), None, None],
    }
)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("caption", ["naïve café 猫".encode(), b"", b""]),
        ("score", [b"0.5", b"", b"2.0"]),
        ("label", [b"7", b"", b"-1"]),
        ("blob", [b"\x00\xff", b"", b""]),
        ("kind", [b"x", b"", b"x"]),
        ("price", [b"1.50", b"", b""]),
    ],
)
def test_one_column_gives_its_value_as_it_stands(column: str, values: list[bytes]) -> None:
    members = extra_members(METADATA, {"txt": column})

    assert members.schema == pa.schema([("txt", pa.large_binary())])
    assert members.to_pydict() == {"txt": values}


def test_several_columns_give_a_json_object_in_the_order_named() -> None:
    members = extra_members(METADATA, {"json": ["tags", "caption", "when", "is_sharp"]})

    first, second, _ = map(json.loads, members["json"].to_pylist())
    assert first == {
        "tags": ["a", "b"],
        "caption": "naïve café 猫",
        "when": "2020-02-29T00:00:00Z",
        "is_sharp": True,
    }
    assert list(first) == ["tags", "caption", "when", "is_sharp"]
    assert set(second.values()) == {None}


def test_a_list_of_one_column_is_json_too() -> None:
    members = extra_members(METADATA, {"json": ["label"]})

    assert members.to_pydict() == {"json": [b'{"label":7}', b'{"label":null}', b'{"label":-1}']}


def test_numbers_that_json_lacks_are_null() -> None:
    table = pa.table({"score": [float("nan"), float("inf")]})

    members = extra_members(table, {"json": ["score"]})

    assert [json.loads(value) for value in members["json"].to_pylist()] == [{"score": None}] * 2


@pytest.mark.parametrize("members", [{"txt": "title"}, {"json": ["caption", "title"]}])
def test_a_column_that_is_not_there_is_named_with_those_that_are(members: Any) -> None:  # noqa: ANN401
    with pytest.raises(SchemaError, match="'caption', 'score'") as caught:
        check_members(METADATA.schema, members)

    assert caught.value.column == "title"


def test_a_nested_column_as_text_is_refused_with_the_way_out() -> None:
    with pytest.raises(SchemaError, match=r'members=\{"txt": \["tags"\]\} writes JSON'):
        check_members(METADATA.schema, {"txt": "tags"})


def windows(count: int) -> list[np.ndarray[Any, np.dtype[np.uint8]] | None]:
    photograph = np.asarray(Image.open(PHOTOGRAPH))
    return [photograph[at : at + 10 + at, 100:120] for at in range(count)]


@pytest.mark.parametrize(
    "extensions",
    [
        ["txt"],
        ["a", "json", "txt", "zzz"],
        ["thumb.jpg"],
        ["jpg_small"],
        ["b.jpg", "jpgx", "x-jpg"],
    ],
    ids=" ".join,
)
def test_members_of_a_sample_stand_together_sorted_and_offsets_find_the_picture(
    extensions: list[str], tmp_path: Path
) -> None:
    batch = ImageBatch.from_arrays(windows(4), ["d", "c", "b", "a"], caption=list("wxyz"))
    stage = ImageWriterStage(tmp_path, members=dict.fromkeys(extensions, "caption"))

    group = stage.process(batch)

    with tarfile.open(group.tar_paths[0]) as tar:
        assert tar.getnames() == [
            f"{key}.{extension}" for key in "dcba" for extension in sorted(["jpg", *extensions])
        ]
        data_at = {member.name: member.offset_data for member in tar.getmembers()}
    rows = pq.read_table(group.parquet_paths[0]).to_pylist()
    assert [row["offset"] for row in rows] == [data_at[row["member_name"]] for row in rows]


def test_a_row_with_an_error_has_no_members_at_all(tmp_path: Path) -> None:
    images = [*windows(1), None, *windows(1)]
    batch = ImageBatch.from_arrays(images, ["a", "b", "c"], caption=["x", "y", "z"])

    group = ImageWriterStage(tmp_path, on_error="quarantine", members={"txt": "caption"}).process(
        batch
    )

    with tarfile.open(group.tar_paths[0]) as tar:
        assert tar.getnames() == ["a.jpg", "a.txt", "c.jpg", "c.txt"]
    table = pq.read_table(group.parquet_paths[0])
    assert table["error"].to_pylist() == [None, ErrorCode.MISSING, None]
    assert table["caption"].to_pylist() == ["x", "y", "z"]


def test_members_count_in_the_size_of_the_tar(tmp_path: Path) -> None:
    batch = ImageBatch.from_arrays(windows(2), ["a", "b"], note=["short", "x" * 9000])
    stage = ImageWriterStage(
        tmp_path, on_error="quarantine", members={"txt": "note"}, max_bytes_per_tar=8192
    )

    group = stage.process(batch)

    assert pq.read_table(group.parquet_paths[0])["error"].to_pylist() == [
        None,
        ErrorCode.EXCEEDS_TAR,
    ]
    assert Path(group.tar_paths[0]).stat().st_size <= 8192
