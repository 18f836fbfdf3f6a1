"""The command line, judged by whole outputs and exit codes."""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photographs import SKIMAGE
from PIL import Image
from segmentation_data import KINDS, segmentation_set

from arrowimg import __version__, scan
from arrowimg._cli.adopt import ADOPT
from arrowimg._cli.help import (
    DEMO,
    GC,
    INDEX,
    INSPECT,
    MERGE,
    OVERVIEW,
    RESHARD,
    VERIFY,
    VIEW,
    WRITE,
)
from arrowimg._cli.main import main
from arrowimg._cli.parser import build_parser

NAMES = ("chelsea.png", "coffee.png", "rocket.jpg")
CLI_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
HELPS = {
    "adopt": ADOPT,
    "write": WRITE,
    "reshard": RESHARD,
    "merge": MERGE,
    "inspect": INSPECT,
    "verify": VERIFY,
    "view": VIEW,
    "index": INDEX,
    "gc": GC,
    "demo": DEMO,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for name in NAMES:
        (photographs / name).write_bytes((SKIMAGE / name).read_bytes())
    return photographs


@pytest.fixture
def table(tmp_path: Path) -> Path:
    columns = {
        "image_id": ["cat", "coffee", "rocket"],
        "image_data": [(SKIMAGE / name).read_bytes() for name in NAMES],
        "caption": ["a cat", "a cup", "a rocket"],
    }
    pq.write_table(pa.table(columns), tmp_path / "images.parquet")
    return tmp_path / "images.parquet"


class TestWrite:
    def test_a_folder_becomes_shards_that_are_listed(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"

        status = main(["write", str(folder), str(out), "--images-per-tar", "2"])

        printed = capsys.readouterr()
        sizes = {path.name: path.stat().st_size for path in out.iterdir()}
        assert status == 0
        assert printed.err == ""
        assert printed.out.splitlines() == [
            f"{out}/images-000000.tar  2 rows  {sizes['images-000000.tar']:,} bytes",
            f"{out}/images-000000.parquet  2 rows  {sizes['images-000000.parquet']:,} bytes",
            f"{out}/images-000001.tar  1 row  {sizes['images-000001.tar']:,} bytes",
            f"{out}/images-000001.parquet  1 row  {sizes['images-000001.parquet']:,} bytes",
            "3 images in 2 shards, 0 rows with an error",
        ]

    def test_members_metadata_and_kept_images_arrive(
        self, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        scores = pl.DataFrame({"image_id": ["rocket", "cat", "coffee"], "score": [3.0, 1.0, 2.0]})
        scores.write_parquet(tmp_path / "scores.parquet")
        arguments = [
            "write",
            str(table),
            str(tmp_path / "out"),
            "--metadata",
            str(tmp_path / "scores.parquet"),
            "--members",
            "txt=caption",
            "--members",
            "json=caption,score",
            "--keep-image-data",
            "--json",
        ]

        status = main(arguments)

        printed = json.loads(capsys.readouterr().out)
        listing = ["tar", "-tf", str(tmp_path / "out" / "images-000000.tar")]
        names = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
        sidecar = pl.read_parquet(printed["files"][1]["path"])
        assert status == 0
        assert names[:3] == ["cat.jpg", "cat.json", "cat.txt"]
        assert sidecar["score"].to_list() == [1.0, 2.0, 3.0]
        assert sidecar["image_data"].struct.field("bytes").null_count() == 0

    def test_several_sources_are_written_one_after_the_other(
        self, folder: Path, tmp_path: Path
    ) -> None:
        table = pa.table(
            {"image_id": ["of a table"], "image_data": [(folder / "rocket.jpg").read_bytes()]}
        )
        pq.write_table(table, tmp_path / "a.parquet")
        sources = [str(tmp_path / "a.parquet"), str(folder), str(folder / "coffee.png")]

        assert main(["write", *sources, str(tmp_path / "out"), "-q"]) == 0

        ids = scan(tmp_path / "out").collect()["image_id"].to_list()
        assert ids == ["of a table", "chelsea", "coffee", "rocket", str(folder / "coffee")]

    def test_a_bad_row_is_one_error_and_exit_code_1(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "torn.jpg").write_bytes((folder / "rocket.jpg").read_bytes()[:5000])

        status = main(["write", str(folder), str(tmp_path / "out")])

        printed = capsys.readouterr()
        assert status == 1
        assert printed.out == ""
        assert printed.err.startswith("arrowimg: error: 1 of 4 rows cannot be written")
        assert "row 3 (image_id 'torn'): truncated" in printed.err
        assert "Traceback" not in printed.err
        assert not (tmp_path / "out").exists()

    def test_quarantine_goes_on_and_says_so(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff")

        status = main(
            ["write", str(folder), str(tmp_path / "out"), "--on-error", "quarantine", "-q"]
        )

        last = capsys.readouterr().out.splitlines()[-1]
        assert status == 0
        assert last == "3 images in 1 shard, 1 row with an error (truncated 1)"

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["paint"],
            ["write", "only-one"],
            ["write", "in", "out", "--images-per-tar", "many"],
            ["write", "in", "out", "--members", "txt"],
            ["write", "in", "out", "--image", "x"],
        ],
        ids=["none", "unknown", "missing", "not-a-number", "half-a-member", "abbreviation"],
    )
    def test_wrong_usage_is_exit_code_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as exit_info:
            main(arguments)

        printed = capsys.readouterr()
        assert exit_info.value.code == 2
        assert printed.out == ""
        assert re.match(r"usage: arrowimg .*\narrowimg: error: .+\n", printed.err)

    def test_a_source_that_is_not_there_is_exit_code_1(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["write", str(tmp_path / "nowhere.parquet"), str(tmp_path / "out")])

        assert status == 1
        assert "nowhere.parquet" in capsys.readouterr().err


class TestInspect:
    def test_it_shows_shards_images_bytes_columns_and_rows(
        self, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        main(["write", str(table), str(out)])
        capsys.readouterr()
        nbytes = sum(path.stat().st_size for path in out.glob("images-*"))

        status = main(["inspect", str(out), "--rows", "2"])

        lines = capsys.readouterr().out.splitlines()
        assert status == 0
        assert lines[0] == f"{out}: 1 shard, 3 images, {nbytes:,} bytes, with a manifest"
        assert lines[1].startswith(f"written by arrowimg {__version__}")
        assert "  caption: string" in lines
        rows = lines[lines.index("first rows:") + 1 :]
        assert [line for line in rows if line.startswith("  - ")] == [
            "  - image_id: cat",
            "  - image_id: coffee",
        ]
        assert "    caption: a cup" in rows
        assert len(rows) == 2 * len(
            pl.read_parquet(out / "*.parquet").drop("error", "original_path").columns
        )

    def test_json_is_one_document(
        self, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["write", str(table), str(tmp_path / "out")])
        capsys.readouterr()

        main(["inspect", str(tmp_path / "out"), "--json"])

        document = json.loads(capsys.readouterr().out)
        assert document["shards"][0]["num_images"] == 3
        assert document["has_manifest"] is True

    def test_a_folder_without_shards_is_exit_code_1(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["inspect", str(tmp_path)])

        assert status == 1
        assert "expected a folder with sidecars" in capsys.readouterr().err

    def test_a_foreign_parquet_file_is_exit_code_1(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")

        status = main(["inspect", str(tmp_path)])

        assert status == 1
        expected = "expected a folder with sidecars (*.parquet), found foreign.parquet"
        assert expected in capsys.readouterr().err


class TestDemo:
    def test_it_writes_real_photographs_with_captions_scores_embeddings_and_times(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["demo", str(tmp_path / "out"), "--num-images", "120", "-q"])

        sidecar = pl.read_parquet(tmp_path / "out" / "*.parquet")
        assert status == 0
        assert capsys.readouterr().out.endswith("120 images in 1 shard, 0 rows with an error\n")
        assert sidecar["caption"].n_unique() > 100
        assert sidecar["score"].min() > 0  # type: ignore[operator]  # Polars types it as any value
        assert sidecar.schema["embedding"] == pl.Array(pl.Float32, 64)
        assert sidecar.schema["captured_at"] == pl.Datetime("us", "UTC")
        assert set(sidecar["channels"]) == {1, 3}

    def test_the_same_pictures_come_every_time(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("a", "b"):
            main(["demo", str(tmp_path / name), "--num-images", "30"])
        capsys.readouterr()

        first, second = (
            {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab"
        )
        assert first == second


class TestReshard:
    def test_rows_that_are_wanted_become_new_shards(
        self, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out, new = tmp_path / "out", tmp_path / "new"
        main(["write", str(table), str(out), "--members", "txt=caption"])
        scores = pl.DataFrame({"image_id": ["rocket", "cat", "coffee"], "score": [3.0, 1.0, 2.0]})
        scores.write_parquet(tmp_path / "scores.parquet")
        capsys.readouterr()

        status = main(
            [
                *("reshard", str(out), str(new), "--where", "score > 1", "--images-per-tar", "1"),
                *("--metadata", str(tmp_path / "scores.parquet"), "--shuffle-seed", "3"),
                *("--max-bytes-per-tar", "1000000", "--if-exists", "skip", "--json"),
            ]
        )

        printed = json.loads(capsys.readouterr().out)
        rows = pl.read_parquet([file["path"] for file in printed["files"][1::2]])
        assert status == 0
        assert sorted(rows["image_id"]) == ["coffee", "rocket"]
        assert sorted(rows["score"]) == [2.0, 3.0]

    def test_what_was_not_said_is_as_it_was(
        self, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        main(["write", str(table), str(out), "--keep-image-data", "--max-bytes-per-tar", "200000"])
        main(["reshard", str(out), str(tmp_path / "new")])

        main(["merge", str(out), str(tmp_path / "merged"), "-q"])

        first, second, third = (
            {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
            for name in ("out", "new", "merged")
        )
        assert first == second == third
        assert capsys.readouterr().out.count("3 images in 2 shards") == 3

    def test_croissant_is_refused_until_checksums_are_its_own(
        self, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out, new, merged = (str(tmp_path / name) for name in ("out", "new", "merged"))
        main(["write", str(table), out])
        assert main(["index", out, "--for", "croissant"]) == 1
        assert "reshard" in capsys.readouterr().err

        main(["reshard", out, new, "--checksum", "sha256"])
        main(["merge", out, merged, "--checksum", "sha256"])
        assert main(["index", new, "--for", "croissant"]) == 0
        assert main(["index", merged, "--for", "croissant"]) == 0

    def test_sha256_is_written_when_it_is_asked_for(self, table: Path, tmp_path: Path) -> None:
        main(["write", str(table), str(tmp_path / "out"), "--checksum", "sha256"])

        manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
        assert manifest["options"]["checksum"] == "sha256"

    def test_a_condition_that_is_none_is_one_line(
        self, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["write", str(table), str(tmp_path / "out")])

        status = main(
            ["reshard", str(tmp_path / "out"), str(tmp_path / "new"), "--where", "score >"]
        )

        assert status == 1
        assert capsys.readouterr().err.startswith(
            "arrowimg: error: --where: expected an expression"
        )

    def test_an_id_that_stands_twice_ends_a_merge(
        self, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["write", str(table), str(tmp_path / "out")])

        status = main(["merge", *[str(tmp_path / "out")] * 2, str(tmp_path / "new")])

        assert status == 1
        assert "every image_id once in the dataset" in capsys.readouterr().err
        assert not (tmp_path / "new").exists()


class TestHelp:
    def test_help_is_the_text_a_person_wrote(self, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments, text in [([], OVERVIEW), *(([name], text) for name, text in HELPS.items())]:
            with pytest.raises(SystemExit) as exit_info:
                main([*arguments, "--help"])

            assert exit_info.value.code == 0
            assert capsys.readouterr().out == text

    @pytest.mark.parametrize("name", sorted(HELPS))
    def test_the_options_described_are_the_options_accepted(self, name: str) -> None:
        described = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", HELPS[name].split("options]")[1]))
        commands = next(
            action
            for action in build_parser()._actions
            if isinstance(action, argparse._SubParsersAction)
        )
        accepted = {
            option for action in commands.choices[name]._actions for option in action.option_strings
        }

        assert described == accepted

    def test_lines_fit_a_terminal(self) -> None:
        assert (
            max(len(line) for text in (OVERVIEW, *HELPS.values()) for line in text.splitlines())
            <= 88
        )

    def test_the_page_in_the_docs_is_the_help(self) -> None:
        page = CLI_PAGE.read_text(encoding="utf-8")

        assert [block for block in (OVERVIEW, *HELPS.values()) if block not in page] == []

    def test_the_version_is_printed(self) -> None:
        command = [sys.executable, "-m", "arrowimg", "--version"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout

        assert printed == f"arrowimg {__version__}\n"


class TestPictures:
    def test_further_pictures_and_kept_formats_are_named(self, tmp_path: Path) -> None:
        table = segmentation_set().append_column("low", pa.array([KINDS["webp"]] * 7, pa.binary()))
        png = pa.array([KINDS["png"]] * 7, pa.binary())
        pq.write_table(table.set_column(1, "image", png), tmp_path / "set.parquet")
        words = ["write", str(tmp_path / "set.parquet"), str(tmp_path / "out"), "--quiet"]
        words += ["--image", "jpg=image", "--image", "mask.png=mask", "--image", "low.webp=low"]

        assert main([*words, "--keep", "png"]) == 0

        with tarfile.open(tmp_path / "out" / "images-000000.tar") as tar:
            assert tar.getnames()[:3] == ["id0.low.webp", "id0.mask.png", "id0.png"]

    @pytest.mark.parametrize(
        "words", [["--keep", "heic"], ["--image", "mask.png"], ["--image", "mask.txt=mask"]]
    )
    def test_others_are_wrong_usage(self, tmp_path: Path, words: list[str]) -> None:
        pq.write_table(segmentation_set(), tmp_path / "set.parquet")
        with pytest.raises(SystemExit) as caught:
            sys.exit(main(["write", str(tmp_path / "set.parquet"), str(tmp_path / "out"), *words]))

        assert caught.value.code == 2


def test_formats_and_splits_add_up_where_they_are_given_one_by_one(tmp_path: Path) -> None:
    files = {}
    for kind in ("PNG", "WEBP", "JPEG"):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (9, 99, 199)).save(buffer, kind)
        files[kind] = buffer.getvalue()
    rows = {"image_id": [*files], "image_data": [*files.values()]}
    pl.DataFrame(rows).write_parquet(tmp_path / "mixed.parquet")

    words = ["--keep", "png", "--keep", "webp", "--split", "train=0.5", "--split", "val=0.5"]
    assert main(["write", str(tmp_path / "mixed.parquet"), str(tmp_path / "out"), *words]) == 0

    names = pl.read_parquet(tmp_path / "out" / "*" / "*.parquet")["member_name"].to_list()
    assert sorted(names) == ["JPEG.jpg", "PNG.png", "WEBP.webp"]
