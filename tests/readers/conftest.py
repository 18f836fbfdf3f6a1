"""The dataset that every reader reads."""

from __future__ import annotations

import pytest
from reader_data import Dataset, write_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Write the dataset once; who adds files to it takes a copy."""
    return write_dataset(tmp_path_factory.mktemp("dataset"))
