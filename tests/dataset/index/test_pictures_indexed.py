"""Indexes of datasets with several pictures of a sample, and with pictures that are kept."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import yaml
from file_data import JPEG
from index_data import members_in, samples_of
from segmentation_data import KINDS, MASKS, MEMBERS, PICTURES, segmentation_set

from arrowimg import export_index, write_shards
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path

DATASETS = ["several", "kept", "mixed", "nulls"]


@pytest.fixture(params=DATASETS)
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write(request.param, tmp_path)
    return tmp_path


def write(kind: str, folder: Path, **more: Any) -> None:  # noqa: ANN401
    files = {"mixed": [JPEG, *KINDS.values()], "kept": [KINDS["png"]] * 4, "nulls": [JPEG] * 4}
    if kind == "several":
        options: dict[str, Any] = {"images": PICTURES, "members": MEMBERS}
        write_shards(segmentation_set(), folder, 3, progress=False, **options, **more)
        return
    pictures = files[kind]
    masks = [MASKS[0] if at % 2 else None for at in range(len(pictures))]
    table = pa.table({"image_data": pictures, "mask": pa.array(masks, pa.binary())})
    options = {"members": {"seg.png": "mask"}} if kind == "nulls" else {"keep": [*KINDS]}
    write_shards(table, folder, 3, progress=False, **options, **more)


def test_dali_is_told_of_the_members_that_are_there(out: Path) -> None:
    export_index(out, ("dali",))

    for tar, members in members_in(out).items():
        lines = (out / tar).with_suffix(".idx").read_text().splitlines()
        samples = samples_of(members)
        assert lines[0] == f"v1.2 {len(samples)}"
        for line, sample in zip(lines[1:], samples, strict=True):
            expected = [f"{it.field} {it.offset} {it.size} {it.key}.{it.field}" for it in sample]
            assert line == " ".join(expected)


def test_energon_is_told_of_the_members_that_are_there(out: Path) -> None:
    export_index(out, ("energon",))
    parts = []
    for number, (tar, members) in enumerate(members_in(out).items()):
        samples = samples_of(members)
        places = np.fromfile(out / f"{tar}.idx", np.uint64).tolist()
        assert places[:-1] == [sample[0].header for sample in samples]
        for at, sample in enumerate(samples):
            parts += [(number, at, it.field, it.offset, it.size) for it in sample]

    with closing(sqlite3.connect(out / ".nv-meta" / "index.sqlite")) as database:
        found = database.execute("SELECT * FROM sample_parts ORDER BY rowid").fetchall()
    assert found == parts


@pytest.mark.parametrize(
    ("kind", "image"),
    [("several", "jpg"), ("kept", "png"), ("mixed", "bmp,gif,jpg,png,tiff,webp")],
)
def test_energon_is_told_what_the_picture_may_be(tmp_path: Path, kind: str, image: str) -> None:
    write(kind, tmp_path)
    export_index(tmp_path, ("energon",))

    settings = yaml.safe_load((tmp_path / ".nv-meta" / "dataset.yaml").read_text())
    assert settings["field_map"] == {"image": image}


def test_fsspec_opens_every_member(out: Path) -> None:
    export_index(out, ("fsspec",))
    files = fsspec.filesystem(
        "reference", fo=str(out / "fsspec.json"), remote_protocol="file", target_protocol="file"
    )
    references = json.loads((out / "fsspec.json").read_text())["refs"]

    for tar, members in members_in(out).items():
        data = (out / tar).read_bytes()
        for member in members:
            name = f"{member.key}.{member.field}"
            file, offset, size = references.pop(name)
            assert file == tar
            assert data[offset : offset + size] == data[member.offset :][: member.size]
    assert references == {}
    assert files is not None


@pytest.mark.parametrize("kind", ["several", "mixed"])
def test_hugging_face_takes_no_samples_that_differ(tmp_path: Path, kind: str) -> None:
    write(kind, tmp_path)

    with pytest.raises(OptionError, match="every sample has a member of each extension"):
        export_index(tmp_path, ("hf",))
    assert not (tmp_path / "README.md").exists()


def test_hugging_face_takes_samples_that_are_alike(tmp_path: Path) -> None:
    write("kept", tmp_path / "kept")
    write_shards(segmentation_set(()), tmp_path / "all", images=PICTURES, progress=False)

    for name in ("kept", "all"):
        assert export_index(tmp_path / name, ("hf",)) == [str(tmp_path / name / "README.md")]


def test_croissant_tells_pictures_from_further_ones(tmp_path: Path) -> None:
    table = segmentation_set().append_column("depth", pa.array([JPEG] * 7, pa.binary()))
    images = {**PICTURES, "depth.jpg": "depth"}
    write_shards(table, tmp_path, images=images, checksum="sha256", progress=False)
    export_index(tmp_path, ("croissant",))

    found = json.loads((tmp_path / "croissant.json").read_text())["distribution"]
    sets = {it["name"]: it for it in found if it["@type"] == "cr:FileSet"}
    assert sets["pictures"]["includes"] == ["*.jpg"]
    assert sets["pictures"]["cr:excludes"] == ["*.depth.jpg"]
    assert (sets["mask.png"]["includes"], sets["mask.png"]["encodingFormat"]) == (
        ["*.mask.png"],
        "image/png",
    )


def test_croissant_names_the_formats_that_are_kept(tmp_path: Path) -> None:
    write("mixed", tmp_path, checksum="sha256")
    export_index(tmp_path, ("croissant",))

    found = json.loads((tmp_path / "croissant.json").read_text())["distribution"]
    (pictures,) = [it for it in found if it["name"] == "pictures"]
    assert pictures["includes"] == ["*.jpg", "*.bmp", "*.gif", "*.png", "*.tiff", "*.webp"]
    assert pictures["encodingFormat"][:2] == ["image/jpeg", "image/bmp"]
