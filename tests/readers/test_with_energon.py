"""Megatron Energon: its index and ours are the same, and its loader reads over ours."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from reader_data import ALL_EQUAL, Dataset, compare, sample_of

import arrowimg

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.readers(env="readers-energon")


@pytest.fixture
def folder(dataset: Dataset, tmp_path: Path) -> Path:
    """Return a copy of the dataset with our index."""
    folder = shutil.copytree(dataset.folder, tmp_path / "ours")
    arrowimg.export_index(folder, formats=["energon"])
    return folder


def tables_of(folder: Path) -> list[Any]:
    """Return what the database of samples is made of, and every row in it."""
    with sqlite3.connect(folder / ".nv-meta" / "index.sqlite") as database:
        schema = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        # The same statement may be broken into other lines.
        statements = [(name, "".join((sql or "").split())) for name, sql in schema]
        samples = database.execute("SELECT * FROM samples ORDER BY rowid").fetchall()
        parts = database.execute("SELECT * FROM sample_parts ORDER BY rowid").fetchall()
    database.close()
    return [statements, samples, parts]


def test_prepare_makes_the_index_that_we_export(
    dataset: Dataset, folder: Path, tmp_path: Path
) -> None:
    import yaml

    theirs = shutil.copytree(dataset.folder, tmp_path / "theirs")
    captions = '{"image": "jpg", "caption": "txt"}'
    command = ["energon", "prepare", "--non-interactive", "--num-workers=1", "--split-ratio=1,0,0"]
    command += ["--sample-type=CaptioningSample", f"--field-map={captions}", str(theirs)]
    subprocess.run(command, check=True, capture_output=True)

    assert tables_of(folder) == tables_of(theirs)
    indexes = [sorted(it.glob("*.tar.idx")) for it in (folder, theirs)]
    assert len(indexes[0]) == len(dataset.tars)
    for ours, other in zip(*indexes, strict=True):
        assert (ours.name, ours.read_bytes()) == (other.name, other.read_bytes())
    for name in ("split.yaml", "dataset.yaml"):
        ours, other = ((it / ".nv-meta" / name).read_text() for it in (folder, theirs))
        assert yaml.safe_load(ours) == yaml.safe_load(other)
    ours, other = (json.loads((it / ".nv-meta/.info.json").read_text()) for it in (folder, theirs))
    assert list(ours["shard_counts"].items()) == list(other["shard_counts"].items())


def test_a_loader_over_our_index(dataset: Dataset, folder: Path) -> None:
    from megatron.energon import (
        Cooker,
        DefaultTaskEncoder,
        WorkerConfig,
        get_loader,
        get_val_dataset,
        stateless,
    )

    def as_stored(sample: Any) -> dict[str, Any]:  # noqa: ANN401  # one of Energon's
        return dict(sample)

    encoder = DefaultTaskEncoder()
    encoder.cookers = [Cooker(stateless(as_stored))]
    encoder.decoder = None

    # Our dataset.yaml asks for images and captions; this one for all members, as bytes.
    crude = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"
    (folder / ".nv-meta" / "crude.yaml").write_text(crude)
    samples = get_val_dataset(
        folder,
        split_part="train",
        dataset_config="crude.yaml",
        worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0),
        batch_size=None,
        task_encoder=encoder,
    )

    assert (
        compare(dataset, map(sample_of, get_loader(samples)), "megatron-energon", "our .nv-meta")
        == ALL_EQUAL
    )
