"""Captions, labels and tables beside files: joined by file name, id, or any pair of columns."""

from __future__ import annotations

import gc
import gzip
import json
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import datasets
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from adopt_data import write_tars
from file_data import JPEG

from arrowimg import scan, write_shards
from arrowimg._cli.main import main
from arrowimg.errors import MetadataJoinError, OptionError, SchemaError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ["cat/001.jpg", "cat/002.jpg", "dog/001.jpg"]
ROWS = {
    "file_name": NAMES,
    "caption": ["a cat", 'two "cats", asleep', None],
    "width": [1, 2, 3],
    "code": ["007", "01", "2"],
    "score": [0.5, None, 1.0],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)
    return tmp_path / "photos"


def write(place: Path, /, **columns: Any) -> Path:  # noqa: ANN401  # any column
    """Write rows as a file of the kind that its suffix says."""
    frame = pl.DataFrame(columns or ROWS)
    kinds: dict[str, Callable[[Path], object]] = {
        ".csv": frame.write_csv,
        ".tsv": lambda path: frame.write_csv(path, separator="\t"),
        ".jsonl": frame.write_ndjson,
        ".json": frame.write_json,
        ".parquet": frame.write_parquet,
        ".arrow": frame.write_ipc,
    }
    kinds[place.suffix](place)
    return place


def rows_in(out: Path, *columns: str) -> list[tuple[Any, ...]]:
    return scan(out).select(columns).collect().rows()


class TestFiles:
    @pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".arrow"])
    def test_a_table_is_joined_by_file_name(
        self, tmp_path: Path, folder: Path, suffix: str
    ) -> None:
        path = write(tmp_path / f"table{suffix}")

        write_shards(folder, tmp_path / "out", metadata=path, reserved_prefix="source_")

        assert rows_in(tmp_path / "out", "image_id", "caption", "source_width", "code") == [
            ("cat/001", "a cat", 1, "007"),
            ("cat/002", 'two "cats", asleep', 2, "01"),
            ("dog/001", None, 3, "2"),
        ]

    def test_a_compressed_table_is_read(self, tmp_path: Path, folder: Path) -> None:
        path = write(tmp_path / "table.csv", file_name=ROWS["file_name"], n=[1, 2, 3])
        with gzip.open(tmp_path / "table.csv.gz", "wb") as file:
            file.write(path.read_bytes())

        write_shards(folder, tmp_path / "out", metadata=tmp_path / "table.csv.gz")

        assert rows_in(tmp_path / "out", "n") == [(1,), (2,), (3,)]

    @pytest.mark.parametrize(
        ("on", "column"),
        [
            ("image_id", "image_id"),
            (("image_id", "key"), "key"),
            (("file_name", "path"), "path"),
            (("image_path", "path"), "path"),
        ],
    )
    def test_any_pair_of_columns_may_be_joined_on(
        self,
        tmp_path: Path,
        folder: Path,
        on: Any,  # noqa: ANN401
        column: str,
    ) -> None:
        names = NAMES
        keys = {
            "image_id": [name.removesuffix(".jpg") for name in names],
            "file_name": names,
            "image_path": [str(folder / name) for name in names],
        }
        left = on if isinstance(on, str) else on[0]
        table = pl.DataFrame({column: keys[left], "n": [1, 2, 3]}).reverse()

        write_shards(folder, tmp_path / "out", metadata=table, on=on)

        assert rows_in(tmp_path / "out", "image_id", "n") == [
            ("cat/001", 1), ("cat/002", 2), ("dog/001", 3)
        ]  # fmt: skip

    def test_leading_zeros_of_ids_in_a_csv_stay(self, tmp_path: Path) -> None:
        images = pl.DataFrame({"image_id": ["007", "08"], "image_data": [JPEG, JPEG]})
        path = write(tmp_path / "ids.csv", image_id=["08", "007"], n=["2", "1"])

        write_shards(images, tmp_path / "out", metadata=path)

        assert rows_in(tmp_path / "out", "image_id", "n") == [("007", 1), ("08", 2)]

    def test_a_column_that_is_renamed_is_joined_on_as_text(self, tmp_path: Path) -> None:
        images = pl.DataFrame({"image_id": ["1", "2"], "image_data": [JPEG, JPEG]})
        path = write(tmp_path / "ids.csv", id=["2", "1"], n=["2", "1"])

        write_shards(images, tmp_path / "out", metadata=path, rename={"id": "image_id"})

        assert rows_in(tmp_path / "out", "image_id", "n") == [("1", 1), ("2", 2)]

    def test_what_is_no_metadata_is_named(self, tmp_path: Path, folder: Path) -> None:
        (tmp_path / "broken.jsonl").write_text('{"a": 1}\n{')
        (tmp_path / "empty.csv").write_text("")
        (tmp_path / "notes.md").write_text("# none")
        for name in ("broken.jsonl", "empty.csv", "notes.md", "nosuch.csv"):
            with pytest.raises(SourceError, match=name):
                write_shards(folder, tmp_path / "out", metadata=tmp_path / name)

        with pytest.raises(SchemaError, match=r"column 'image_id': .* found .*'n'"):
            write_shards(folder, tmp_path / "out", metadata=pl.DataFrame({"n": [1]}))
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("on", ["", ("a",), ("a", 1), 7])
    def test_what_is_no_column_to_join_on_is_an_option_error(
        self,
        tmp_path: Path,
        folder: Path,
        on: Any,  # noqa: ANN401
    ) -> None:
        with pytest.raises(OptionError, match=r"^on: expected a column, or a pair"):
            write_shards(folder, tmp_path / "out", metadata=pl.DataFrame(ROWS), on=on)


class TestImagefolder:
    def test_its_metadata_is_found_and_hugging_face_reads_the_same(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
        write(folder / "metadata.csv", file_name=ROWS["file_name"], text=["a", "b", "c"])

        write_shards(folder, tmp_path / "out", metadata=folder)

        with warnings.catch_warnings():
            # It leaves the file of metadata open.
            warnings.simplefilter("ignore", ResourceWarning)
            found = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train")
            theirs = list(found["text"])
            gc.collect()
        assert sorted(theirs) == sorted(row[0] for row in rows_in(tmp_path / "out", "text"))
        assert rows_in(tmp_path / "out", "file_name", "text") == [
            ("cat/001.jpg", "a"), ("cat/002.jpg", "b"), ("dog/001.jpg", "c")
        ]  # fmt: skip

    def test_each_folder_may_have_its_own(self, tmp_path: Path, folder: Path) -> None:
        write(folder / "cat" / "metadata.jsonl", file_name=["002.jpg", "001.jpg"], n=[2, 1])
        write(folder / "dog" / "metadata.parquet", file_name=["001.jpg"], n=[0.5])

        write_shards(folder, tmp_path / "out", metadata=folder)

        assert rows_in(tmp_path / "out", "image_id", "n") == [
            ("cat/001", 1.0), ("cat/002", 2.0), ("dog/001", 0.5)
        ]  # fmt: skip

    def test_one_without_file_names_or_none_at_all_is_named(
        self, tmp_path: Path, folder: Path
    ) -> None:
        with pytest.raises(SourceError, match=r"photos: expected one of metadata\.csv"):
            write_shards(folder, tmp_path / "out", metadata=folder)
        write(folder / "metadata.csv", name=["a"])
        with pytest.raises(SchemaError, match="'file_name'"):
            write_shards(folder, tmp_path / "out", metadata=folder)

    @pytest.mark.parametrize("name", [0.5, ["a"], {"a": "b"}])
    def test_file_names_that_are_no_text_are_a_schema_error(
        self, tmp_path: Path, folder: Path, name: object
    ) -> None:
        write(folder / "metadata.jsonl", file_name=[name], n=[1])

        with pytest.raises(SchemaError, match="'file_name'"):
            write_shards(folder, tmp_path / "out", metadata=folder)

    def test_file_names_that_are_integers_are_texts(self, tmp_path: Path, folder: Path) -> None:
        write(folder / "metadata.jsonl", file_name=[1], n=[1])

        with pytest.raises(MetadataJoinError) as caught:
            write_shards(folder, tmp_path / "out", metadata=folder)

        assert caught.value.others == ("1",)


class TestColumnsOfFiles:
    @pytest.mark.parametrize("captions", ["caption", ".caption"])
    def test_captions_of_which_there_is_none_are_an_error(
        self, tmp_path: Path, folder: Path, captions: str
    ) -> None:
        with pytest.raises(SourceError, match=r"that end in \.caption, found none"):
            write_shards(folder, tmp_path / "out", captions=captions)

        assert not (tmp_path / "out").exists()

    def test_a_suffix_may_have_its_dot(self, tmp_path: Path, folder: Path) -> None:
        (folder / "cat" / "001.txt").write_text("a cat")
        write_shards(folder, tmp_path / "out", captions=".txt")

        assert scan(tmp_path / "out").collect()["caption"].to_list() == ["a cat", None, None]

    def test_labels_are_of_folders_only(self, tmp_path: Path, folder: Path) -> None:
        labels: Any = True
        with pytest.raises(OptionError, match='"folder" or None'):
            write_shards(folder, tmp_path / "out", labels=labels)

    def test_captions_and_folders_are_columns(self, tmp_path: Path, folder: Path) -> None:
        shutil.copy(folder / "cat" / "001.jpg", folder / "alone.jpg")
        (folder / "cat" / "001.txt").write_bytes("\ufeff a naïve cat \n".encode())
        (folder / "cat" / "orphan.txt").write_text("of nothing")
        (folder / "dog" / "001.txt").write_text("")

        group = write_shards(folder, tmp_path / "out", captions="txt", labels="folder")

        assert rows_in(tmp_path / "out", "image_id", "caption", "label") == [
            ("alone", None, None),
            ("cat/001", "a naïve cat", "cat"),
            ("cat/002", None, "cat"),
            ("dog/001", "", "dog"),
        ]
        assert group.metadata["passed_over"] == {"suffix .txt": 1}

    @pytest.mark.parametrize("form", ["path", "text", "here", "pattern"])
    def test_a_folder_without_others_is_the_label_of_its_files(
        self, tmp_path: Path, folder: Path, form: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder / "cat")
        source = {
            "path": folder / "cat",
            "text": f"{folder}/cat/",
            "here": ".",
            "pattern": "../cat/*.jpg",
        }[form]

        write_shards(source, tmp_path / "out", labels="folder")

        assert rows_in(tmp_path / "out", "label") == [("cat",), ("cat",)]

    def test_files_without_a_label_are_logged(
        self, tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_shards(folder, tmp_path / "all", labels="folder")
        assert caplog.messages == []
        shutil.copy(folder / "cat" / "001.jpg", folder / "alone.jpg")

        write_shards(folder, tmp_path / "out", labels="folder")

        said = f"{folder}: 1 of 4 pictures lie in the folder itself, and have no label"
        assert caplog.messages == [said]

    def test_they_are_of_lists_of_files_too(self, tmp_path: Path, folder: Path) -> None:
        (folder / "dog" / "001.caption").write_text("a dog")

        write_shards(
            sorted(folder.rglob("*.jpg")), tmp_path / "out", captions="caption", labels="folder"
        )

        assert rows_in(tmp_path / "out", "caption", "label") == [
            (None, "cat"), (None, "cat"), ("a dog", "dog")
        ]  # fmt: skip

    @pytest.mark.parametrize("kind", ["pattern", "list", "file"])
    def test_captions_of_which_there_is_none_are_an_error_everywhere(
        self, tmp_path: Path, folder: Path, kind: str
    ) -> None:
        paths = sorted((folder / "cat").glob("*.jpg"))
        source = {"pattern": f"{folder}/cat/*.jpg", "list": paths, "file": paths[0]}[kind]
        (folder / "dog" / "001.txt").write_text("of another")

        with pytest.raises(SourceError, match=r"cat: expected captions beside pictures.*\.txt"):
            write_shards(source, tmp_path / "out", captions="txt")

        (folder / "cat" / "001.txt").write_text("a cat")
        write_shards(source, tmp_path / "out", captions="txt")
        assert rows_in(tmp_path / "out", "caption")[0] == ("a cat",)

    @pytest.mark.parametrize("option", [{"captions": "txt"}, {"labels": "folder"}])
    @pytest.mark.parametrize("kind", ["table", "tables", "stream", "file", "tars"])
    def test_what_are_no_files_has_none(
        self, tmp_path: Path, kind: str, option: dict[str, Any]
    ) -> None:
        table = pa.table({"image_id": ["a"], "image_data": [JPEG]})
        pq.write_table(table, tmp_path / "a.parquet")
        source = {
            "table": table,
            "tables": [table],
            "stream": iter([table]),
            "file": tmp_path / "a.parquet",
            "tars": f"{write_tars(tmp_path / 'tars', [('a.jpg', JPEG)])}/*.tar",
        }[kind]

        with pytest.raises(OptionError, match=f"{next(iter(option))}: .*no picture files"):
            write_shards(source, tmp_path / "out", **option)

        assert not (tmp_path / "out" / "manifest.json").exists()

    def test_tables_beside_files_have_null(self, tmp_path: Path, folder: Path) -> None:
        table = pa.table({"image_id": ["a"], "image_data": [JPEG]})
        for number, source in enumerate(([folder, table], iter([folder, table]))):
            write_shards(source, tmp_path / str(number), labels="folder")

            labels = [("cat",), ("cat",), ("dog",), (None,)]
            assert rows_in(tmp_path / str(number), "label") == labels

    @pytest.mark.parametrize("captions", ["", 1])
    def test_captions_are_a_suffix(self, tmp_path: Path, folder: Path, captions: Any) -> None:  # noqa: ANN401
        with pytest.raises(OptionError, match="captions"):
            write_shards(folder, tmp_path / "out", captions=captions)

    def test_a_caption_that_is_no_text_is_named(self, tmp_path: Path, folder: Path) -> None:
        (folder / "cat" / "002.txt").write_bytes(b"na\xefve")

        with pytest.raises(SourceError, match=r"cat/002\.txt: expected a caption in UTF-8"):
            write_shards(folder, tmp_path / "out", captions="txt")


class TestRemedies:
    @pytest.mark.parametrize(
        ("ours", "theirs", "advice"),
        [
            ("a.jpg", "a", "suffix"),
            ("a", "a.jpg", 'on="file_name"'),
            ("007", "7", "leading zeros"),
            ("cat/a", "a", "folder"),
            ("a", "photos/a.png", "folder and suffix"),
            ("Cat", "cat ", "case"),
            ("a", "b", ""),
        ],
    )
    def test_ids_of_both_sides_are_shown_and_what_they_differ_in(
        self, tmp_path: Path, ours: str, theirs: str, advice: str
    ) -> None:
        images = pl.DataFrame({"image_id": [ours], "image_data": [JPEG]})
        metadata = pl.DataFrame({"image_id": [theirs], "n": [1]})

        for source in (images, iter([images.to_arrow()])):
            with pytest.raises(MetadataJoinError) as caught:
                write_shards(source, tmp_path / "out", metadata=metadata)
            assert (caught.value.image_ids, caught.value.others) == ((ours,), (theirs,))
            assert advice in caught.value.advice
            assert bool(advice) == bool(caught.value.advice)
            assert repr(theirs) in str(caught.value)


class TestChosenColumns:
    TABLE = pa.table(
        {"id": ["a", "b"], "picture": [JPEG] * 2, "size": [1, 2], "x": [0, 0], "n": [5, 6]}
    )

    def test_columns_are_renamed_dropped_and_prefixed(self, tmp_path: Path) -> None:
        write_shards(
            self.TABLE,
            tmp_path / "out",
            rename={"id": "image_id", "picture": "image_data", "n": "count"},
            drop=["x"],
            reserved_prefix="source_",
        )

        frame = scan(tmp_path / "out").collect()
        assert frame.columns[12:-1] == ["source_size", "count"]
        assert frame.select("image_id", "source_size", "size").rows() == [
            ("a", 1, len(JPEG)), ("b", 2, len(JPEG))
        ]  # fmt: skip

    def test_the_path_that_a_scan_adds_is_one_of_its_names(self, tmp_path: Path) -> None:
        table = pa.table({"image_data": [JPEG], "tar_path": ["x"], "size": [1]})

        write_shards(table, tmp_path / "out", reserved_prefix="source_")

        row = scan(tmp_path / "out").collect().row(0, named=True)
        assert (row["source_tar_path"], row["source_size"]) == ("x", 1)
        assert row["tar_path"] == str(tmp_path / "out" / "images-000000.tar")

    def test_what_is_joined_on_may_be_dropped(self, tmp_path: Path) -> None:
        table = pa.table({"image_id": ["a", "b"], "image_data": [JPEG] * 2, "k": ["1", "2"]})
        metadata = pa.table({"k": ["2", "1"], "n": [20, 10]})

        write_shards(table, tmp_path / "out", metadata=metadata, on="k", drop=["k"])

        assert rows_in(tmp_path / "out", "image_id", "n") == [("a", 10), ("b", 20)]
        assert "k" not in scan(tmp_path / "out").collect_schema().names()

    def test_those_of_metadata_are_too(self, tmp_path: Path) -> None:
        metadata = pl.DataFrame({"id": ["b", "a"], "height": [7, 8], "y": [1, 1], "z": [3, 4]})

        write_shards(
            self.TABLE.select(["id", "picture"]),
            tmp_path / "out",
            metadata=metadata,
            image_column="picture",
            rename={"id": "image_id", "z": "depth"},
            drop=["y"],
            reserved_prefix="their_",
        )

        assert rows_in(tmp_path / "out", "image_id", "their_height", "depth") == [
            ("a", 8, 4), ("b", 7, 3)
        ]  # fmt: skip

    @pytest.mark.parametrize("name", ["k", "nosuch"])
    @pytest.mark.parametrize("option", ["rename", "drop"])
    @pytest.mark.parametrize("kind", ["tars", "tables", "readers"])
    def test_a_column_may_come_late_but_has_to_come(
        self, tmp_path: Path, kind: str, option: str, name: str
    ) -> None:
        table = pa.table({"image_id": ["a"], "image_data": [JPEG]})
        later = pa.table({"image_id": ["b"], "image_data": [JPEG], "k": [1]})
        if kind == "tars":
            members = [("a.jpg", JPEG)], [("b.jpg", JPEG), ("b.json", b'{"k": 1}')]
            source: object = f"{write_tars(tmp_path / 'tars', *members)}/*.tar"
        else:
            source = iter([table, later]) if kind == "tables" else [table.to_reader(), later]
        chosen: Any = {option: [name] if option == "drop" else {name: "late"}}

        if name == "nosuch":
            with pytest.raises(OptionError, match=f"{option}: .*'k'"):
                write_shards(source, tmp_path / "out", **chosen)
            assert not (tmp_path / "out" / "manifest.json").exists()
        else:
            write_shards(source, tmp_path / "out", **chosen)
            columns = scan(tmp_path / "out").collect().columns
            assert ("late" in columns, "k" in columns) == (option == "rename", False)

    @pytest.mark.parametrize("kind", ["table", "reader", "tables", "file"])
    def test_nothing_is_written_where_the_columns_are_known(
        self, tmp_path: Path, kind: str
    ) -> None:
        table = pa.table({"image_id": ["a"], "image_data": [JPEG]})
        pq.write_table(table, tmp_path / "a.parquet")
        source = {
            "table": table,
            "reader": table.to_reader(),
            "tables": [table, table],
            "file": tmp_path / "a.parquet",
        }[kind]

        with pytest.raises(OptionError, match="drop"):
            write_shards(source, tmp_path / "out", 1, drop=["nosuch"])

        assert not list(tmp_path.glob("out/*.tar"))

    @pytest.mark.parametrize(
        ("options", "option"),
        [
            ({"rename": {"i": "image_id"}}, "rename"),
            ({"rename": ["a"]}, "rename"),
            ({"rename": {"x": "z", "n": "z"}}, "rename"),
            ({"drop": ["nosuch"]}, "drop"),
            ({"drop": "x"}, "drop"),
            ({"rename": {"x": "z"}, "drop": ["x"]}, "drop"),
            ({"reserved_prefix": ""}, "reserved_prefix"),
        ],
    )
    def test_what_cannot_be_is_an_option_error(
        self,
        tmp_path: Path,
        options: Any,  # noqa: ANN401
        option: str,
    ) -> None:
        with pytest.raises(OptionError, match=option):
            write_shards(self.TABLE, tmp_path / "out", image_column="picture", **options)

        assert not list(tmp_path.rglob("*.parquet"))

    def test_a_name_that_is_taken_is_still_an_error_without_a_prefix(self, tmp_path: Path) -> None:
        with pytest.raises(SchemaError, match="'size'"):
            write_shards(self.TABLE, tmp_path / "out", image_column="picture")


class TestCommand:
    def test_all_of_it_on_the_command_line(
        self, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "dog" / "001.txt").write_text("a dog")
        names = [str(folder / name) for name in NAMES]
        path = write(tmp_path / "table.csv", path=names, width=[1, 2, 3], x=[0, 0, 0])

        arguments = ["write", str(folder), str(tmp_path / "out"), "--metadata", str(path)]
        arguments += ["--on", "image_path=path", "--captions", "txt", "--labels", "folder"]
        arguments += ["--rename", "width=their_width", "--drop", "x", "--drop", "caption"]
        assert main([*arguments, "--json"]) == 0

        assert json.loads(capsys.readouterr().out)["metadata"]["num_images"] == 3
        assert rows_in(tmp_path / "out", "label", "their_width") == [
            ("cat", 1), ("cat", 2), ("dog", 3)
        ]  # fmt: skip
        assert "caption" not in scan(tmp_path / "out").collect_schema()

    def test_columns_to_leave_out_are_a_list_or_said_one_by_one(self, tmp_path: Path) -> None:
        table = pa.table({"image_data": [JPEG], "a": [1], "b": [2], "c": [3], "d": [4]})
        pq.write_table(table, tmp_path / "in.parquet")

        arguments = [str(tmp_path / "in.parquet"), str(tmp_path / "out")]
        assert main(["write", *arguments, "--drop", "a,b", "--drop", "d"]) == 0

        names = scan(tmp_path / "out").collect_schema().names()
        assert [name for name in names if name in "abcd"] == ["c"]

    @pytest.mark.parametrize(
        "arguments", [["--rename", "a"], ["--on", "a="], ["--labels", "x"], ["--split", "a"]]
    )
    def test_what_cannot_be_is_wrong_usage(self, tmp_path: Path, arguments: list[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["write", str(tmp_path), str(tmp_path / "out"), *arguments])

        assert ended.value.code == 2
