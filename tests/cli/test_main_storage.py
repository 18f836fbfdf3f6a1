"""The command line over folders that are written again, damaged, or littered."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from folders import state_of
from photographs import SKIMAGE
from PIL import Image

from arrowimg._cli.main import main

PHOTOGRAPH = SKIMAGE / "coffee.png"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder of four small photographs."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    photograph = Image.open(PHOTOGRAPH).convert("RGB")
    for at, name in enumerate(("cat", "cup", "dog", "fox")):
        sink = io.BytesIO()
        photograph.crop((60 * at, 9 * at, 60 * at + 32, 9 * at + 24)).save(sink, "JPEG")
        (folder / f"{name}.jpg").write_bytes(sink.getvalue())
    return folder


@pytest.fixture
def out(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Write the photographs as a dataset of two shards."""
    folder = tmp_path / "out"
    main(["write", str(source), str(folder), "--images-per-tar", "2", "-q"])
    capsys.readouterr()
    return folder


def change(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


class TestVerify:
    @pytest.mark.parametrize(
        ("arguments", "depth"),
        [([], "checksums"), (["--quick"], "quick"), (["--decode"], "decode")],
    )
    def test_a_sound_folder_is_one_line_and_exit_code_0(
        self, out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], depth: str
    ) -> None:
        status = main(["verify", str(out), *arguments])

        printed = capsys.readouterr()
        assert (status, printed.err) == (0, "")
        assert printed.out == f"{out}: sound; 2 shards, 4 images, 4 rows ({depth})\n"

    def test_damage_and_notices_are_listed_and_exit_code_1(
        self, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (out / "images-000001.tar").unlink()
        (out / "notes.txt").write_bytes(b"")
        before = state_of(out)
        status = main(["verify", str(out)])

        assert status == 1
        assert capsys.readouterr().out.splitlines() == [
            "images-000001.tar: missing: its sidecar names it",
            "notice: notes.txt: not ours",
            f"{out}: 1 damage; 2 shards, 4 images, 4 rows (checksums)",
        ]
        assert state_of(out) == before

    def test_a_damaged_picture_is_named_unless_only_a_glance_was_asked_for(
        self, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        change(out / "images-000000.tar", 600, b"\0\0\0")
        statuses = [main(["verify", str(out), *more]) for more in (["--quick"], [], ["--decode"])]

        assert statuses == [0, 1, 1]
        assert capsys.readouterr().out.count("images-000000.tar: cat.jpg: checksum: ") == 2

    def test_json_is_one_document(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (out / "images-000001.tar").unlink()
        status = main(["verify", str(out), "--quick", "--json"])

        assert status == 1
        assert json.loads(capsys.readouterr().out) == {
            "path": str(out),
            "depth": "quick",
            "num_shards": 2,
            "num_images": 4,
            "num_rows": 4,
            "damages": [
                {
                    "file": "images-000001.tar",
                    "member": None,
                    "kind": "missing",
                    "detail": "its sidecar names it",
                }
            ],
            "notices": [],
        }

    def test_a_folder_without_shards_is_exit_code_1(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["verify", str(tmp_path)])

        printed = capsys.readouterr()
        assert (status, printed.out) == (1, "")
        assert printed.err == (
            f"arrowimg: error: {tmp_path}: "
            "expected a manifest or sidecars (*.parquet), found neither\n"
        )

    @pytest.mark.parametrize("arguments", [[], ["out", "--quick", "--decode"], ["out", "--deep"]])
    def test_wrong_usage_is_exit_code_2(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        with pytest.raises(SystemExit) as exit_info:
            main(["verify", *arguments])

        assert exit_info.value.code == 2
        assert "arrowimg: error: " in capsys.readouterr().err


class TestIfExists:
    @pytest.mark.parametrize("policy", ["verify", "skip"])
    def test_the_same_again_is_unchanged(
        self, source: Path, out: Path, capsys: pytest.CaptureFixture[str], policy: str
    ) -> None:
        before = state_of(out)
        arguments = ["--images-per-tar", "2", "--if-exists", policy, "--json"]
        status = main(["write", str(source), str(out), *arguments])

        metadata = json.loads(capsys.readouterr().out)["metadata"]
        assert (status, metadata["num_unchanged"], metadata["num_images"]) == (0, 2, 4)
        assert state_of(out) == before

    def test_error_refuses_it(
        self, source: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = state_of(out)
        arguments = ["--images-per-tar", "2", "--if-exists", "error"]
        status = main(["write", str(source), str(out), *arguments])

        printed = capsys.readouterr()
        assert (status, printed.out) == (1, "")
        assert printed.err.startswith(f"arrowimg: error: {out}/manifest.json: already written")
        assert state_of(out) == before

    def test_other_options_are_named_and_refused(
        self, source: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = state_of(out)
        status = main(["write", str(source), str(out), "--images-per-tar", "3"])

        assert status == 1
        assert "  images_per_tar: 2 there, 3 here\n" in capsys.readouterr().err
        assert state_of(out) == before

    def test_overwrite_replaces_the_dataset(
        self, source: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["write", str(source), str(out), "--if-exists", "overwrite"])

        assert status == 0
        assert capsys.readouterr().out.endswith("4 images in 1 shard, 0 rows with an error\n")
        assert sorted(path.name for path in out.iterdir()) == [
            "images-000000.parquet",
            "images-000000.tar",
            "manifest.json",
        ]

    def test_another_policy_is_exit_code_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as exit_info:
            main(["write", "in", "out", "--if-exists", "replace"])

        assert exit_info.value.code == 2
        assert "--if-exists" in capsys.readouterr().err


class TestBadImages:
    def test_their_bytes_are_kept_where_that_is_asked_for(
        self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (source / "torn.jpg").write_bytes(b"\xff\xd8\xff")
        out = tmp_path / "kept"
        arguments = ["--on-error", "quarantine", "--keep-quarantined"]
        status = main(["write", str(source), str(out), *arguments])

        assert (status, capsys.readouterr().err) == (0, "")
        with tarfile.open(out / "quarantine-images-000000.tar") as tar:
            assert tar.getnames() == ["torn.truncated"]

    @pytest.mark.parametrize(("fraction", "status"), [("0.1", 1), ("0.2", 0)])
    def test_more_of_them_than_allowed_are_exit_code_1(
        self,
        source: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        fraction: str,
        status: int,
    ) -> None:
        (source / "torn.jpg").write_bytes(b"\xff\xd8\xff")
        out = tmp_path / "few"
        arguments = ["--on-error", "quarantine", "--max-error-fraction", fraction]
        found = main(["write", str(source), str(out), *arguments])

        message = (
            "arrowimg: error: 1 of 5 rows are bad (truncated 1), "
            "more than --max-error-fraction 0.1\n"
        )
        assert found == status
        assert capsys.readouterr().err == (message if status else "")
        assert (out / "manifest.json").exists() is not bool(status)

    @pytest.mark.parametrize("fraction", ["2", "-0.1", "nan"])
    def test_a_fraction_that_cannot_be_is_wrong_usage(
        self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fraction: str
    ) -> None:
        arguments = ["--on-error", "quarantine", f"--max-error-fraction={fraction}"]
        status = main(["write", str(source), str(tmp_path / "x"), *arguments])

        assert status == 2
        assert "--max-error-fraction: expected a number from 0 to 1" in capsys.readouterr().err
        assert not (tmp_path / "x").exists()

    @pytest.mark.parametrize("option", ["--keep-quarantined", "--max-error-fraction=0.1"])
    def test_an_option_without_effect_is_wrong_usage(
        self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
    ) -> None:
        with pytest.raises(SystemExit) as exited:
            main(["write", str(source), str(tmp_path / "x"), option])

        assert exited.value.code == 2
        name = option.partition("=")[0]
        assert capsys.readouterr().err.endswith(
            f"arrowimg: error: {name} needs --on-error quarantine\n"
        )
        assert not (tmp_path / "x").exists()


class TestIndex:
    def test_the_default_is_webdatasets_and_its_path_is_printed(
        self, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["index", str(out)])

        assert status == 0
        assert capsys.readouterr().out == f"{out}/webdataset.json\n"
        index = json.loads((out / "webdataset.json").read_bytes())
        assert index["urls"] == "images-{000000..000001}.tar"

    def test_json_is_the_list_of_paths(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status = main(["index", str(out), "--for", "dali,sizes", "--json"])

        assert status == 0
        paths = json.loads(capsys.readouterr().out)
        assert paths == [
            f"{out}/{name}" for name in ("images-000000.idx", "images-000001.idx", "sizes.json")
        ]
        assert all(Path(path).is_file() for path in paths)

    @pytest.mark.parametrize("formats", ["tfds", "dali,", "", "dali,,wids"])
    def test_an_unknown_format_is_wrong_usage(
        self, out: Path, capsys: pytest.CaptureFixture[str], formats: str
    ) -> None:
        with pytest.raises(SystemExit) as exit_info:
            main(["index", str(out), "--for", formats])

        assert exit_info.value.code == 2
        assert "expected some of webdataset,wids,dali," in capsys.readouterr().err

    def test_what_cannot_be_made_is_exit_code_1(
        self, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["index", str(out), "--for", "croissant"])

        printed = capsys.readouterr()
        assert status == 1
        assert printed.out == ""
        assert "that was written with --checksum sha256" in printed.err
        assert not (out / "croissant.json").exists()
