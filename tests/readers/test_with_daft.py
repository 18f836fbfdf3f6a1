"""Daft."""

from __future__ import annotations

import pytest
from reader_data import ALL_EQUAL, Dataset, Sample, as_json, compare

pytestmark = pytest.mark.readers(env="readers-daft")


def test_read_webdataset(dataset: Dataset) -> None:
    import daft

    # With two processors, Daft 0.7.26 waits for ever on two tars, whoever has written them.
    daft.set_execution_config(scantask_max_parallel=1)

    rows = daft.read_webdataset(dataset.tars).to_pylist()

    found = []
    for row in rows:
        with row["jpg"].open() as file:
            jpg = file.read()
        members = {"jpg": jpg, "json": as_json(row["json"]), "txt": row["txt"].encode()}
        found.append(Sample(row["__key__"], members))
    assert compare(dataset, found, "daft", "read_webdataset") == ALL_EQUAL
