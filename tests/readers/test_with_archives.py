"""Programs and libraries that know archives, and nothing of images."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from reader_data import ALL_EQUAL, Dataset, compare, in_samples

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.readers(env="readers-archives")


@pytest.mark.parametrize(("program", "name"), [("tar", "GNU tar"), ("bsdtar", "bsdtar")])
def test_programs(dataset: Dataset, tmp_path: Path, program: str, name: str) -> None:
    names = []
    for path in dataset.tars:
        listed = subprocess.run([program, "-tf", path], capture_output=True, check=True, text=True)
        subprocess.run([program, "-xf", path, "-C", str(tmp_path)], check=True)
        assert listed.stderr == ""
        names += listed.stdout.splitlines()

    found = in_samples((name, (tmp_path / name).read_bytes()) for name in names)

    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert compare(dataset, found, name) == ALL_EQUAL


def test_libarchive(dataset: Dataset) -> None:
    import libarchive

    members = []
    for path in dataset.tars:
        with libarchive.file_reader(path) as archive:
            members += [(entry.pathname, b"".join(entry.get_blocks())) for entry in archive]

    assert compare(dataset, in_samples(members), "libarchive-c") == ALL_EQUAL


def test_ratarmount(dataset: Dataset) -> None:
    from ratarmountcore.mountsource.factory import open_mount_source

    members = []
    for path in dataset.tars:
        with open_mount_source(path, writeIndex=False, printDebug=0) as source:
            files = source.list("/")
            # A folder has no order of its own; its files stand in the tar where their data is.
            for name in sorted(files, key=lambda name: files[name].userdata[-1].offset):
                with source.open(files[name]) as file:
                    members.append((name, file.read()))

    assert compare(dataset, in_samples(members), "ratarmountcore") == ALL_EQUAL
