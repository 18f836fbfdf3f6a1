"""Hugging Face datasets: tars with the webdataset builder, sidecars with the Parquet builder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from reader_data import ALL_EQUAL, Dataset, Sample, as_json, compare

import arrowimg

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.readers(env="readers-huggingface")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Hugging Face keep its cache in the test's own folder, and be silent."""
    import datasets

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    datasets.disable_progress_bars()


def samples_in(rows: Any) -> list[Sample]:  # noqa: ANN401  # a dataset, streaming or not
    import datasets

    return [
        Sample(
            row["__key__"],
            {"jpg": row["jpg"]["bytes"], "json": as_json(row["json"]), "txt": row["txt"].encode()},
        )
        for row in rows.cast_column("jpg", datasets.Image(decode=False))
    ]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_tars(dataset: Dataset, streaming: bool) -> None:  # noqa: FBT001  # pytest's
    import datasets

    rows = datasets.load_dataset(
        "webdataset", data_files=dataset.tars, split="train", streaming=streaming
    )

    assert (
        compare(dataset, samples_in(rows), "datasets", "webdataset" + ", streaming" * streaming)
        == ALL_EQUAL
    )


def test_the_folder_with_our_card(dataset: Dataset, tmp_path: Path) -> None:
    import datasets

    folder = shutil.copytree(dataset.folder, tmp_path / "dataset")
    arrowimg.export_index(folder, formats=["hf"])

    rows = datasets.load_dataset(str(folder), split="train")

    assert compare(dataset, samples_in(rows), "datasets", "folder with our README.md") == ALL_EQUAL


@pytest.mark.parametrize("streaming", [False, True])
def test_the_sidecars(dataset: Dataset, streaming: bool) -> None:  # noqa: FBT001  # pytest's
    import datasets

    rows = datasets.load_dataset(
        "parquet", data_files=dataset.sidecars, split="train", streaming=streaming
    ).cast_column("image_data", datasets.Image(decode=False))

    found = [
        Sample(
            row["member_name"].removesuffix(".jpg"),
            {
                "jpg": row["image_data"]["bytes"],
                "json": as_json({"caption": row["caption"], "score": row["score"]}),
                "txt": row["caption"].encode(),
            },
        )
        for row in rows
    ]

    assert compare(dataset, found, "datasets", "parquet" + ", streaming" * streaming) == ALL_EQUAL
