"""NVIDIA DALI, without a GPU."""

from __future__ import annotations

from typing import Any

import pytest
from reader_data import Dataset, Sample, compare

pytestmark = pytest.mark.readers(env="readers-dali")


def read_with_dali(dataset: Dataset, **options: Any) -> list[Sample]:  # noqa: ANN401  # passed on
    from nvidia.dali import fn, pipeline_def

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def pipeline() -> tuple[Any, ...]:
        members = fn.readers.webdataset(
            paths=dataset.tars,
            ext=["jpg", "json", "txt"],
            missing_component_behavior="error",
            **options,
        )
        return *members, fn.get_property(members[0], key="source_info")

    samples = []
    reader = pipeline()
    for _ in dataset.samples:
        jpg, json, txt, source = (output.at(0).tobytes() for output in reader.run())
        # "folder/images-000000.tar:512:cat.jpg"
        name = source.decode().rpartition(":")[2]
        samples.append(Sample(name.removesuffix(".jpg"), {"jpg": jpg, "json": json, "txt": txt}))
    return samples


def test_without_index(dataset: Dataset) -> None:
    compare(dataset, read_with_dali(dataset), "nvidia-dali-cuda120", "no index")
