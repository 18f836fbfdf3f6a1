"""What workers of a cluster that write to a store do until they die, each time for a reason.

A mark is a file in `MARKS`, a folder that only the tests have: who dies makes one, so that the next
attempt lives on. `PIPE` leads to whoever takes a node away.
"""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arrowimg
import arrowimg.ray
from arrowimg._storage.object_store.commit import StagedFile
from arrowimg.ray import _full_shards

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

MARKS, PIPE, NODE = "STORE_DEATHS_MARKS", "STORE_DEATHS_PIPE", "STORE_DEATHS_NODE"
"""Variables of the environment: the last one names the node on which a worker is."""


def is_first(name: str) -> bool:
    """Leave a mark; False where there is one."""
    try:
        os.close(os.open(Path(os.environ[MARKS]) / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def die_once(name: str) -> None:
    if is_first(f"death-{name}"):
        os.kill(os.getpid(), signal.SIGKILL)


def lose_node_once() -> None:
    """On the second node: have the node taken away, and wait for that."""
    if os.environ[NODE] == "second" and os.environ.get(PIPE) and is_first("node"):
        with Path(os.environ[PIPE]).open("w") as pipe:
            pipe.write("now")
        signal.pause()


@contextmanager
def deaths(name: str, *, may_lose_node: bool) -> Iterator[None]:
    """Die before, inside and after a commit, each once in all attempts."""
    take_name = StagedFile.take_name

    def deadly(file: StagedFile) -> bool:
        if file.name.endswith((".parquet", ".arrow")):  # of a shard, its tar is there by now
            if may_lose_node:
                lose_node_once()
            die_once(f"{name}-inside")
        return take_name(file)

    (Path(os.environ[MARKS]) / f"cwd-{uuid.uuid4().hex}").write_text(str(Path.cwd()))
    die_once(f"{name}-before")
    StagedFile.take_name = deadly  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        StagedFile.take_name = take_name  # type: ignore[method-assign]
    die_once(f"{name}-after")


def encode_and_die(batch: pa.Table, **arguments: Any) -> pa.Table:  # noqa: ANN401
    with deaths(f"encode-{batch['image_id'][0].as_py()}", may_lose_node=False):
        return _full_shards._encode(batch, **arguments)


def join_and_die(asked: pa.Table, **arguments: Any) -> pa.Table:  # noqa: ANN401
    with deaths(f"join-{asked['number'][0].as_py()}", may_lose_node=True):
        return _full_shards._join_shards(asked, **arguments)


def write_and_die(batch: pa.Table, **arguments: Any) -> pa.Table:  # noqa: ANN401
    with deaths(batch["image_id"][0].as_py(), may_lose_node=True):
        return arrowimg.ray.write_batch(batch, images_per_tar=10, **arguments)


def write_anew_and_die(batch: pa.Table, output_dir: str, **arguments: Any) -> pa.Table:  # noqa: ANN401
    """Write shards under names that no other attempt finds: what arrowimg does not do."""
    stage = arrowimg.ImageWriterStage(output_dir, 10, deterministic_name=False, **arguments)
    files = stage.process(arrowimg.ImageBatch(batch)).data
    die_once(f"{batch['image_id'][0].as_py()}-after")
    return files
