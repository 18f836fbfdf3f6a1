"""A segmentation set in webdataset, torch and Hugging Face: bit for bit what went in.

These readers are among the tests' own packages, but torch, which has an environment of its own.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from segmentation_data import (
    KINDS,
    MASKS,
    MEMBERS,
    PHOTOGRAPHS,
    PICTURES,
    segmentation_set,
    values_of,
)

from arrowimg import export_index, read_batches, write_shards

if TYPE_CHECKING:
    from pathlib import Path

BOXES = segmentation_set()["boxes"].to_pylist()
CLASSES = segmentation_set()["class"].to_pylist()


def tars_of(folder: Path, *, without_mask: tuple[int, ...]) -> list[str]:
    table = segmentation_set(without_mask)
    options: dict[str, Any] = {"images": PICTURES, "members": MEMBERS, "progress": False}
    return write_shards(table, folder, 3, **options).tar_paths


def samples_of(tars: list[str]) -> list[dict[str, Any]]:
    import webdataset

    with warnings.catch_warnings():
        # webdataset leaves it to the garbage collector to close a tar.
        warnings.simplefilter("ignore", ResourceWarning)
        return list(webdataset.WebDataset(tars, shardshuffle=False))


def check(samples: list[dict[str, Any]], without_mask: tuple[int, ...] = ()) -> None:
    """Compare samples, each with its members by extension, with what was written."""
    assert len(samples) == 7
    for at, sample in enumerate(samples):
        assert sample["jpg"] == PHOTOGRAPHS[at]
        assert sample["cls"] == str(CLASSES[at]).encode()
        assert json.loads(sample["json"]) == {"boxes": BOXES[at]}
        assert sample.get("mask.png") == (None if at in without_mask else MASKS[at])


def test_webdataset(tmp_path: Path) -> None:
    check(samples_of(tars_of(tmp_path, without_mask=(0, 2))), (0, 2))


@pytest.mark.readers(env="readers-webdataset")
def test_torch(tmp_path: Path) -> None:
    import webdataset
    from torch.utils.data import DataLoader

    reader = webdataset.WebDataset(tars_of(tmp_path, without_mask=(0, 2)), shardshuffle=False)
    found = sorted(
        DataLoader(reader, batch_size=None, num_workers=2), key=lambda it: str(it["__key__"])
    )

    check(found, (0, 2))


def test_hugging_face_with_every_picture(tmp_path: Path) -> None:
    import datasets

    tars_of(tmp_path / "out", without_mask=())
    export_index(tmp_path / "out", ("hf",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = datasets.load_dataset(
            str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
        )

    assert isinstance(loaded.features["mask.png"], datasets.Image)
    for at, row in enumerate(loaded):
        assert np.array_equal(np.asarray(row["mask.png"]), values_of(MASKS[at]))
        assert np.array_equal(np.asarray(row["jpg"]), values_of(PHOTOGRAPHS[at]))
    files = loaded.cast_column("mask.png", datasets.Image(decode=False))["mask.png"]
    assert [it["bytes"] for it in files] == MASKS


def test_read_batches(tmp_path: Path) -> None:
    tars_of(tmp_path, without_mask=(0, 2))

    rows = [row for batch in read_batches(tmp_path, 2) for row in batch.data.to_pylist()]

    assert [row["image_data"] for row in rows] == PHOTOGRAPHS
    assert [row["mask"] for row in rows] == [None if at in (0, 2) else MASKS[at] for at in range(7)]
    assert [row["boxes"] for row in rows] == BOXES
    assert [row["class"] for row in rows] == CLASSES


def test_webdataset_with_kept_pictures(tmp_path: Path) -> None:
    import pyarrow as pa

    table = pa.table({"image_id": [*KINDS], "image_data": [*KINDS.values()]})
    group = write_shards(
        table, tmp_path, keep=["png", "webp", "tiff", "bmp", "gif"], progress=False
    )

    samples = samples_of(group.tar_paths)
    assert {it["__key__"]: it[it["__key__"]] for it in samples} == KINDS
