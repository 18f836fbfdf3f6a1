"""Spools joined to shards are what one writer makes of the same rows, byte for byte."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from folders import content
from hypothesis import given
from hypothesis import strategies as st
from writer_data import dataset, in_batches

import arrowimg
from arrowimg import ImageBatch, WriteOptions
from arrowimg._format.names import SPOOLS_FOLDER
from arrowimg._storage.open import open_storage
from arrowimg._write import encode as _batches
from arrowimg._write.distributed.spools import (
    Spool,
    discard_spools,
    join_shard,
    plan_spools,
    write_spool,
)
from arrowimg._write.packing.plan import plan_shards
from arrowimg._write.publish import Dataset
from arrowimg.errors import DuplicateIdError, SchemaError, ShardConflictError

if TYPE_CHECKING:
    from pathlib import Path

BAD = (0, 1, 30, 49, 50, 51, 119)


def files(count: int = 120) -> pa.Table:
    """Return JPEG files, seven of them cut off."""
    batch = ImageBatch(dataset(count))
    jpegs = [
        arrowimg.ImageWriterStage(".")._encode_image_to_bytes(image)[0]
        for image in batch.images()
        if not isinstance(image, memoryview) and image is not None
    ]
    data = [jpeg[:40] if row in BAD else jpeg for row, jpeg in enumerate(jpegs)]
    return pa.table({"image_id": batch.data["image_id"], "image_data": data})


def join_all(table: pa.Table, folder: Path, rows: int, **options: Any) -> None:  # noqa: ANN401
    """Write a table by spools of so many rows."""
    chosen = WriteOptions(remove_image_data=True, **options)
    spools, joined = open_storage(folder / SPOOLS_FOLDER), Dataset.at(folder, chosen)
    written = [write_spool(spools, ImageBatch(it), chosen) for it in in_batches(table, rows)]
    for planned in plan_spools(written, chosen.images_per_tar, chosen.max_members_nbytes):
        join_shard(spools, joined, planned)
    discard_spools(spools)


@pytest.mark.parametrize("rows", [1, 7, 50, 63, 64, 65, 120])
@pytest.mark.parametrize(
    "options",
    [
        {"images_per_tar": 50},
        {"images_per_tar": 1},
        {"images_per_tar": 7, "keep_quarantined": True},
        {"max_bytes_per_tar": 20_000},
    ],
    ids=str,
)
def test_shards_are_those_of_one_writer(tmp_path: Path, rows: int, options: dict[str, Any]) -> None:
    options |= {"on_error": "quarantine"}
    table = files()

    arrowimg.write_shards(table, tmp_path / "whole", **options)
    join_all(table, tmp_path / "joined", rows, **options)

    expected = content(tmp_path / "whole")
    del expected["manifest.json"]
    assert content(tmp_path / "joined") == expected


@pytest.mark.parametrize("rows", [11, 64])
def test_rows_without_ids_have_the_numbers_of_the_dataset(tmp_path: Path, rows: int) -> None:
    table = files().drop_columns(["image_id"])

    arrowimg.write_shards(table, tmp_path / "whole", 50, on_error="quarantine")
    join_all(table, tmp_path / "joined", rows, images_per_tar=50, on_error="quarantine")

    expected = content(tmp_path / "whole")
    del expected["manifest.json"]
    assert content(tmp_path / "joined") == expected


def test_columns_of_all_types_come_out_as_they_went_in(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 25, 3, tzinfo=ZoneInfo("Europe/Berlin"))
    columns = {
        "caption": pa.array([None, "", "ü", "d"] * 20),
        "kind": pa.array(["x", "y", None, "x"] * 20).dictionary_encode(),
        "at": pa.array([moment] * 80, pa.timestamp("us", "Europe/Berlin")),
        "price": pa.array([Decimal("1.50")] * 80, pa.decimal256(38, 2)),
        "box": pa.array([{"x": 1, "y": [1.5]}, None] * 40),
        "vector": pa.array([[1.0, 2.0]] * 80, pa.list_(pa.float32(), 2)),
        "tags": pa.array([[("a", 1)], []] * 40, pa.map_(pa.string(), pa.int8())),
        "stored.key": pa.array(range(80), pa.uint16()),
    }
    table = dataset(80, **columns)
    options = {"images_per_tar": 30, "members": {"txt": "caption", "json": ["box", "kind"]}}

    arrowimg.write_shards(table, tmp_path / "whole", **options)  # type: ignore[arg-type]
    join_all(table, tmp_path / "joined", 13, **options)

    expected = content(tmp_path / "whole")
    del expected["manifest.json"]
    assert content(tmp_path / "joined") == expected


@given(
    spools=st.lists(st.lists(st.sampled_from([0, 0, 1024, 1536, 4096]))),
    images_per_tar=st.integers(1, 9),
    max_bytes=st.none() | st.integers(2560, 12_000),
)
def test_the_plan_is_that_of_all_rows_in_one_list(
    spools: list[list[int]], images_per_tar: int, max_bytes: int | None
) -> None:
    options = WriteOptions(images_per_tar=images_per_tar, max_bytes_per_tar=max_bytes)
    given_spools = [Spool(f"{at}", sizes, []) for at, sizes in enumerate(spools)]
    rows = [(spool.name, row) for spool in given_spools for row in range(len(spool.row_nbytes))]
    sizes = [size for spool in given_spools for size in spool.row_nbytes]

    limits = (images_per_tar, options.max_members_nbytes)

    planned = list(plan_spools(given_spools, *limits))

    whole = plan_shards(sizes, *limits)
    assert [shard.number for shard in planned] == list(range(len(whole)))
    for shard, expected in zip(planned, whole, strict=True):
        taken = [(it.spool, it.start + at) for it in shard.parts for at in range(it.num_rows)]
        assert taken == rows[expected]
        assert shard.first_row == expected.start
        assert shard.nbytes == sum(sizes[expected])


def test_a_shard_is_planned_as_soon_as_its_rows_are_known() -> None:
    read = []

    def spools() -> Any:  # noqa: ANN401
        for at in range(5):
            read.append(at)
            yield Spool(f"{at}", [1024] * 4, [])

    next(plan_spools(spools(), 6, None))

    assert read == [0, 1]


def test_writing_a_spool_again_changes_nothing(tmp_path: Path) -> None:
    storage, batch = open_storage(tmp_path), ImageBatch(dataset(9))

    first = write_spool(storage, batch, WriteOptions())
    inode = (tmp_path / first.name).stat().st_ino

    assert write_spool(storage, batch, WriteOptions()) == first
    assert write_spool(storage, batch, WriteOptions(if_exists="skip")) == first
    assert (tmp_path / first.name).stat().st_ino == inode


def test_a_spool_is_the_same_on_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_batches, "_LEAST_ENCODED_NBYTES", 1)
    batch, folders = ImageBatch(dataset(150)), [tmp_path / "one", tmp_path / "three"]
    spools = [
        write_spool(open_storage(folder), batch, WriteOptions(encode_threads=threads))
        for folder, threads in zip(folders, (1, 3), strict=True)
    ]

    assert spools[0] == spools[1]
    assert content(folders[0]) == content(folders[1])


def test_a_spool_of_the_same_ids_and_other_pictures_is_a_conflict(tmp_path: Path) -> None:
    storage, table = open_storage(tmp_path), dataset(9)
    write_spool(storage, ImageBatch(table), WriteOptions())
    other = table.set_column(0, "image_data", table["image_data"].take(list(range(8, -1, -1))))

    with pytest.raises(ShardConflictError):
        write_spool(storage, ImageBatch(other), WriteOptions())
    # Whoever trusts the ids is given what is there.
    assert write_spool(storage, ImageBatch(other), WriteOptions(if_exists="skip")).row_nbytes


def test_an_id_in_two_spools_of_a_shard_is_refused(tmp_path: Path) -> None:
    table = dataset(20)

    with pytest.raises(DuplicateIdError, match="'id003'"):
        join_all(pa.concat_tables([table, table.slice(3, 1)]), tmp_path, 10)

    assert list(tmp_path.glob("*.parquet")) == []


def test_spools_with_other_columns_are_refused(tmp_path: Path) -> None:
    options, storage = WriteOptions(), open_storage(tmp_path)
    spools = [
        write_spool(storage, ImageBatch(dataset(20, score=score).slice(at, 10)), options)
        for at, score in ((0, [0.5] * 20), (10, ["high"] * 20))
    ]

    with pytest.raises(SchemaError, match="score"):
        join_shard(storage, Dataset.at(tmp_path, options), *plan_spools(spools, 1000, None))
