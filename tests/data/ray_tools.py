"""What the tests have workers do, and what they look at afterwards."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from PIL import Image
from writer_data import windows

import arrowimg.ray
from arrowimg._storage.local_file import LocalFile
from arrowimg.ray import _full_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Samples = dict[str, tuple[bytes | None, Any]]


def picture_files(folder: Path, count: int = 40) -> Path:
    """Write photographs as JPEG files, of two sizes."""
    folder.mkdir()
    for at, window in enumerate(windows(count)):
        picture = window if at % 3 else window[:9]
        Image.fromarray(picture).save(folder / f"picture{at:03d}.jpg", quality=95)
    return folder


def named(batch: pa.Table) -> pa.Table:
    """Return what `read_images` gives with the columns that arrowimg looks for."""
    ids = [Path(path).stem for path in batch["path"].to_pylist()]
    return pa.table({"image_id": ids, "image_path": batch["path"], "image_data": batch["image"]})


def samples_in(folder: Path) -> Samples:
    """Return id, picture and the rest of each row in a folder, by sidecars and tars alone."""
    frame = pl.read_parquet(folder / "*.parquet").sort("image_id")
    assert frame["image_id"].is_unique().all()
    found: Samples = {}
    for row in frame.drop("member_name").iter_rows(named=True):
        picture = None
        if row["error"] is None:
            with (folder / row["tar_file"]).open("rb") as tar:
                tar.seek(row["offset"])
                picture = tar.read(row["size"])
        rest = {name: value for name, value in row.items() if name not in ("tar_file", "offset")}
        found[row["image_id"]] = (picture, rest)
    return found


def logged(log: str) -> Callable[[pa.Table], pa.Table]:
    """Return a function that leaves a file for each time it was given a batch."""

    def log_call(batch: pa.Table) -> pa.Table:
        (Path(log) / f"{os.getpid()}-{uuid.uuid4().hex}").touch()
        return batch

    return log_call


def noise(count: int, height: int = 12, width: int = 16) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return pictures that share no pixels."""
    return np.random.default_rng(7).integers(0, 256, (count, height, width, 3), np.uint8)


def die_once(marks: Path, name: str, death: str) -> None:
    """Die here, unless a process before this one did."""
    try:
        os.close(os.open(marks / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if death == "exit":
        os._exit(1)
    # Whoever reads the pipe kills us; until then, this is how far we came.
    with (marks.parent / "pipe").open("w") as pipe:
        pipe.write(f"{os.getpid()}\n")
    signal.pause()


@contextmanager
def deaths(marks: Path, name: str, death: str = "exit") -> Iterator[None]:
    """Die before, inside and after the commit of a batch, each once in all attempts."""
    take_name = LocalFile.take_name

    def deadly(file: LocalFile) -> bool:
        if not file.name.endswith(".tar"):  # the record, or a spool: what comes before is there
            die_once(marks, f"{name}-inside", death)
        return take_name(file)

    die_once(marks, f"{name}-before", death)
    LocalFile.take_name = deadly  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        LocalFile.take_name = take_name  # type: ignore[method-assign]
    die_once(marks, f"{name}-after", death)


def write_and_die(batch: pa.Table, output_dir: Path, marks: Path, death: str) -> pa.Table:
    with deaths(marks, batch["image_id"][0].as_py(), death):
        return arrowimg.ray.write_batch(batch, output_dir, images_per_tar=10)


class DyingActor:
    """Writes batches, and dies before, inside and after each commit."""

    def __init__(self, output_dir: Path, marks: Path) -> None:
        self.write = arrowimg.ray.BatchWriter(output_dir, images_per_tar=10)
        self.marks = marks

    def __call__(self, batch: pa.Table) -> pa.Table:
        with deaths(self.marks, batch["image_id"][0].as_py()):
            return self.write(batch)


class DyingSink(arrowimg.ray.ShardSink):
    """Dies before, inside and after each commit."""

    marks: Path

    def write(self, blocks: Iterable[Any], ctx: Any) -> pa.Table:  # noqa: ANN401  # Ray's
        tables = list(blocks)
        with deaths(self.marks, tables[0]["image_id"][0].as_py()):
            return super().write(tables, ctx)


def encode_and_die(batch: pa.Table, spools: Any, **arguments: Any) -> pa.Table:  # noqa: ANN401
    marks = Path(f"{Path(spools.path_of('')).parent}-marks")
    with deaths(marks, f"encode-{batch['image_id'][0].as_py()}"):
        return _full_shards._encode(batch, spools, **arguments)


def encode_last_first(batch: pa.Table, spools: Any, **arguments: Any) -> pa.Table:  # noqa: ANN401
    """Encode the first block once another was; opening a pipe waits for its other end."""
    pipe = Path(f"{Path(spools.path_of('')).parent}-pipe")
    if batch["image_id"][0].as_py() == "id000":
        pipe.open().close()
        return _full_shards._encode(batch, spools, **arguments)
    spool = _full_shards._encode(batch, spools, **arguments)
    pipe.open("w").close()
    return spool


def join_and_die(asked: pa.Table, dataset: Any, **arguments: Any) -> pa.Table:  # noqa: ANN401
    marks = Path(f"{dataset.output_dir}-marks")
    with deaths(marks, f"join-{asked['number'][0].as_py()}"):
        return _full_shards._join_shards(asked, dataset=dataset, **arguments)


def write_anew_and_die(batch: pa.Table, output_dir: Path, marks: Path) -> pa.Table:
    """Write shards under names that no other attempt finds: what arrowimg does not do."""
    stage = arrowimg.ImageWriterStage(output_dir, deterministic_name=False)
    files = stage.process(arrowimg.ImageBatch(batch)).data
    die_once(marks, f"{batch['image_id'][0].as_py()}-after", "exit")
    return files


@contextmanager
def killer(pipe: Path) -> Iterator[list[int]]:
    """Kill every process that writes its number into a pipe; yields those that were."""
    os.mkfifo(pipe)
    killed: list[int] = []

    def kill() -> None:
        while True:
            with pipe.open() as numbers:
                for number in numbers:
                    if number == "end\n":
                        return
                    os.kill(int(number), signal.SIGKILL)
                    killed.append(int(number))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        with pipe.open("w") as numbers:
            numbers.write("end\n")
        thread.join()
