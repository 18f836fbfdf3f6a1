"""mlcroissant, the reference reader of Croissant."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from reader_data import ALL_EQUAL, Dataset, Sample, compare

import arrowimg

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.readers(env="readers-croissant")


@pytest.fixture
def description(dataset: Dataset, tmp_path: Path) -> str:
    """Return the path of our description of a copy of the dataset."""
    folder = shutil.copytree(dataset.folder, tmp_path / "dataset")
    (path,) = arrowimg.export_index(folder, formats=["croissant"])
    return path


def test_validation(description: str) -> None:
    command = ["mlcroissant", "validate", "--jsonld", description]

    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr

    assert "Done." in said
    assert "error" not in said


def test_records(
    dataset: Dataset, description: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlcroissant
    from etils import epath

    # It takes a tar apart once, and all tars of that name, in any folder, for the same.
    cache = "mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH"
    monkeypatch.setattr(cache, epath.Path(tmp_path / "extracted"))
    records = mlcroissant.Dataset(description).records("images")

    found = {}
    for record in records:
        key = record["images/member_name"].decode().removesuffix(".jpg")
        found[key] = Sample(key, {"jpg": record["images/content"].fp.getvalue()})

    # Its order is that of the folders in which it has taken the tars apart, not that of the tars.
    pictures = dataset.only("jpg")
    in_order = [found.pop(it.key) for it in pictures.samples if it.key in found]
    assert compare(pictures, [*in_order, *found.values()], "mlcroissant", "pictures") == ALL_EQUAL
