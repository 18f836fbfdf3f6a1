"""The webdataset library, alone and through a torch DataLoader."""

from __future__ import annotations

import pytest
from reader_data import ALL_EQUAL, Dataset, compare, sample_of

pytestmark = pytest.mark.readers(env="readers-webdataset")


def test_webdataset(dataset: Dataset) -> None:
    import webdataset

    reader = webdataset.WebDataset(dataset.tars, shardshuffle=False)

    assert compare(dataset, map(sample_of, reader), "webdataset") == ALL_EQUAL


def test_a_torch_loader_with_two_workers(dataset: Dataset) -> None:
    import webdataset
    from torch.utils.data import DataLoader

    reader = webdataset.WebDataset(dataset.tars, shardshuffle=False)
    loader = DataLoader(reader, batch_size=None, num_workers=2)

    # Each worker has shards of its own, and they take turns; within a shard the order stands.
    found = sorted(loader, key=lambda sample: str(sample["__url__"]))

    assert len({sample["__url__"] for sample in found}) == len(dataset.tars) > 1
    assert (
        compare(dataset, map(sample_of, found), "webdataset", "torch DataLoader, 2 workers")
        == ALL_EQUAL
    )
