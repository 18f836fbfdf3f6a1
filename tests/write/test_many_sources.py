"""Many files and datasets as one source: folders, patterns, partitions, lists of anything."""

from __future__ import annotations

import itertools
import json
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from file_data import JPEG
from photographs import SKIMAGE

from arrowimg import (
    FileGroupTask,
    ImageBatch,
    export_index,
    reshard,
    scan,
    verify,
    write_shards,
)
from arrowimg._write.sources.source import Source
from arrowimg.errors import ManifestError, OptionError, SchemaError, SourceError


def rows(first: int, count: int = 2, **columns: Any) -> pa.Table:  # noqa: ANN401  # any column
    ids = [f"i{row}" for row in range(first, first + count)]
    return pa.table({"image_id": ids, "image_data": [JPEG] * count, **columns})


def column_in(out: Path, name: str) -> list[Any]:
    return scan(out).select(name).collect()[name].to_list()


class TestFoldersOfTables:
    def test_its_files_are_read_in_the_order_of_their_paths(self, tmp_path: Path) -> None:
        (tmp_path / "in" / "b").mkdir(parents=True)
        pq.write_table(rows(2, n=[2, 3]), tmp_path / "in" / "b" / "0.parquet")
        pyarrow.feather.write_feather(rows(0, n=[0, 1]), tmp_path / "in" / "a.arrow")
        (tmp_path / "in" / "_SUCCESS").touch()

        group = write_shards(tmp_path / "in", tmp_path / "out")

        assert column_in(tmp_path / "out", "n") == [0, 1, 2, 3]
        assert group.metadata["passed_over"] == {"suffix (none)": 1}

    def test_pictures_come_first_where_there_are_both(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.jpg").write_bytes(JPEG)
        pq.write_table(rows(0), tmp_path / "in" / "metadata.parquet")

        group = write_shards(tmp_path / "in", tmp_path / "out")

        assert group.num_images == 1
        assert group.metadata["passed_over"] == {"suffix .parquet": 1}

    @pytest.mark.parametrize("pattern", ["in/*.parquet", "in/**/part-*.parquet", "in/part-[01].*"])
    def test_a_pattern_is_expanded_in_order(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "in").mkdir()
        for number in (1, 0):
            pq.write_table(rows(2 * number), tmp_path / "in" / f"part-{number}.parquet")

        write_shards(pattern, "out")

        assert column_in(tmp_path / "out", "image_id") == ["i0", "i1", "i2", "i3"]

    def test_a_pattern_of_pictures_names_them_by_their_paths(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("b/1.jpg", "a/1.jpg", "a/note.txt"):
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(JPEG)

        write_shards("*/*.jpg", "out")

        assert column_in(tmp_path / "out", "image_id") == ["a/1", "b/1"]
        with pytest.raises(SourceError, match=r"note\.txt"):
            write_shards("*/*.txt", "none")

    def test_pictures_of_a_pattern_that_differ_in_their_suffix_keep_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "in").mkdir()
        for name in ("a.jpg", "a.png"):
            (tmp_path / "in" / name).write_bytes(JPEG)
        pq.write_table(rows(0), tmp_path / "in" / "t.parquet")

        for source in ("in/*", ["in/a.jpg", "in/a.png", "in/t.parquet"]):
            write_shards(source, "out", if_exists="overwrite")

            assert column_in(tmp_path / "out", "image_id") == ["in/a.jpg", "in/a.png", "i0", "i1"]

    def test_a_name_with_the_marks_of_a_pattern_is_that_file(self, tmp_path: Path) -> None:
        shutil.copy(SKIMAGE / "rocket.jpg", tmp_path / "[a]*.jpg")

        assert write_shards(tmp_path / "[a]*.jpg", tmp_path / "out").num_images == 1


class TestPartitions:
    def test_folders_that_say_values_are_columns_as_pyarrow_has_them(self, tmp_path: Path) -> None:
        table = rows(0, 4, label=["cat", "dog", "cat", None], year=[1, 2, 1, 2])
        pyarrow.dataset.write_dataset(
            table, tmp_path / "in", format="parquet",
            partitioning=pyarrow.dataset.partitioning(
                pa.schema([("label", "string"), ("year", "int64")]), flavor="hive"
            ),
        )  # fmt: skip
        theirs = pyarrow.dataset.dataset(tmp_path / "in", partitioning="hive")

        write_shards(tmp_path / "in", tmp_path / "folder")
        write_shards(theirs, tmp_path / "dataset")

        expected = {row["image_id"]: row for row in table.drop_columns("image_data").to_pylist()}
        for name in ("folder", "dataset"):
            frame = scan(tmp_path / name).select("image_id", "label", "year").collect()
            assert {row["image_id"]: row for row in frame.to_dicts()} == expected
        assert Source(theirs).num_rows == 4

    def test_leading_zeros_and_columns_of_the_file_stay(self, tmp_path: Path) -> None:
        for code, own in (("01", "x"), ("2", "y")):
            folder = tmp_path / "in" / f"code={code}" / f"own={code}"
            folder.mkdir(parents=True)
            pq.write_table(rows(int(code), 1, own=[own]), folder / "0.parquet")

        write_shards(tmp_path / "in", tmp_path / "out")

        assert column_in(tmp_path / "out", "code") == ["01", "2"]
        assert column_in(tmp_path / "out", "own") == ["x", "y"]

    def test_other_processes_can_read_their_rows(self, tmp_path: Path) -> None:
        for number, label in enumerate(["cat", "dog"]):
            (tmp_path / "in" / f"label={label}").mkdir(parents=True)
            table = rows(2 * number, label=["own"] * 2) if number else rows(0)
            pq.write_table(table, tmp_path / "in" / f"label={label}" / "0.parquet")
        source = Source(tmp_path / "in")

        found = list(source.pieces())

        assert not any(isinstance(it, ImageBatch) for it in found)
        assert source.nbytes == sum(it.stat().st_size for it in tmp_path.rglob("*.parquet"))
        again = pickle.loads(pickle.dumps(found))  # noqa: S301  # our own
        for piece in again:
            tables = list(piece.tables())
            assert {it.schema for it in tables} == {piece.schema}
            assert sum(it.num_rows for it in tables) == piece.num_rows == 2
        read = [pa.concat_tables(it.tables()).to_pylist() for it in again]
        assert [row["label"] for each in read for row in each] == ["cat", "cat", "own", "own"]

    def test_workers_write_the_same_bytes_of_them(self, tmp_path: Path) -> None:
        for number in range(3):
            (tmp_path / "in" / f"year={number}").mkdir(parents=True)
            pq.write_table(rows(2 * number), tmp_path / "in" / f"year={number}" / "0.parquet")

        groups = [
            write_shards(tmp_path / "in", tmp_path / str(workers), 2, workers=workers)
            for workers in (1, 2)
        ]

        one, two = ([Path(it).read_bytes() for it in group.paths] for group in groups)
        assert one == two
        assert column_in(tmp_path / "2", "year") == [0, 0, 1, 1, 2, 2]


class TestLists:
    def test_kinds_may_be_mixed_and_the_rows_are_counted(self, tmp_path: Path) -> None:
        shutil.copy(SKIMAGE / "rocket.jpg", tmp_path / "one.jpg")
        (tmp_path / "folder").mkdir()
        shutil.copy(SKIMAGE / "rocket.jpg", tmp_path / "folder" / "two.jpg")
        pq.write_table(rows(0, n=[0.5, 1]), tmp_path / "a.parquet")
        source = [
            tmp_path / "one.jpg",
            tmp_path / "folder",
            tmp_path / "a.parquet",
            pl.DataFrame(rows(2, n=[1, 2])),
            pd.DataFrame(rows(4).to_pydict()),
            ImageBatch(rows(6, n=[None, None])),
        ]

        write_shards(source, tmp_path / "out", 3)

        assert Source(source).num_rows == 10
        ids = column_in(tmp_path / "out", "image_id")
        assert ids == [str(tmp_path / "one"), "two", *(f"i{row}" for row in range(8))]
        assert column_in(tmp_path / "out", "n") == [None, None, 0.5, 1, 1, 2, *[None] * 4]
        kinds = {pq.read_schema(path).field("n").type for path in tmp_path.glob("out/*.parquet")}
        assert kinds == {pa.float64()}

    def test_types_that_clash_are_known_before_anything_is_written(self, tmp_path: Path) -> None:
        for name, values in (("a", [1, 2]), ("b", ["x", "y"])):
            pq.write_table(rows(0, n=values), tmp_path / f"{name}.parquet")

        with pytest.raises(SchemaError) as clash:
            write_shards(str(tmp_path / "*.parquet"), tmp_path / "out", 1)

        assert clash.value.expected == f"int64, as in {tmp_path / 'a.parquet'}"
        assert clash.value.found == f"string in {tmp_path / 'b.parquet'}"
        assert not (tmp_path / "out").exists()

    def test_all_files_have_the_types_that_hold_all(self, tmp_path: Path) -> None:
        files = []
        for number, column in enumerate(
            [pa.nulls(2), pa.array([1, 2], pa.int8()), pa.array([0.5, None], pa.float32())]
        ):
            files.append(tmp_path / f"{number}.parquet")
            pq.write_table(rows(2 * number, n=column), files[-1])

        for name, source in (("list", files), ("pattern", str(tmp_path / "*.parquet"))):
            group = write_shards(source, tmp_path / name, 2)
            schemas = [pq.read_schema(path) for path in group.parquet_paths]
            assert [it.field("n").type for it in schemas] == [pa.float32()] * 3
            assert verify(tmp_path / name).is_sound
        both = [(tmp_path / it / "manifest.json").read_bytes() for it in ("list", "pattern")]
        assert both[0] == both[1]

    @pytest.mark.parametrize("kind", ["list", "folder", "split"])
    def test_what_is_widened_is_logged_once(
        self, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        tables = [rows(0, n=[1, 2]), rows(2, n=[0.5, 1.5], late=["x", "y"])]
        (tmp_path / "in").mkdir()
        for number, table in enumerate(tables):
            pq.write_table(table, tmp_path / "in" / f"{number}.parquet")
        caplog.set_level("WARNING", "arrowimg")

        source = tables if kind == "list" else tmp_path / "in"
        split = {"train": 0.5, "val": 0.5} if kind == "split" else None
        write_shards(source, tmp_path / "out", split=split)

        assert [it.partition(",")[0] for it in caplog.messages] == [
            "column 'n' is written as double",
            "column 'late' is written as string",
        ]


def dataset(count: int) -> datasets.Dataset:
    features = datasets.Features(image_id=datasets.Value("string"), image=datasets.Image())
    pictures = [{"bytes": JPEG, "path": None}] * count
    ids = [f"{count}-{row}" for row in range(count)]
    return datasets.Dataset.from_dict({"image_id": ids, "image": pictures}, features=features)


class TestSplits:
    def test_each_split_of_hugging_face_is_a_dataset(self, tmp_path: Path) -> None:
        source = datasets.DatasetDict(train=dataset(5), test=dataset(2))

        group = write_shards(source, tmp_path / "out", 3, rename={"image": "image_data"})

        assert {name: it.num_images for name, it in group.splits.items()} == {"train": 5, "test": 2}
        assert group.num_images == group.metadata["num_images"] == 7
        assert verify(tmp_path / "out" / "train").is_sound
        assert column_in(tmp_path / "out" / "test", "image_id") == ["2-0", "2-1"]
        assert list(itertools.chain(*(it.paths for it in group.splits.values()))) == group.paths

    def test_rows_are_split_by_their_ids_whatever_the_order_and_the_batches(
        self, tmp_path: Path
    ) -> None:
        table = rows(0, 400)
        order = list(range(400))
        random.Random(0).shuffle(order)  # noqa: S311  # no secret
        sources = {"a": table, "b": iter(table.take(order).to_batches(7))}

        found: dict[str, dict[str, set[str]]] = {}
        for name, source in sources.items():
            split = {"train": 0.8, "val": 0.1, "test": 0.1}
            group = write_shards(source, tmp_path / name, 100, split=split)
            found[name] = {it: set(column_in(tmp_path / name / it, "image_id")) for it in split}
            assert sum(it.num_images for it in group.splits.values()) == 400

        assert found["a"] == found["b"]
        sizes = {name: len(ids) for name, ids in found["a"].items()}
        assert 290 < sizes["train"] < 350
        assert 20 < sizes["val"] < 65
        assert set.union(*found["a"].values()) == {f"i{row}" for row in range(400)}

    def test_which_split_an_id_is_in_never_changes(self, tmp_path: Path) -> None:
        # XXH3-64 of "i0" ... "i7", as fractions of 2**64: .365 .306 .266 .779 .712 .734 .661 .037
        write_shards(rows(0, 8), tmp_path, split={"a": 0.3, "b": 0.4, "c": 0.3})

        assert [column_in(tmp_path / name, "image_id") for name in "abc"] == [
            ["i2", "i7"],
            ["i0", "i1", "i6"],
            ["i3", "i4", "i5"],
        ]

    def test_indexes_name_the_split(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
        write_shards(rows(0, 8), tmp_path / "out", split={"train": 0.5, "val": 0.5})
        reshard(tmp_path / "out" / "val", tmp_path / "new")

        for folder in (tmp_path / "out" / "val", tmp_path / "new"):
            export_index(folder, ["hf", "energon"])
            found = datasets.load_dataset(str(folder))
            assert list(found) == ["val"]
            parts = json.loads((folder / ".nv-meta" / "split.yaml").read_text())["split_parts"]
            assert parts == {"train": [], "val": ["images-000000.tar"], "test": []}

    def test_a_manifest_whose_split_has_no_name_of_one_is_refused(self, tmp_path: Path) -> None:
        write_shards(rows(0), tmp_path, split={"val": 1.0})
        path = tmp_path / "val" / "manifest.json"
        path.write_text(path.read_text().replace('"val"', '"../val"'))

        with pytest.raises(ManifestError, match="a split called"):
            scan(tmp_path / "val")

    def test_rows_of_one_value_stay_together(self, tmp_path: Path) -> None:
        table = rows(0, 60, patient=[row // 3 for row in range(60)])

        write_shards(table, tmp_path, split={"train": 0.5, "val": 0.5}, split_by="patient")

        train, val = (set(column_in(tmp_path / it, "patient")) for it in ("train", "val"))
        assert train
        assert val
        assert train.isdisjoint(val)

    def test_a_split_may_be_empty_and_is_a_dataset_still(self, tmp_path: Path) -> None:
        group = write_shards(rows(0, 1), tmp_path, split={"a": 0.5, "b": 0.5})

        assert sorted(it.num_images for it in group.splits.values()) == [0, 1]
        assert all(len(scan(tmp_path / it).collect()) == n for it, n in
                   {name: it.num_images for name, it in group.splits.items()}.items())  # fmt: skip

    def test_a_job_that_died_goes_on(self, tmp_path: Path) -> None:
        table, split = rows(0, 40), {"a": 0.5, "b": 0.5}
        whole = write_shards(table, tmp_path / "whole", 5, split=split)

        def dying() -> Any:  # noqa: ANN401  # a generator
            yield table.slice(0, 30)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_shards(dying(), tmp_path / "again", 5, split=split)
        assert not list((tmp_path / "again").rglob("manifest.json"))
        again = write_shards(table, tmp_path / "again", 5, split=split, if_exists="skip")

        assert again.metadata["num_unchanged"] > 0
        for one, other in zip(whole.paths, again.paths, strict=True):
            assert Path(one).read_bytes() == Path(other).read_bytes()

    def test_metadata_is_joined_before_the_rows_are_split(self, tmp_path: Path) -> None:
        metadata = pl.DataFrame({"image_id": [f"i{n}" for n in range(9)], "n": range(9)})

        write_shards(rows(0, 9), tmp_path, metadata=metadata, split={"a": 0.5, "b": 0.5})

        found = column_in(tmp_path / "a", "n") + column_in(tmp_path / "b", "n")
        assert sorted(found) == list(range(9))

    @pytest.mark.parametrize(
        "split",
        [
            {"a": 0.5, "b": 0.4}, {"a": 0.5, "b": 0.6}, {}, {"a": 1, "b": 0}, {"a": "1"},
            {"../a": 1.0}, {"": 1.0}, {"a/b": 1.0}, {"a": True}, [("a", 1.0)], {"a": 2, "b": -1},
        ],
    )  # fmt: skip
    def test_fractions_that_are_not_one_together_are_an_error(
        self,
        tmp_path: Path,
        split: Any,  # noqa: ANN401
    ) -> None:
        with pytest.raises(OptionError, match=r"^split: "):
            write_shards(rows(0), tmp_path / "out", split=split)
        assert not (tmp_path / "out").exists()

    def test_rows_that_say_nothing_to_split_by_are_refused(self, tmp_path: Path) -> None:
        fractions = {"a": 0.5, "b": 0.5}
        with pytest.raises(SchemaError, match="'image_id': expected a column to split by"):
            write_shards(rows(0).drop_columns("image_id"), tmp_path / "x", split=fractions)
        with pytest.raises(SchemaError, match="'n': expected a value in every row"):
            write_shards(rows(0, n=[1, None]), tmp_path / "x", split=fractions, split_by="n")
        with pytest.raises(OptionError, match="split_by"):
            write_shards(rows(0), tmp_path / "x", split_by="n")

    def test_no_splits_are_empty(self, tmp_path: Path) -> None:
        group = write_shards(rows(0), tmp_path)

        assert isinstance(group, FileGroupTask)
        assert group.splits == {}
