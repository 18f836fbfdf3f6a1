"""Ray Data's `write_webdataset` of ready files and captions, one block per shard of 1,000.

The cluster is started, and the blocks lie in its object store, before the clock.
"""

from __future__ import annotations

import logging
import tempfile
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
import ray.data

from benchmarks.tars import read_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator


def prepare(table: pa.Table, **_settings: Any) -> ray.data.Dataset:
    if not ray.is_initialized():
        ray.init(
            num_cpus=2,
            object_store_memory=2 * 2**30,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=tempfile.mkdtemp(prefix="ray-"),
        )
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    columns = {
        "__key__": table["image_id"],
        "jpg": table["image_data"].cast(pa.binary()),
        "txt": table["caption"].cast(pa.binary()),
    }
    samples = pa.table(columns)
    blocks = [samples.slice(first, 1000) for first in range(0, len(samples), 1000)]
    return ray.data.from_arrow(blocks)


def write(prepared: ray.data.Dataset, out: str) -> None:
    prepared.write_webdataset(out, encoder=None)


def read_back(out: str, _prepared: ray.data.Dataset) -> Iterator[tuple[str, bytes]]:
    yield from read_pictures(out)
