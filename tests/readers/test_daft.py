"""Daft."""

from __future__ import annotations

import pytest
from reader_data import Dataset, Sample, as_json, compare

pytestmark = pytest.mark.readers(env="readers-daft")


def test_read_webdataset(dataset: Dataset) -> None:
    import daft

    # Daft 0.7.26 waits for ever where as many tars are open at a time as there are processors.
    daft.set_execution_config(scantask_max_parallel=1)

    rows = daft.read_webdataset(dataset.tars).to_pylist()

    found = [
        Sample(
            row["__key__"],
            {"jpg": row["jpg"].read(), "json": as_json(row["json"]), "txt": row["txt"].encode()},
        )
        for row in rows
    ]
    compare(dataset, found, "daft", "read_webdataset")
