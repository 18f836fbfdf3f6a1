"""Indexes of NVIDIA DALI."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from index_data import members_in, samples_of, write_batches, write_dataset
from writer_data import IDS

from arrowimg import export_index, write_shards


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "out")


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    return write_batches(tmp_path / "batches")


def test_lines_are_those_of_the_tar(out: Path, batches: Path) -> None:
    for folder in (out, batches):
        paths = export_index(folder, ("dali",))

        for path, (tar, members) in zip(paths, members_in(folder).items(), strict=True):
            samples = samples_of(members)
            lines = [
                " ".join(f"{it.field} {it.offset} {it.size} {it.name}" for it in sample)
                for sample in samples
            ]
            expected = "\n".join([f"v1.2 {len(samples)}", *lines]) + "\n"
            assert Path(path).read_text(encoding="ascii") == expected
            assert path == str(folder / tar.replace(".tar", ".idx"))


def test_gnu_tar_finds_the_members_at_the_same_blocks(out: Path) -> None:
    export_index(out, ("dali",))
    command = ["tar", "--list", "--block-number", "--file", str(out / "images-000000.tar")]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    found = []
    for line in listing.splitlines():
        block, _, name = line.partition(": ")
        if not name.startswith("**"):
            found.append((name, 512 * int(block.removeprefix("block ")) + 512))
    words = [line.split() for line in (out / "images-000000.idx").read_text().splitlines()[1:]]
    indexed = [(line[at + 3], int(line[at + 1])) for line in words for at in range(0, 16, 4)]
    assert indexed == found


def test_a_tar_of_no_pictures_has_no_index(tmp_path: Path) -> None:
    torn = pa.table({"image_id": IDS[:2], "image_data": [b"\xff\xd8\xff"] * 2})
    write_shards(torn, tmp_path, on_error="quarantine")

    assert export_index(tmp_path, ("dali",)) == []
