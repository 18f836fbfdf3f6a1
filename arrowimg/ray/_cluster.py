"""What both ways through Ray share: frames sent to workers, structs sent through Ray Data."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayTaskError

from arrowimg._dataset.duplicates import Hashes, hashes_of_ids, rows_of_hashes
from arrowimg._storage.open import is_in_store, local_path
from arrowimg._write.distributed.worker_metadata import (
    MetadataSource,
    ParquetMetadata,
    frame_table,
    open_metadata,
)
from arrowimg._write.metadata import MetadataFrame
from arrowimg.errors import ArrowimgError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arrowimg._storage.base import Place, Storage

Made = TypeVar("Made", bound=msgspec.Struct)

_TASKS = 10_000
_SIDECARS_PER_TASK = 64


class SentMetadata(msgspec.Struct, frozen=True):
    """Metadata as workers are sent it.

    Attributes
    ----------
    source
        The path of a Parquet file, or a reference to a table in the object store.
    num_rows
        How many rows it has.
    """

    source: object
    num_rows: int


def send_metadata(metadata: object) -> SentMetadata | None:
    """Check metadata, once for all workers, and hand a frame to the object store.

    Raises
    ------
    SchemaError, MetadataJoinError
        When it has no ids, or an id twice.
    """
    if metadata is None:
        return None
    if isinstance(metadata, (str, Path)):
        path = str(Path(metadata).absolute())
        return SentMetadata(path, ParquetMetadata(path).num_rows)
    table = frame_table(metadata)
    return SentMetadata(ray.put(table), table.num_rows)


def received_metadata(metadata: object) -> MetadataSource | None:
    """Return what a worker looks metadata up in; a frame that was sent is prepared once."""
    if isinstance(metadata, SentMetadata):
        metadata = metadata.source
    if metadata is None:
        return None
    return (
        _received_frame(metadata)
        if isinstance(metadata, ray.ObjectRef)
        else open_metadata(metadata)
    )


@contextmanager
def in_order(context: ray.data.DataContext) -> Iterator[None]:
    """Have Ray Data keep the order of blocks, and raise our errors as they are."""
    before = context.execution_options.preserve_order, context.raise_original_map_exception
    context.execution_options.preserve_order = True
    context.raise_original_map_exception = True
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, ArrowimgError):
            raise error.cause from error
        raise
    finally:
        context.execution_options.preserve_order, context.raise_original_map_exception = before


def through_ray(
    work: Callable[..., pa.Table],
    asked: pa.Table,
    rows_per_task: int,
    **arguments: Any,  # noqa: ANN401  # what map_batches takes
) -> ray.data.Dataset:
    """Return a dataset that does work on the rows of a table, so many at once."""
    tables = [
        asked.slice(start, rows_per_task) for start in range(0, asked.num_rows, rows_per_task)
    ]
    return ray.data.from_arrow(tables).map_batches(work, batch_format="pyarrow", **arguments)


def rows_per_task(num_rows: int) -> int:
    """Return how many rows a task takes, so that there are not too many tasks to plan."""
    return -(-num_rows // _TASKS)


def read_structs(dataset: ray.data.Dataset, kind: type[Made]) -> Iterator[Made]:
    """Yield the rows of a dataset as structs, as they come in."""
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in table.to_pylist():
            yield msgspec.convert(row, kind)


def hashes_in(sidecars: list[str], storage: Storage) -> Iterator[Hashes]:
    """Yield the hashes of all ids in sidecars of one place, read by workers."""
    asked = pa.table({"path": sidecars})
    read = through_ray(_hash_ids, asked, _SIDECARS_PER_TASK, fn_kwargs={"storage": storage})
    for table in read.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield table["hash"].to_numpy()


def rows_in(sidecars: list[str], suspects: Hashes, storage: Storage) -> Iterator[tuple[str, str]]:
    """Yield (id, file name) of each row in sidecars whose id has one of these hashes."""
    asked, told = pa.table({"path": sidecars}), {"suspects": suspects, "storage": storage}
    found = through_ray(_find_ids, asked, _SIDECARS_PER_TASK, fn_kwargs=told)
    for table in found.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from zip(table["image_id"].to_pylist(), table["name"].to_pylist(), strict=True)


def _hash_ids(asked: pa.Table, storage: Storage) -> pa.Table:
    hashes = list(hashes_of_ids(asked["path"].to_pylist(), storage))
    return pa.table({"hash": pa.chunked_array(hashes, pa.uint64())})


def _find_ids(asked: pa.Table, suspects: Hashes, storage: Storage) -> pa.Table:
    found = list(rows_of_hashes(asked["path"].to_pylist(), suspects, storage))
    columns = [[image_id for image_id, _ in found], [name for _, name in found]]
    return pa.table(
        [pa.array(column, pa.string()) for column in columns], names=["image_id", "name"]
    )


@functools.lru_cache(maxsize=1)
def _received_frame(reference: ray.ObjectRef) -> MetadataFrame:
    return MetadataFrame(ray.get(reference))


def absolute(place: Place, argument: str = "output_dir") -> Place:
    """Return a folder's path for workers, which run in folders of their own; a store as it is."""
    if is_in_store(place):
        return place
    return str(Path(local_path(place, argument)).absolute())
