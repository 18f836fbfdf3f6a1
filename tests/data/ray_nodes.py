"""Jobs on two nodes, each in a process of its own, and what is in the bucket afterwards."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from store_buckets import Bucket

_DATA = Path(__file__).parent
_QUIET = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # What Ray exports to files says how each operator was called.
    "RAY_enable_export_api_write": "1",
}


class Outcome(msgspec.Struct, frozen=True):
    """See `ray_nodes_program.Outcome`."""

    num_deaths: int
    num_nodes_lost: int
    folders: list[str]
    local_files: list[str]
    logs_with_secrets: list[str]


def run_on_two_nodes(job: dict[str, object]) -> Outcome:
    """Run a job of `ray_nodes_program.Job`."""
    path = os.pathsep.join(filter(None, [str(_DATA), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, _DATA / "ray_nodes_program.py"],
        input=msgspec.json.encode(job),
        env={**os.environ, **_QUIET, "PYTHONPATH": path},
        capture_output=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:].decode()
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Outcome)


class Found(msgspec.Struct, frozen=True):
    """What others find in a bucket.

    Attributes
    ----------
    ids
        Those of all sidecars.
    num_pictures
        Files named ``.jpg`` in all tars.
    others
        Names of files that are of no shard, but for the manifest.
    """

    ids: list[str]
    num_pictures: int
    others: list[str]


def find(bucket: Bucket, prefix: str) -> Found:
    """Look into a bucket by its own client, with PyArrow and tarfile."""
    ids, num_pictures, others = list[str](), 0, list[str]()
    for name, data in bucket.objects(prefix).items():
        if name.endswith(".parquet"):
            ids += pq.read_table(io.BytesIO(data), columns=["image_id"])["image_id"].to_pylist()
        elif name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                num_pictures += sum(member.endswith(".jpg") for member in tar.getnames())
        elif name != "manifest.json":
            others.append(name)
    return Found(ids, num_pictures, others)
