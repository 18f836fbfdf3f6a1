"""Copies written: which rows, in which order, with which new columns, into which datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowimg._core.display.progress import progress_bar
from arrowimg._core.tables import text_column
from arrowimg._format.column_types import written_columns
from arrowimg._format.sidecar import check_names
from arrowimg._reshard.copies import fill_shards, plan_copies
from arrowimg._reshard.shards import Copying, write_copies
from arrowimg._storage.open import options_for
from arrowimg._write.processes.choice import chosen_workers
from arrowimg._write.publish import Dataset
from arrowimg._write.resume import check_no_more_shards
from arrowimg._write.shard import Shard
from arrowimg._write.sources.join import open_metadata
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from arrowimg._reshard.source import RowMasks, Selection, SourceRows
    from arrowimg._storage.base import Storage, StorageOptions
    from arrowimg._write.file_group import FileGroupTask
    from arrowimg._write.metadata import MetadataFrame
    from arrowimg._write.options import WriteOptions
    from arrowimg._write.sources.join import On
    from arrowimg._write.splits import Splits

NamedPlace: TypeAlias = "tuple[str, Storage]"
"""How a caller calls a place, and the place."""


class Wanted(NamedTuple):
    """What is wanted of datasets that are copied.

    Attributes
    ----------
    where, metadata, on, storage_options, shuffle_seed, workers
        As of `reshard`.
    splits
        How the rows are split.
    """

    where: pl.Expr | str | None = None
    metadata: object = None
    on: On = None
    storage_options: StorageOptions | None = None
    splits: Splits | None = None
    shuffle_seed: int | None = None
    workers: int | None = None


def write_selection(
    selection: Selection,
    options: WriteOptions,
    wanted: Wanted,
    new: NamedPlace,
    split: str,
    progress: bool | None,  # noqa: FBT001  # as the caller has it
) -> FileGroupTask:
    """Write the rows that are wanted as a dataset; what can be checked before is."""
    seed = wanted.shuffle_seed
    order = None if seed is None else _order(selection.num_rows, seed)
    plan = plan_copies(selection, options, order)
    shown, storage = new
    place = storage.with_durability(options.durability)
    dataset = Dataset(shown, options, place, split=split).begin()
    dataset.check_room(len(plan))
    copying = Copying(dataset, selection.metadata_names)
    workers = wanted.workers or chosen_workers(selection.num_rows, selection.nbytes)
    shards = list[Shard]()
    with progress_bar(selection.num_rows, " images", progress) as bar:
        planned = fill_shards(selection, order, plan)
        sources = list({id(it.storage): it.storage for it in selection.source.shards}.values())
        for shard in write_copies(copying, planned, workers, sources):
            shards.append(shard)
            bar.update(shard.tar.num_rows)
    check_no_more_shards(dataset.storage, len(plan), options)
    return dataset.publish(shards, selection.source.columns.widened)


def _order(num_rows: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(seed)).permutation(num_rows)


def select_rows(
    source: SourceRows, where: pl.Expr | str | None, metadata: MetadataFrame | None
) -> RowMasks:
    """Return which rows of each shard an expression is true of; all without one."""
    if where is None:
        return [np.ones(shard.num_rows, np.bool_) for shard in source.shards]
    from arrowimg._reshard.where import rows_where  # noqa: PLC0415  # imports Polars

    return rows_where(source, where, metadata)


def new_columns(wanted: Wanted, source: SourceRows) -> MetadataFrame | None:
    """Return new columns, checked against the names and the ids that are there.

    Raises
    ------
    SchemaError, MetadataJoinError, SourceError
        When they cannot be read or joined.
    """
    told = options_for(wanted.metadata, wanted.storage_options)
    frame = open_metadata(wanted.metadata, wanted.on, storage_options=told)
    if frame is None:
        return None
    check_names(frame.columns.column_names)
    written_columns(frame.columns)
    present = set(source.schema.names)
    for name in frame.columns.column_names:
        if name in present:
            expected, advice = "the name of a new column", f"rename it, say to 'new_{name}'"
            raise SchemaError(name, expected, "a column of the dataset", advice)
    if frame.left not in present:
        expected = "a column to join metadata on"
        raise SchemaError(frame.left, expected, f"columns {source.schema.names}")
    keys = [text_column(it.read([frame.left])[frame.left], frame.left) for it in source.shards]
    frame.check_ids(pa.chunked_array([it for key in keys for it in key.chunks], pa.string()))
    return frame


def split_masks(selection: Selection, splits: Splits) -> Iterator[tuple[str, RowMasks]]:
    """Yield the name of each split, and which rows of each shard are in it.

    Raises
    ------
    SchemaError
        When the column to split by is not there, holds neither strings nor integers, or a null.
    """
    names = [splits.column] if splits.column in selection.schema.names else []
    tables = {shard.path: rows for shard, rows in selection.tables(names)}
    numbers = list[npt.NDArray[np.int64]]()
    for shard, is_wanted in zip(selection.source.shards, selection.masks, strict=True):
        of_rows = np.full(shard.num_rows, -1)
        if is_wanted.any():
            of_rows[is_wanted] = splits.numbers(tables[shard.path])
        numbers.append(of_rows)
    for number, name in enumerate(splits.fractions):
        yield name, [it == number for it in numbers]
