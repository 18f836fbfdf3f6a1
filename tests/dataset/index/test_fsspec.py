"""References of fsspec."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import fsspec
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from index_data import members_in, write_batches, write_dataset

from arrowimg import export_index
from arrowimg._dataset.index.fsspec import joined_references

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "out")


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    return write_batches(tmp_path / "batches")


def test_every_member_is_read_through_its_reference(out: Path, batches: Path) -> None:
    for folder in (out, batches):
        export_index(folder, ("fsspec",))
        below = DirFileSystem(str(folder), LocalFileSystem())
        files = fsspec.filesystem("reference", fo=str(folder / "fsspec.json"), fs=below)

        members = {}
        for path in folder.glob("images-*.tar"):
            with tarfile.open(path) as tar:
                for member in tar:
                    file = tar.extractfile(member)
                    assert file is not None
                    members[member.name] = file.read()
        assert {name: files.cat_file(name) for name in members} == members
        assert sorted(files.references) == sorted(members)


def test_references_are_in_the_order_of_the_tars(out: Path) -> None:
    export_index(out, ("fsspec",))
    index = json.loads((out / "fsspec.json").read_bytes())

    assert index["version"] == 1
    assert list(index["refs"].items()) == [
        (it.name, [it.tar, it.offset, it.size])
        for members in members_in(out).values()
        for it in members
    ]


@pytest.mark.parametrize("texts", [[], ["", ""], ["", "a", "b"], ["a", "", "b"], ["a", ""]])
def test_shards_of_no_pictures_leave_no_gap(texts: list[str]) -> None:
    entries = (f',"{text}":0'.encode() if text else b"" for text in texts)
    pieces = joined_references(entries)

    index = json.loads(b"".join(bytes(piece) for piece in pieces))
    assert index == {"version": 1, "refs": {text: 0 for text in texts if text}}
