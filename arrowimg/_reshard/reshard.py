"""Reshard and merge: stored pictures copied by byte range into new shards; none is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from arrowimg._core.option_checks import check_keywords, check_option, is_int
from arrowimg._core.threads import map_on_threads, usable_cores
from arrowimg._format.members import check_members
from arrowimg._format.names import shard_name
from arrowimg._format.sidecar import check_metadata
from arrowimg._images.batch import ImageBatch
from arrowimg._reshard.copies import Copy, copies_of, plan_copies
from arrowimg._reshard.options import ReshardKeywords, stored_options
from arrowimg._reshard.source import Selection, StoredRows, Wanted, check_unique_ids, open_rows
from arrowimg._storage.open import open_storage
from arrowimg._write.file_group import FileGroupTask, file_group
from arrowimg._write.options import WriteOptions
from arrowimg._write.publish import check_room, prepare_folder, publish_manifest
from arrowimg._write.resume import read_shard
from arrowimg._write.shard import Shard, write_shard
from arrowimg.errors import SchemaError, ShardConflictError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy.typing as npt
    import polars as pl

    from arrowimg._storage.base import Storage
    from arrowimg._write.metadata import MetadataFrame

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

    Pictures are copied by byte range, and each is held against its checksum on the way. Rows keep
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
        When an id stands in two rows; nothing was written.
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
    stored = open_rows(sources)
    options = stored_options(stored.records, stated)
    frame = None if metadata is None else _new_columns(metadata, stored)
    selection = Selection(stored, _wanted(stored, where, frame), frame)
    if stored.shards:
        columns = [selection.schema.field(name) for name in selection.metadata_names]
        check_members(pa.schema(columns), options.members)
    check_unique_ids(stored, selection.wanted)
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
    storage = open_storage(new_dir, durability=options.durability, argument="new_dir")
    complete_shards = prepare_folder(storage, options)
    if plan:
        check_room(storage, complete_shards, len(plan) - 1)
    copies = copies_of(selection, options, order, plan)
    shards = _write_copies(storage, copies, selection.num_rows, progress)
    if options.if_exists == "skip":
        _check_ended(storage, len(plan), options)
    publish_manifest(storage, shards, options)
    return file_group(shards, new_dir, options, ImageBatch(pa.table({})))


def _order(num_rows: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(seed)).permutation(num_rows)


def _wanted(
    stored: StoredRows, where: pl.Expr | str | None, metadata: MetadataFrame | None
) -> Wanted:
    if where is None:
        return [np.ones(shard.num_rows, np.bool_) for shard in stored.shards]
    from arrowimg._reshard.where import rows_where  # noqa: PLC0415  # imports Polars

    return rows_where(stored, where, metadata)


def _new_columns(source: object, stored: StoredRows) -> MetadataFrame:
    """Return new columns, held against the names and the ids that are there."""
    from arrowimg._write.metadata import MetadataFrame  # noqa: PLC0415  # imports Polars

    frame = MetadataFrame(source)
    check_metadata(frame.columns)
    for name in frame.columns.column_names:
        if name in stored.schema.names:
            expected, advice = "the name of a new column", f"rename it, say to 'new_{name}'"
            raise SchemaError(name, expected, "a column of the dataset", advice)
    ids = [it for shard in stored.shards for it in shard.read(["image_id"])["image_id"].chunks]
    frame.check_ids(pa.chunked_array(ids, pa.string()))
    return frame


def _write_copies(
    storage: Storage,
    copies: Iterator[Copy],
    num_rows: int,
    progress: bool | None,  # noqa: FBT001  # as the caller has it
) -> list[Shard]:
    """Write shards side by side."""
    from tqdm import tqdm  # noqa: PLC0415  # only here is a bar drawn

    def write(copy: Copy) -> Shard:
        found = _committed(storage, copy)
        return found or write_shard(storage, copy.name, copy, copy.options, check=copy.check)

    threads = min(usable_cores(), _MOST_THREADS)
    shards = list[Shard]()
    disable = None if progress is None else not progress
    with tqdm(total=num_rows, unit=" images", disable=disable) as bar:
        for shard in map_on_threads(write, copies, threads, threads):
            shards.append(shard)
            bar.update(shard.tar.num_rows)
    return shards


def _committed(storage: Storage, copy: Copy) -> Shard | None:
    """Return the shard that is there already, where ids are to be trusted.

    Raises
    ------
    ShardConflictError
        When it holds other ids or paths.
    """
    if copy.options.if_exists != "skip":
        return None
    found = read_shard(storage, copy.name, copy.options)
    if found is None:
        return None
    columns = ["image_id", "original_path"]
    table = pq.read_table(pa.BufferReader(found.sidecar), columns=columns)
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    if rows != copy.row_names:
        raise ShardConflictError(found.shard.parquet.path, "other rows", "these")
    return found.shard


def _check_ended(storage: Storage, number: int, options: WriteOptions) -> None:
    """Raise `ShardConflictError` when a committed shard holds rows that were not asked for."""
    after = read_shard(storage, shard_name(number), options)
    if after is not None:
        raise ShardConflictError(after.shard.parquet.path, "other rows", "no more rows")
