"""Energon's indexes, against tarfile and SQLite; its own reader is for other tests."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import yaml
from index_data import members_in, samples_of, write_batches, write_dataset
from writer_data import IDS, dataset, windows

from arrowimg import ImageBatch, ImageWriterStage, export_index, write_shards
from arrowimg._dataset.index import energon as _energon
from arrowimg.errors import DuplicateIdError, StorageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    export_index(write_dataset(tmp_path / "out"), ("energon",))
    return tmp_path / "out"


def rows_in(folder: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / ".nv-meta" / "index.sqlite")) as database:
        return database.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()  # noqa: S608


def test_each_tar_has_the_places_of_its_samples(out: Path) -> None:
    for tar, members in members_in(out).items():
        samples = samples_of(members)
        places = np.fromfile(out / f"{tar}.idx", np.uint64).tolist()

        assert places[:-1] == [sample[0].header for sample in samples]
        # Two blocks of zeros follow the last member.
        assert places[-1] == (out / tar).stat().st_size - 1024


def test_the_database_has_every_sample_and_part(out: Path) -> None:
    samples, parts = [], []
    for number, (tar, members) in enumerate(members_in(out).items()):
        ends = np.fromfile(out / f"{tar}.idx", np.uint64).tolist()
        for at, sample in enumerate(samples_of(members)):
            size = ends[at + 1] - ends[at]
            samples.append((number, sample[0].key, at, sample[0].header, size))
            parts += [(number, at, it.field, it.offset, it.size) for it in sample]

    assert rows_in(out, "samples") == samples
    assert rows_in(out, "sample_parts") == parts
    assert (len(samples), len(parts)) == (18, 72)


def test_the_database_has_the_bytes_that_it_has_row_by_row(tmp_path: Path) -> None:
    write_shards(dataset(320), tmp_path / "out", 215)
    export_index(tmp_path / "out", ("energon",))
    rows = {table: rows_in(tmp_path / "out", table) for table in ("samples", "sample_parts")}

    with closing(sqlite3.connect(tmp_path / "plain.sqlite", isolation_level=None)) as database:
        database.executescript(_energon._TABLES)
        database.execute("BEGIN")
        for number in range(2):
            for table, found in rows.items():
                for row in found:
                    if row[0] == number:
                        database.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", row)  # noqa: S608
        database.executescript(_energon._INDEXES)

    written = (tmp_path / "out" / ".nv-meta" / "index.sqlite").read_bytes()
    assert written == (tmp_path / "plain.sqlite").read_bytes()
    assert len(rows["samples"]) == 320


def test_the_database_has_the_tables_and_indexes_that_energon_makes(out: Path) -> None:
    with closing(sqlite3.connect(out / ".nv-meta" / "index.sqlite")) as database:
        found = database.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall()
        columns = {
            table: [row[1:4] for row in database.execute(f"PRAGMA table_info({table})")]
            for table in ("samples", "sample_parts")
        }
        indexed = {
            name: [row[2] for row in database.execute(f"PRAGMA index_info({name})")]
            for kind, name, _ in found
            if kind == "index"
        }
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA journal_mode").fetchall() == [("delete",)]

    assert columns == {
        "samples": [
            ("tar_file_id", "INTEGER", 1),
            ("sample_key", "TEXT", 1),
            ("sample_index", "INTEGER", 1),
            ("byte_offset", "INTEGER", 0),
            ("byte_size", "INTEGER", 0),
        ],
        "sample_parts": [
            ("tar_file_id", "INTEGER", 0),
            ("sample_index", "INTEGER", 0),
            ("part_name", "TEXT", 0),
            ("content_byte_offset", "INTEGER", 0),
            ("content_byte_size", "INTEGER", 0),
        ],
    }
    assert indexed == {
        "sqlite_autoindex_samples_1": ["sample_key"],
        "idx_samples_by_tar_and_idx": ["tar_file_id", "sample_index"],
        "idx_sample_parts_seq": ["tar_file_id", "sample_index", "content_byte_offset"],
        "idx_sample_parts_full": [
            "tar_file_id",
            "sample_index",
            "part_name",
            "content_byte_offset",
            "content_byte_size",
        ],
    }


def test_settings_are_those_that_energon_reads(out: Path) -> None:
    folder = out / ".nv-meta"

    assert json.loads((folder / ".info.json").read_bytes()) == {
        "energon_version": None,
        "shard_counts": {
            f"images-{number:06d}.tar": count for number, count in enumerate((7, 7, 4))
        },
    }
    assert yaml.safe_load((folder / "split.yaml").read_text()) == {
        "split_parts": {"train": ["images-{000000..000002}.tar"], "val": [], "test": []},
        "exclude": [],
    }
    assert yaml.safe_load((folder / "dataset.yaml").read_text()) == {
        "sample_type": {"__module__": "megatron.energon", "__class__": "CaptioningSample"},
        "field_map": {"image": "jpg", "caption": "txt"},
    }


def test_pictures_without_captions_are_image_samples(tmp_path: Path) -> None:
    export_index(write_batches(tmp_path), ("energon",))

    assert yaml.safe_load((tmp_path / ".nv-meta" / "dataset.yaml").read_text()) == {
        "sample_type": {"__module__": "megatron.energon", "__class__": "ImageSample"},
        "field_map": {"image": "jpg"},
    }


def test_captions_count_only_where_all_shards_have_them(tmp_path: Path) -> None:
    write_batches(tmp_path, members={"txt": "caption"})
    stage = ImageWriterStage(tmp_path)
    stage.process(ImageBatch.from_arrays(windows(2), IDS[18:20]))
    export_index(tmp_path, ("energon",))

    assert "ImageSample" in (tmp_path / ".nv-meta" / "dataset.yaml").read_text()


def test_the_uuid_is_one_of_version_4(out: Path) -> None:
    text = (out / ".nv-meta" / "index.uuid").read_text()
    found = uuid.UUID(text)

    assert (found.version, found.variant, str(found)) == (4, uuid.RFC_4122, text)


def test_tars_of_no_pictures_are_left_out(tmp_path: Path) -> None:
    torn = pa.table({"image_id": ["x", "y"], "image_data": [b"\xff\xd8\xff"] * 2})
    ImageWriterStage(tmp_path, on_error="quarantine").process(ImageBatch.from_table(torn))
    ImageWriterStage(tmp_path).process(ImageBatch.from_table(dataset(3)))
    tars = [tar for tar, members in members_in(tmp_path).items() if members]
    export_index(tmp_path, ("energon",))

    info = json.loads((tmp_path / ".nv-meta" / ".info.json").read_bytes())
    assert info["shard_counts"] == {tars[0]: 3}
    assert [path.name for path in tmp_path.glob("*.idx")] == [f"{tars[0]}.idx"]
    assert [row[0] for row in rows_in(tmp_path, "samples")] == [0, 0, 0]


@pytest.mark.parametrize("repeated", [[0], [4], [1, 3]])
def test_a_key_in_two_tars_is_refused_by_name(tmp_path: Path, repeated: list[int]) -> None:
    stage = ImageWriterStage(tmp_path)
    seconds = [IDS[at] if at in repeated else IDS[at + 5] for at in range(5)]
    for ids in (IDS[:5], seconds):
        stage.process(ImageBatch.from_arrays(windows(5), ids))

    with pytest.raises(DuplicateIdError) as refused:
        export_index(tmp_path, ("energon",))

    named = [line.split(" in images-")[0] for line in refused.value.offenders]
    assert named == [repr(IDS[at]) for at in repeated]
    assert not (tmp_path / ".nv-meta").exists()


def test_a_database_that_finds_no_room_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(dataset(320), tmp_path)
    monkeypatch.setattr(_energon, "_TABLES", f"{_energon._TABLES} PRAGMA max_page_count = 4;")

    with pytest.raises(StorageError, match="SQLite: database or disk is full"):
        export_index(tmp_path, ("energon",))

    assert not (tmp_path / ".nv-meta").exists()


def test_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(dataset(3), tmp_path / "out")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    export_index(tmp_path / "out", ("energon",))

    assert list(temporary.iterdir()) == []
