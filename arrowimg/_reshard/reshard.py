"""Reshard and merge: stored pictures copied by byte range into new shards; none is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pyarrow as pa

from arrowimg._core.display.progress import progress_bar
from arrowimg._core.option_checks import check_keywords, check_option, is_int
from arrowimg._core.threads import map_on_threads, usable_cores
from arrowimg._format.column_types import written_columns
from arrowimg._format.members import check_members
from arrowimg._format.sidecar import check_names
from arrowimg._reshard.copies import CopiedParts, SidecarRows, fill_shards, plan_copies
from arrowimg._reshard.options import ReshardKeywords, stored_options
from arrowimg._reshard.source import RowMasks, Selection, SourceRows, check_unique_ids, open_sources
from arrowimg._storage.open import open_storage
from arrowimg._write.options import WriteOptions
from arrowimg._write.publish import Dataset
from arrowimg._write.resume import check_no_more_shards, committed_shard
from arrowimg._write.shard import Shard
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy.typing as npt
    import polars as pl

    from arrowimg._storage.base import Storage
    from arrowimg._write.file_group import FileGroupTask
    from arrowimg._write.metadata import MetadataFrame
    from arrowimg._write.plan import PlannedShard

_MOST_THREADS = 4
"""Each holds a shard in memory, and disks have had enough of fewer."""


def reshard(
    output_dir: str | os.PathLike[str],
    new_dir: str | os.PathLike[str],
    where: pl.Expr | str | None = None,
    images_per_tar: int = 1000,
    metadata: object = None,
    *,
    shuffle_seed: int | None = None,
    progress: bool | None = None,
    **options: Unpack[ReshardKeywords],
) -> FileGroupTask:
    """Write the rows of a dataset, or those that are wanted, as a new one; nothing is decoded.

    Pictures are copied by byte range, and each is compared with its checksum on the way. Rows keep
    their ids, metadata and types; rows with an error are rows like others, which
    ``where="error is null"`` leaves out. Quarantined bytes are not copied.

    Parameters
    ----------
    output_dir
        Folder of the dataset, or of shards that a stage wrote. Not changed.
    new_dir
        Folder of the new dataset.
    where
        Which rows: a Polars expression, or the SQL text of one, over the columns of the sidecars
        and of `metadata`; null counts as false. It is evaluated once over all rows. None: all.
    images_per_tar
        Every tar but the last holds this many pictures, unless `max_bytes_per_tar` ends it before.
    metadata
        New columns: a Polars frame, or anything that speaks Arrow, joined by ``image_id``, one row
        to one row of the dataset, before `where`.
    shuffle_seed
        Rows in a random order, the same for the same seed (PCG64). None: in their order.
    progress
        True: a progress bar on stderr. None: only where stderr is a terminal.
    **options
        ``members``, ``keys``, ``checksum``, ``max_bytes_per_tar``, ``remove_image_data``,
        ``if_exists`` and ``durability``, see `WriteOptions`. Of the first five, what is not given
        is as it was when `output_dir` was written; so a `WriteOptions` as a whole, which leaves
        nothing to be as it was, is not taken.

    Returns
    -------
    FileGroupTask
        The files, in shard order. The manifest is not one of them.

    Raises
    ------
    OptionError, KeywordError
        When an option has a value that it cannot have, is of no use to stored pictures, or does not
        exist; when a sample does not fit `max_bytes_per_tar`.
    ManifestError
        When `output_dir` holds no dataset, or one that cannot be read.
    SchemaError, MetadataJoinError, DuplicateIdError
        When rows cannot be written; nothing was.
    ChecksumError
        When a picture is not what was written; shards of the rows before are there, the manifest is
        not.
    ShardConflictError, DatasetConflictError
        When `new_dir` holds another dataset.
    StorageError
        When a tar cannot be read, or a shard not be written, twice.

    Notes
    -----
    Memory: the pictures of one new shard for each core, of four at most, and their rows; with
    `where`, the columns that it names, of all rows; with `shuffle_seed`, the rows that are wanted,
    twice, without their pictures.

    Examples
    --------
    >>> reshard("out/", "best/", "score > 0.9", shuffle_seed=1)  # doctest: +SKIP
    """
    check_option(
        shuffle_seed is None or is_int(shuffle_seed, 0),
        "shuffle_seed",
        "an int of at least 0, or None",
        shuffle_seed,
    )
    others = ("output_dir", "new_dir", "where", "metadata", "shuffle_seed", "progress")
    check_keywords(options, WriteOptions, others)
    stated = {"images_per_tar": images_per_tar, **options}
    source = open_storage(output_dir)
    return _copy([source], new_dir, stated, progress, where, metadata, shuffle_seed)


def merge(
    sources: Sequence[str | os.PathLike[str]],
    new_dir: str | os.PathLike[str],
    images_per_tar: int = 1000,
    *,
    progress: bool | None = None,
    **options: Unpack[ReshardKeywords],
) -> FileGroupTask:
    """Write the rows of several datasets, one after the other, as a new one; nothing is decoded.

    As `reshard` does with one.

    Parameters
    ----------
    sources
        Folders of the datasets, in order. Not changed.
    new_dir
        Folder of the new dataset, none of `sources`.
    images_per_tar
        Every tar but the last holds this many pictures, unless `max_bytes_per_tar` ends it before.
    progress
        True: a progress bar on stderr. None: only where stderr is a terminal.
    **options
        As of `reshard`, and ``jpeg`` and ``pixels``. What is not given is as it was when the first
        source was written; where the sources differ in ``members``, ``keys``, ``checksum``,
        ``jpeg`` or ``pixels``, it has to be given. The last two are recorded, no more.

    Returns
    -------
    FileGroupTask
        The files, in shard order. The manifest is not one of them.

    Raises
    ------
    OptionError, KeywordError
        When the sources were written with other options, which are listed; else as of `reshard`.
    DuplicateIdError
        When an id is in two rows; nothing was written.
    SchemaError
        When the sources have other columns, or one of another type; nothing was written.
    ManifestError, ChecksumError, ShardConflictError, DatasetConflictError, StorageError
        See `reshard`.

    Examples
    --------
    >>> merge(["monday/", "tuesday/"], "both/")  # doctest: +SKIP
    """
    # A single path is a sequence of letters, or none at all.
    is_list = isinstance(sources, Sequence) and not isinstance(sources, str | bytes)
    check_option(is_list and len(sources) > 0, "sources", "a list of at least one folder", sources)
    check_keywords(options, WriteOptions, ("sources", "new_dir", "progress"))
    folders = [open_storage(folder, argument="sources") for folder in sources]
    return _copy(folders, new_dir, {"images_per_tar": images_per_tar, **options}, progress)


def _copy(
    sources: Sequence[Storage],
    new_dir: str | os.PathLike[str],
    stated: dict[str, Any],
    progress: bool | None,  # noqa: FBT001  # as the caller has it
    where: pl.Expr | str | None = None,
    metadata: object = None,
    shuffle_seed: int | None = None,
) -> FileGroupTask:
    """Check everything that can be checked before a picture is read, then write."""
    new = open_storage(new_dir, argument="new_dir")
    expected = "a folder that is none of the sources"
    check_option(new not in sources, "new_dir", expected, str(new_dir))
    source = open_sources(sources)
    options = stored_options(source.records, stated)
    frame = None if metadata is None else _new_columns(metadata, source)
    selection = Selection(source, _select(source, where, frame), frame)
    if source.shards:
        schema = selection.schema
        columns = [schema.field(name) for name in selection.metadata_names]
        check_members(pa.schema(columns), options.members)
    check_unique_ids(source, selection.masks)
    order = None if shuffle_seed is None else _order(selection.num_rows, shuffle_seed)
    plan = plan_copies(selection, options, order)
    return _write(selection, options, order, plan, new_dir, progress)


def _write(
    selection: Selection,
    options: WriteOptions,
    order: npt.NDArray[np.int64] | None,
    plan: list[slice],
    new_dir: str | os.PathLike[str],
    progress: bool | None,  # noqa: FBT001  # as the caller has it
) -> FileGroupTask:
    dataset = Dataset.at(new_dir, options, argument="new_dir").begin()
    dataset.check_room(len(plan))
    shards = _write_copies(dataset, fill_shards(selection, order, plan), selection, progress)
    check_no_more_shards(dataset.storage, len(plan), options)
    return dataset.publish(shards)


def _order(num_rows: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(seed)).permutation(num_rows)


def _select(
    source: SourceRows, where: pl.Expr | str | None, metadata: MetadataFrame | None
) -> RowMasks:
    if where is None:
        return [np.ones(shard.num_rows, np.bool_) for shard in source.shards]
    from arrowimg._reshard.where import rows_where  # noqa: PLC0415  # imports Polars

    return rows_where(source, where, metadata)


def _new_columns(metadata: object, source: SourceRows) -> MetadataFrame:
    """Return new columns, checked against the names and the ids that are there."""
    from arrowimg._write.metadata import MetadataFrame  # noqa: PLC0415  # imports Polars

    frame = MetadataFrame(metadata)
    check_names(frame.columns.column_names)
    written_columns(frame.columns)
    present = set(source.schema.names)
    for name in frame.columns.column_names:
        if name in present:
            expected, advice = "the name of a new column", f"rename it, say to 'new_{name}'"
            raise SchemaError(name, expected, "a column of the dataset", advice)
    ids = [it for shard in source.shards for it in shard.read(["image_id"])["image_id"].chunks]
    frame.check_ids(pa.chunked_array(ids, pa.string()))
    return frame


def _write_copies(
    dataset: Dataset,
    planned: Iterator[PlannedShard[SidecarRows]],
    selection: Selection,
    progress: bool | None,  # noqa: FBT001  # as the caller has it
) -> list[Shard]:
    """Write shards side by side."""

    def write(shard: PlannedShard[SidecarRows]) -> Shard:
        parts = CopiedParts(shard, selection.metadata_names, dataset.options)
        found = committed_shard(dataset.storage, shard.number, parts.row_names, dataset.options)
        return found or dataset.write(shard.number, parts, parts.check)

    threads = min(usable_cores(), _MOST_THREADS)
    shards = list[Shard]()
    with progress_bar(selection.num_rows, " images", progress) as bar:
        for shard in map_on_threads(write, planned, threads, threads):
            shards.append(shard)
            bar.update(shard.tar.num_rows)
    return shards
