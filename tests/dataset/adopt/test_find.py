"""Which tars are meant: what is there under a name is meant by it, whatever else it stands for."""

from __future__ import annotations

from pathlib import Path

import pytest
from adopt_data import samples, tar_of, write_tars
from storage_data import moto_options

import arrowimg
from arrowimg._dataset.adopt.find import find_tars
from arrowimg._storage.open import open_storage
from arrowimg.errors import SourceError


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Return a folder whose name would be a pattern, and a range."""
    return write_tars(tmp_path / "x [1] {a,b}", samples(range(2)), samples(range(2, 4)))


def test_a_tar_or_a_folder_that_is_there_is_itself(odd: Path) -> None:
    (odd / "?{1..2}.tar").write_bytes((odd / "00000.tar").read_bytes())

    assert find_tars(odd / "00000.tar").names == ["00000.tar"]
    assert find_tars([odd / "00001.tar", odd / "00000.tar"]).names == ["00001.tar", "00000.tar"]
    assert find_tars(odd / "?{1..2}.tar").names == ["?{1..2}.tar"]
    assert find_tars(odd).names == ["00000.tar", "00001.tar", "?{1..2}.tar"]
    assert find_tars(f"{odd}/").storage == open_storage(odd)


@pytest.mark.parametrize("said", ["00001.tar", "./00001.tar", "*1.tar", "**/*1.tar", "00001.tar*"])
def test_nothing_in_the_working_directory_is_a_pattern(
    said: str, odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(odd)

    arrowimg.adopt(said)
    arrowimg.write_shards(said, odd.parent / "new")

    ids = ["000000002", "000000003"]
    assert arrowimg.scan(odd).collect()["image_id"].to_list() == ids
    assert arrowimg.scan("../new").collect()["image_id"].to_list() == ids


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("a/../0000[01].tar", ["00000.tar", "00001.tar"]),
        ("0000{0..1}.tar", ["00000.tar", "00001.tar"]),
        ("?0000.tar", ["00000.tar"]),
    ],
)
def test_what_is_not_there_stands_for_what_it_says(
    said: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_tars(tmp_path / "tars", samples([0]), samples([1])))

    assert find_tars(said).names == names
    assert find_tars(Path.cwd() / said).names == names
    with pytest.raises(SourceError, match="none among 2 files"):
        find_tars("[9]*.tar")


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("*.tar", ["00000.tar", "00001.tar"]),
        ("**/*.tar", ["00000.tar", "00001.tar"]),
        (".", ["00000.tar", "00001.tar"]),
        (".*.tar", [".00002.tar"]),
    ],
)
def test_what_begins_with_a_dot_is_found_where_that_is_said(
    said: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_tars(tmp_path / "tars", samples([0]), samples([1])))
    Path(".00002.tar").write_bytes(tar_of(samples([2])))
    Path(".hidden").mkdir()
    Path(".hidden", "00003.tar").write_bytes(tar_of(samples([3])))

    assert find_tars(said).names == names


def test_keys_in_a_bucket_are_themselves(tmp_path: Path) -> None:
    options, url = moto_options(), f"s3://storages/{tmp_path.name}/x [1]"
    with open_storage(url, options).begin("xxh3_128") as transaction:
        transaction.create("{0..1}.tar").write(tar_of(samples([0])))
        transaction.publish()

    assert find_tars(f"{url}/{{0..1}}.tar", options).names == ["{0..1}.tar"]
    assert find_tars(url, options).names == ["{0..1}.tar"]
