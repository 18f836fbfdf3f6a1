"""The command line over what a user or a file may do wrong: a line, a status, no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import JPEG

import arrowimg
from arrowimg._cli.main import main

HOSTILE = "a\x1b]0;title\x07\r\n\x9b31m\u202egpj\x7f\u2028\x00b"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a Parquet file of two images and a bad one."""
    columns = {"image_id": ["cat", "cup", "torn"], "image_data": [JPEG, JPEG, JPEG[:100]]}
    pq.write_table(pa.table(columns), tmp_path / "images.parquet")
    return tmp_path / "images.parquet"


@pytest.fixture
def out(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    main(["write", str(source), str(tmp_path / "out"), "--on-error", "quarantine"])
    capsys.readouterr()
    return tmp_path / "out"


def status_of(*arguments: object) -> int:
    """Return the exit status, whether it is returned or raised."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return int(ended.code or 0)


def is_shown_safely(text: str) -> bool:
    """Tell whether a terminal only prints a text: no control character but line ends."""
    return not any(
        unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp", "Cs"}
        for character in text
        if character != "\n"
    )


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--images-per-tar", "0"),
            ("--images-per-tar", "-3"),
            ("--images-per-tar", "1.5"),
            ("--quality", "101"),
            ("--quality", "0"),
            ("--max-bytes-per-tar", "100"),
            ("--threads", "0"),
            ("--members", "JPG=caption"),
            ("--checksum", "md5"),
            ("--subsampling", "4:1:1"),
        ],
    )
    def test_a_value_that_cannot_be_is_2_and_names_the_option(
        self,
        source: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        option: str,
        value: str,
    ) -> None:
        status = status_of("write", source, tmp_path / "new", f"{option}={value}")

        error = capsys.readouterr().err.splitlines()
        assert status == 2
        assert error[-1].startswith("arrowimg: error: ")
        assert option in error[-1]
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        "arguments",
        [
            ("demo", "new", "--num-images", "-3"),
            ("demo", "new", "--num-images", "0"),
            ("inspect", "new", "--rows", "-1"),
            ("gc", "new", "--older-than", "nan"),
            ("gc", "new", "--older-than", "-1"),
            ("reshard", "old", "new", "--images-per-tar", "0"),
        ],
    )
    def test_so_it_is_for_the_other_commands(
        self, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
    ) -> None:
        assert status_of(*arguments) == 2
        option = next(it for it in arguments if it.startswith("--"))
        assert option in capsys.readouterr().err.splitlines()[-1]

    @pytest.mark.parametrize(
        ("arguments", "meant"),
        [
            (["wirte", "in", "out"], "write"),
            (["inpsect", "out"], "inspect"),
            (["verify", "out", "--quikc"], "--quick"),
            (["write", "in", "out", "--image-per-tar=4"], "--images-per-tar"),
            (["gc", "out", "--delte"], "--delete"),
        ],
    )
    def test_a_misspelt_name_is_answered_with_the_close_one(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], meant: str
    ) -> None:
        assert status_of(*arguments) == 2
        assert capsys.readouterr().err.endswith(f"; did you mean {meant}?\n")

    def test_a_name_like_no_other_is_not_guessed_at(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert status_of("xyzzy") == 2
        assert "did you mean" not in capsys.readouterr().err


class TestFilesOfTheSource:
    @pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
    @pytest.mark.parametrize("content", [b"", b"PAR1ARROW1 is all there is"])
    @pytest.mark.parametrize("as_metadata", [False, True])
    def test_one_that_is_broken_is_one_line_with_its_name(
        self,
        source: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        suffix: str,
        content: bytes,
        as_metadata: bool,  # noqa: FBT001  # a parameter of the test
    ) -> None:
        bad = tmp_path / f"bad{suffix}"
        bad.write_bytes(content)
        given = (
            [source, tmp_path / "new", "--metadata", bad]
            if as_metadata
            else [bad, tmp_path / "new"]
        )

        assert status_of("write", *given) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"arrowimg: error: {bad}: expected ")
        assert not (tmp_path / "new").exists()

    def test_one_that_ends_early_is_one_line(
        self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        whole = source.read_bytes()
        source.write_bytes(whole[:100] + b"\0" * 200 + whole[300:])

        assert status_of("write", source, tmp_path / "new") == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"arrowimg: error: {source}: expected a Parquet file")

    @pytest.mark.parametrize("name", ["nosuch", "nosuch.parquet", "nosuch.jpg", "no*.parquet"])
    def test_the_name_of_what_is_not_there_comes_first(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        assert status_of("write", name, tmp_path / "new") == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert re.match(rf"arrowimg: error: {re.escape(name)}: expected .* found nothing", line)

    def test_what_is_no_source_yet_is_answered_with_the_way_out(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("labels.csv", "a.jsonl", "shard.tar.gz"):
            (tmp_path / name).write_bytes(b"")
        for name, advice in (
            ("labels.csv", "polars.read_csv("),
            ("a.jsonl", "polars.read_ndjson("),
            ("shard.tar.gz", "unpack it"),
        ):
            assert status_of("write", tmp_path / name, tmp_path / "new") == 1
            assert advice in capsys.readouterr().err

    def test_what_was_passed_over_is_said_and_returned(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        for name in ("a.jpg", "b.svg", "c.svg", "notes.txt"):
            (folder / name).write_bytes(JPEG)

        status_of("write", folder, tmp_path / "one")
        status_of("write", folder, tmp_path / "two", "--json")

        printed = capsys.readouterr()
        text, document = printed.out.split("{", 1)
        assert printed.err == ""
        assert text.endswith("passed over: suffix .svg 2, suffix .txt 1\n")
        assert json.loads("{" + document)["metadata"]["passed_over"] == {
            "suffix .svg": 2,
            "suffix .txt": 1,
        }

    def test_a_file_that_cannot_be_read_is_kept_with_its_code(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        (folder / "a.jpg").write_bytes(JPEG)
        Path(os.fsdecode(os.fsencode(folder) + b"/b\xe9.jpg")).write_bytes(JPEG)

        assert status_of("write", folder, tmp_path / "out") == 1
        assert "unreadable: expected a file that can be read" in capsys.readouterr().err
        assert status_of("write", folder, tmp_path / "out", "--on-error", "quarantine") == 0
        assert "1 row with an error (unreadable 1)" in capsys.readouterr().out
        assert arrowimg.verify(tmp_path / "out").is_sound


class TestFolders:
    @pytest.mark.parametrize("command", ["inspect", "verify", "index", "gc"])
    def test_one_that_is_not_there_is_exit_code_1(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
    ) -> None:
        assert status_of(command, tmp_path / "no-such") == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"arrowimg: error: {tmp_path / 'no-such'}")
        assert not (tmp_path / "no-such").exists()

    def test_a_dataset_without_rows_is_shown(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arrowimg.write_shards([], tmp_path / "out")

        assert status_of("inspect", tmp_path / "out") == 0
        first = capsys.readouterr().out.splitlines()[0]
        assert first == f"{tmp_path / 'out'}: 0 shards, 0 images, 0 bytes, with a manifest"

    @pytest.mark.parametrize("content", [b"{", b"", b"[]", b"\xff\xfe"])
    def test_a_broken_manifest_is_named(
        self, out: Path, capsys: pytest.CaptureFixture[str], content: bytes
    ) -> None:
        (out / "manifest.json").write_bytes(content)

        assert status_of("inspect", out) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"arrowimg: error: {out}/manifest.json: expected ")

    def test_no_rows_may_be_asked_for(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert status_of("inspect", out, "--rows", "0") == 0
        assert capsys.readouterr().out.endswith("first rows:\n")

    def test_bad_rows_are_counted_by_code(
        self, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status_of("inspect", out)
        status_of("inspect", out, "--json")

        text, document = capsys.readouterr().out.split("{", 1)
        assert "\n1 row with an error: truncated 1\n" in text
        assert json.loads("{" + document)["error_codes"] == {"truncated": 1}

    def test_checksums_are_hexadecimal_in_json(
        self, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status_of("inspect", out, "--json")

        row = json.loads(capsys.readouterr().out)["first_rows"][0]
        stored = pq.read_table(next(out.glob("*.parquet")))["checksum"][0].as_py()
        assert row["checksum"] == stored.hex()

    def test_the_report_of_a_damaged_tar_is_bounded(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        columns = {"image_id": [f"i{row}" for row in range(500)], "image_data": [JPEG] * 500}
        arrowimg.write_shards(pa.table(columns), tmp_path / "out")
        tar = tmp_path / "out" / "images-000000.tar"
        tar.write_bytes(tar.read_bytes()[:10_000])

        assert status_of("verify", tmp_path / "out") == 1
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) < 40
        assert re.search(r"images-000000.tar: more: and 39\d more in this file", "\n".join(lines))

    def test_permission_is_not_answered_with_room(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        errors = []
        for folder in (tmp_path / "file" / "out",):
            with pytest.raises(arrowimg.errors.StorageError) as caught:
                arrowimg.write_shards(pa.table({"image_data": [JPEG]}), folder)
            errors.append(str(caught.value))
        assert not [error for error in errors if "free there" in error]


class TestOwnWords:
    def test_what_is_to_be_done_is_said_as_options(
        self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status_of("write", source, tmp_path / "new")
        assert "or pass --on-error quarantine to keep them" in capsys.readouterr().err
        status_of("write", source, tmp_path / "new", "--on-error", "quarantine")
        arguments = ["--on-error", "quarantine", "--images-per-tar", "1"]
        status_of("write", source, tmp_path / "new", *arguments)
        assert "pass --if-exists overwrite" in capsys.readouterr().err


class TestTerminals:
    @pytest.mark.parametrize(
        "arguments", [["inspect"], ["inspect", "--json"], ["verify", "--json"], ["verify"]]
    )
    def test_nothing_from_a_file_is_a_command_to_one(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        table = {"image_id": [HOSTILE], "image_data": [JPEG], HOSTILE: [HOSTILE]}
        arrowimg.write_shards(pa.table(table), tmp_path / "out")
        (tmp_path / "out" / "x\x1b[31m.tar").write_bytes(b"")
        if arguments[0] == "verify":
            (tmp_path / "out" / "images-000000.tar").write_bytes(b"")

        status_of(arguments[0], tmp_path / "out", *arguments[1:])

        printed = capsys.readouterr()
        assert is_shown_safely(printed.out + printed.err)
        if arguments == ["inspect", "--json"]:
            assert json.loads(printed.out)["first_rows"][0]["image_id"] == HOSTILE

    def test_nor_is_anything_in_an_error(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hostile = HOSTILE.replace("\x00", "")
        table = pa.table({"image_id": [HOSTILE], "image_data": [b"x"], HOSTILE: [1]})
        pq.write_table(table, tmp_path / "images.parquet")
        for arguments in (
            ["write", tmp_path / "images.parquet", tmp_path / "new"],
            ["write", tmp_path / "images.parquet", tmp_path / "new", "--image-column", hostile],
            ["write", hostile, tmp_path / "new"],
            ["inspect", hostile],
            ["verify", hostile],
            ["index", tmp_path, "--for", hostile],
            [hostile],
            ["verify", tmp_path, f"--{hostile}"],
        ):
            assert status_of(*arguments) in {1, 2}
            printed = capsys.readouterr()
            assert is_shown_safely(printed.out + printed.err), arguments

    @pytest.mark.parametrize("command", ["inspect", "verify", "index", "write"])
    def test_a_folder_whose_name_is_no_utf_8_is_refused_in_one_line(
        self, source: Path, tmp_path: Path, command: str
    ) -> None:
        folder = os.fsencode(tmp_path) + b"/\xe9"
        given = [source] if command == "write" else []
        done = subprocess.run(
            [sys.executable, "-m", "arrowimg", command, *given, folder],
            env=os.environ | {"PYTHONPATH": str(Path(arrowimg.__file__).parents[1])},
            capture_output=True,
            check=False,
        )

        (line,) = done.stderr.splitlines()
        assert done.returncode in {1, 2}
        assert b"a path in UTF-8" in line
        assert b"\\udce9" in line
        assert not Path(os.fsdecode(folder)).exists()
