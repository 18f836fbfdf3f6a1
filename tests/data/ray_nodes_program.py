"""A driver and two nodes of Ray on one machine that write to a store; a process of its own.

Each node has a working folder of its own. Workers die, and the second node where that is asked for.
Takes a job as JSON, of which nobody else is told, and prints what became of it as JSON.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import ray
import ray.data
import store_deaths
from ray.cluster_utils import Cluster
from writer_data import dataset, in_batches

import arrowimg
import arrowimg.ray
from arrowimg.ray import _full_shards

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS_PER_BLOCK = 25


class Job(msgspec.Struct, frozen=True):
    """What is to be written, and who is to die.

    Attributes
    ----------
    way
        ``full``, ``batches``, or ``anew``: with names that no other attempt finds.
    url, options
        Where to.
    scratch
        Where spools are to be; None: with the dataset.
    folder
        Empty, for this process and those that it starts.
    num_blocks
        Of 25 rows each.
    loses_node
        True: the second node is taken away in the middle of a commit.
    """

    way: str
    url: str
    options: dict[str, str]
    scratch: str | None
    folder: str
    num_blocks: int
    loses_node: bool


class Outcome(msgspec.Struct, frozen=True):
    """What became of a job.

    Attributes
    ----------
    num_deaths
        Workers that killed themselves.
    num_nodes_lost
        Nodes that were taken away.
    folders
        Working folders that workers had.
    local_files
        Files that there are in these folders.
    logs_with_secrets
        Files below Ray's folder that hold the secret of the store.
    """

    num_deaths: int
    num_nodes_lost: int
    folders: list[str]
    local_files: list[str]
    logs_with_secrets: list[str]


@contextlib.contextmanager
def two_nodes(job: Job) -> Iterator[list[str]]:
    """Start two nodes in folders of their own; yields a list of those that were taken away."""
    folder, lost = Path(job.folder), list[str]()
    cluster = Cluster()
    # Short, since sockets stand below it. What it writes down of itself is below it, too.
    os.environ["RAY_TMPDIR"] = ray_folder = tempfile.mkdtemp(prefix="ray")
    (Path(ray_folder) / "ray").mkdir()
    try:
        nodes: list[Any] = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            os.chdir(folder / name)
            os.environ[store_deaths.NODE] = name
            is_first = {"include_dashboard": False, "temp_dir": ray_folder} if not nodes else {}
            size = {"num_cpus": 1, "object_store_memory": 200 * 2**20}
            nodes.append(cluster.add_node(**size, **is_first))
        os.chdir(folder)
        ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        with _takes_away(cluster, nodes[1], folder / "pipe", lost):
            yield lost
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(ray_folder, ignore_errors=True)


@contextlib.contextmanager
def _takes_away(cluster: Any, node: Any, pipe: Path, lost: list[str]) -> Iterator[None]:  # noqa: ANN401
    def wait() -> None:
        if pipe.read_text() == "now":
            cluster.remove_node(node, allow_graceful=False)
            lost.append("second")

    os.mkfifo(pipe)
    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        if not lost and thread.is_alive():
            pipe.write_text("end")
        thread.join()


def write(job: Job) -> None:
    """Write the images of a job."""
    images = ray.data.from_arrow(
        list(in_batches(dataset(job.num_blocks * _ROWS_PER_BLOCK), _ROWS_PER_BLOCK))
    )
    place: dict[str, Any] = {"output_dir": job.url, "storage_options": job.options}
    if job.way == "full":
        _full_shards.ROWS_PER_SPOOL = _ROWS_PER_BLOCK
        _full_shards._encode = store_deaths.encode_and_die  # type: ignore[assignment]
        _full_shards._join_shards = store_deaths.join_and_die  # type: ignore[assignment]
        arrowimg.ray.write_shards(images, images_per_tar=30, scratch=job.scratch, **place)
        return
    work = store_deaths.write_and_die if job.way == "batches" else store_deaths.write_anew_and_die
    files = images.map_batches(work, batch_format="pyarrow", fn_kwargs=place)
    if job.way == "anew":
        files.materialize()
    else:
        num_rows = job.num_blocks * _ROWS_PER_BLOCK
        arrowimg.ray.publish_manifest(files, images_per_tar=10, num_rows=num_rows, **place)


def run(job: Job) -> Outcome:
    """Do a job, and look around."""
    folder = Path(job.folder)
    marks = folder / "marks"
    marks.mkdir()
    os.environ[store_deaths.MARKS] = str(marks)
    if job.loses_node:
        os.environ[store_deaths.PIPE] = str(folder / "pipe")
    with two_nodes(job) as lost:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        write(job)
        secret = job.options["aws_secret_access_key"].encode()
        logs = [it for it in Path(os.environ["RAY_TMPDIR"]).rglob("*") if it.is_file()]
        told = [str(it) for it in logs if secret in it.read_bytes()]
        folders = {path.read_text() for path in marks.glob("cwd-*")}
        found = [str(it) for name in ("first", "second") for it in (folder / name).rglob("*")]
    return Outcome(len(list(marks.glob("death-*"))), len(lost), sorted(folders), found, told)


if __name__ == "__main__":
    outcome = run(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))
    sys.stdout.write(f"\n{msgspec.json.encode(outcome).decode()}\n")
