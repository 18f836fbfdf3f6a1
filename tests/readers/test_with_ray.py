"""Ray Data, on a local cluster."""

from __future__ import annotations

import pytest
from reader_data import ALL_EQUAL, Dataset, compare, sample_of

pytestmark = pytest.mark.readers(env="readers-ray")


@pytest.mark.usefixtures("cluster")
def test_read_webdataset(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.data

    options = ray.data.DataContext.get_current().execution_options
    monkeypatch.setattr(options, "preserve_order", True)

    rows = ray.data.read_webdataset(dataset.tars, decoder=None).take_all()

    assert compare(dataset, map(sample_of, rows), "ray", "read_webdataset") == ALL_EQUAL
