"""The command that adopts tars, and those that are told where the tars are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from adopt_data import samples, write_tars

from arrowimg import scan
from arrowimg._cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    return write_tars(tmp_path / "tars", samples(range(3)), [("a.txt", b"alone")])


def test_tars_are_adopted_and_what_is_odd_is_said(
    tars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adopt", f"{tars}/*.tar"]) == 0
    assert capsys.readouterr().out == "3 images in 2 tars, 1 row with an error (1 missing)\n"
    assert main(["adopt", f"{tars}/*.tar", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["num_unchanged"], printed["error_codes"]) == (2, {"missing": 1})
    assert main(["verify", str(tars), "--decode"]) == 0


def test_the_other_commands_are_told_where_the_tars_are(
    tars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index, new = str(tmp_path / "index"), str(tmp_path / "new")
    assert main(["adopt", str(tars), "--out", index, "--members", "txt"]) == 0

    assert main(["inspect", index]) == 1
    advice = f"its tars were elsewhere: --tars '{tars}'"
    assert advice in capsys.readouterr().err
    for depth in ([], ["--quick"]):
        assert main(["verify", index, *depth]) == 1
        lines = capsys.readouterr().out.splitlines()[:2]
        assert [(it.split(":")[0], it.endswith(advice)) for it in lines] == [
            ("00000.tar", True),
            ("00001.tar", True),
        ]
    for arguments in (["inspect", index], ["verify", index], ["index", index, "--for", "wids"]):
        assert main([*arguments, "--tars", str(tars)]) == 0
    assert main(["reshard", index, new, "--tars", str(tars)]) == 0
    assert main(["verify", new]) == 0


def test_merge_is_told_where_the_tars_of_each_source_are(
    tars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = write_tars(tmp_path / "more", samples(range(3, 5)))
    indexes = [str(tmp_path / name) for name in ("one", "two")]
    for index, folder in zip(indexes, (tars / "00000.tar", more), strict=True):
        assert main(["adopt", str(folder), "--out", index]) == 0
    merge = ["merge", *indexes, str(tmp_path / "all")]

    told = [f"--tars={indexes[0]}={tars}", f"--tars={indexes[1]}={more}"]
    assert main([*merge, told[0]]) == 1
    assert main([*merge, *told]) == 0
    ids = [f"{number:09d}" for number in range(5)]
    assert scan(tmp_path / "all").collect()["image_id"].to_list() == ids
    for wrong in ("--tars=three=x", "--tars=one"):
        with pytest.raises(SystemExit, match="2"):
            main([*merge, wrong])
    assert "'three' is no SOURCE" in capsys.readouterr().err


def test_a_clash_and_a_packed_tar_are_one_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tars = write_tars(tmp_path / "tars", samples([0], n=1), samples([1], n="x"))

    assert main(["adopt", str(tars)]) == 1
    assert main(["adopt", "a.tar.gz"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("arrowimg: error:") for line in lines] == [True, True]
