"""Metadata is looked up by workers that know nothing of one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arrowimg._write.distributed.worker_metadata import ParquetMetadata, frame_table, open_metadata
from arrowimg.errors import MetadataJoinError, SchemaError

if TYPE_CHECKING:
    from pathlib import Path

FRAME = pl.DataFrame({"image_id": ["c", "a", "d", "b"], "caption": ["C", "A", None, "B"]})
IDS = pa.chunked_array([["b"], ["a", "d"]])


@pytest.fixture(params=["frame", "lazy", "arrow", "file", "folder"])
def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    FRAME.write_parquet(tmp_path / "rows.parquet")
    sources: dict[str, object] = {
        "frame": FRAME,
        "arrow": FRAME.to_arrow(),
        "file": tmp_path / "rows.parquet",
        "folder": str(tmp_path),
        "lazy": FRAME.lazy(),
    }
    return sources[request.param]


def test_each_id_finds_its_row(metadata: object) -> None:
    assert open_metadata(metadata).take(IDS).to_pydict() == {"caption": ["B", "A", None]}


def test_a_row_is_found_as_often_as_it_is_asked_for(metadata: object) -> None:
    lookup = open_metadata(metadata)

    assert lookup.take(IDS) == lookup.take(IDS)


def test_an_id_without_metadata_is_named(metadata: object) -> None:
    with pytest.raises(MetadataJoinError) as failure:
        open_metadata(metadata).take(pa.chunked_array([["a", "nobody"]]))

    assert failure.value.image_ids == ("nobody",)


def test_an_id_that_stands_twice_in_a_file_is_named(tmp_path: Path) -> None:
    pl.concat([FRAME, FRAME.tail(1)]).write_parquet(tmp_path / "rows.parquet")
    lookup = open_metadata(tmp_path / "rows.parquet")

    assert lookup.take(pa.chunked_array([["a"]])).to_pydict() == {"caption": ["A"]}
    with pytest.raises(MetadataJoinError, match="'b'"):
        lookup.take(pa.chunked_array([["a", "b"]]))


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64(), pa.uint8()])
def test_ids_of_integers_match_their_decimals(tmp_path: Path, kind: pa.DataType) -> None:
    pq.write_table(
        pa.table({"image_id": pa.array([7, 10], kind), "score": [0.7, 1.0]}), tmp_path / "rows"
    )
    lookup = open_metadata(tmp_path / "rows")

    assert lookup.take(pa.chunked_array([["10", "7"]]))["score"].to_pylist() == [1.0, 0.7]
    with pytest.raises(MetadataJoinError) as failure:
        lookup.take(pa.chunked_array([["7", "07", "+10", "seven"]]))
    assert failure.value.image_ids == ("07", "+10", "seven")


def test_row_groups_that_hold_none_of_the_ids_are_not_read(tmp_path: Path) -> None:
    rows = pa.table({"image_id": [f"{at:04d}" for at in range(1000)], "at": range(1000)})
    path = tmp_path / "rows.parquet"
    pq.write_table(rows, path, row_group_size=100)
    lookup = open_metadata(path)
    # Whatever is read of the others cannot be decoded any more.
    damaged = bytearray(path.read_bytes())
    for at in (0, 3, 9):
        group = pq.read_metadata(path).row_group(at)
        for column in (group.column(0), group.column(1)):
            start = column.dictionary_page_offset or column.data_page_offset
            damaged[start : start + column.total_compressed_size] = b"\xff" * (
                column.total_compressed_size
            )
    path.write_bytes(damaged)

    assert lookup.take(pa.chunked_array([["0455", "0499"]])).to_pydict() == {"at": [455, 499]}
    with pytest.raises(OSError, match=r"."):
        lookup.take(pa.chunked_array([["0355"]]))


@pytest.mark.parametrize("name", ["key", "score"])
def test_a_file_without_ids_is_refused(tmp_path: Path, name: str) -> None:
    pl.DataFrame({name: [1.0]}).rename({"score": "image_id"}, strict=False).write_parquet(
        tmp_path / "rows.parquet"
    )

    with pytest.raises(SchemaError, match="image_id"):
        ParquetMetadata(tmp_path / "rows.parquet")


def test_rows_of_a_file_are_counted(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "rows.parquet")

    assert ParquetMetadata(tmp_path / "rows.parquet").num_rows == 4


def test_a_frame_is_checked_once_for_all() -> None:
    assert frame_table(FRAME.lazy()).num_rows == 4
    with pytest.raises(MetadataJoinError, match="'a'"):
        frame_table(pl.concat([FRAME, FRAME]))
