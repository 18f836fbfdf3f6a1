"""NVIDIA DALI, without a GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from reader_data import ALL_EQUAL, Dataset, Sample, compare

import arrowimg

pytestmark = pytest.mark.readers(env="readers-dali")


def read_with_dali(dataset: Dataset, **options: Any) -> list[Sample]:  # noqa: ANN401  # passed on
    from nvidia.dali import fn, pipeline_def

    def outputs() -> tuple[Any, ...]:
        members = fn.readers.webdataset(
            paths=dataset.tars,
            ext=["jpg", "json", "txt"],
            missing_component_behavior="error",
            **options,
        )
        return *members, fn.get_property(members[0], key="source_info")

    samples = []
    reader = pipeline_def(batch_size=1, num_threads=1, device_id=None)(outputs)()
    for _ in dataset.samples:
        jpg, json, txt, source = (output.at(0).tobytes() for output in reader.run())
        # The tar, the offset, and the name of the member, with a colon between them.
        name = source.decode().rpartition(":")[2]
        samples.append(Sample(name.removesuffix(".jpg"), {"jpg": jpg, "json": json, "txt": txt}))
    return samples


def test_without_index(dataset: Dataset) -> None:
    assert compare(dataset, read_with_dali(dataset), "nvidia-dali-cuda120", "no index") == ALL_EQUAL


def test_with_our_index(dataset: Dataset, tmp_path: Path) -> None:
    folder = shutil.copytree(dataset.folder, tmp_path / "dataset")
    indexes = arrowimg.export_index(folder, formats=["dali"])

    found = read_with_dali(dataset, index_paths=indexes)

    assert compare(dataset, found, "nvidia-dali-cuda120", "our .idx") == ALL_EQUAL


def test_our_index_is_the_one_that_dali_makes(dataset: Dataset, tmp_path: Path) -> None:
    folder = shutil.copytree(dataset.folder, tmp_path / "dataset")
    ours = [Path(path).read_bytes() for path in arrowimg.export_index(folder, formats=["dali"])]

    for path in sorted(folder.glob("*.tar")):
        subprocess.run(["wds2idx", str(path)], check=True, capture_output=True)

    assert [path.read_bytes() for path in sorted(folder.glob("*.idx"))] == ours
    assert len(ours) == len(dataset.tars)
