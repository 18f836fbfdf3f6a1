"""Reshard and merge: stored pictures copied by byte range into new shards; none is decoded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import pyarrow as pa

from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._core.option_checks import check_keywords, check_option, is_int
from arrowimg._format.members import check_members
from arrowimg._reshard.copying import (
    Wanted,
    new_columns,
    select_rows,
    split_masks,
    write_selection,
)
from arrowimg._reshard.options import ReshardKeywords, stored_options
from arrowimg._reshard.source import Selection, check_copied, open_sources
from arrowimg._storage.open import is_in_store, open_storage, options_for, place_as_text
from arrowimg._write.options import WriteOptions
from arrowimg._write.processes.choice import check_workers
from arrowimg._write.splits import joined_groups, splits_from

if TYPE_CHECKING:
    import polars as pl

    from arrowimg._reshard.copying import NamedPlace
    from arrowimg._storage.base import Place, Storage, StorageOptions
    from arrowimg._write.file_group import FileGroupTask
    from arrowimg._write.sources.join import On

logger = logging.getLogger("arrowimg.reshard")

_STORAGE_OPTIONS = ("storage_options", "new_storage_options")
_OTHERS = (
    *("output_dir", "new_dir", "where", "metadata", "on", "split", "split_by", "shuffle_seed"),
    *("progress", "workers", *_STORAGE_OPTIONS),
)


def reshard(  # noqa: PLR0913  # each is of its own
    output_dir: Place,
    new_dir: Place,
    where: pl.Expr | str | None = None,
    images_per_tar: int = 1000,
    metadata: object = None,
    *,
    on: On = None,
    split: Mapping[str, float] | None = None,
    split_by: str | None = None,
    shuffle_seed: int | None = None,
    progress: bool | None = None,
    storage_options: StorageOptions | None = None,
    new_storage_options: StorageOptions | None = None,
    workers: int | None = None,
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
        New columns: a Polars frame, anything that speaks Arrow, or the path or URL of a file, as of
        `write_shards`; joined one row to one row of the dataset, before `where`.
    on
        What they are joined on: a column of both sides, or a pair, that of the dataset and that of
        the new columns. None: ``image_id``.
    split, split_by
        As of `write_shards`: each split of the rows that are wanted is a dataset of its own, in a
        folder of its name below `new_dir`.
    shuffle_seed
        Rows in a random order, the same for the same seed (PCG64). None: in their order.
    progress
        True: a progress bar on stderr. None: only where stderr is a terminal.
    storage_options
        What the object store of `output_dir` is told, and that of `new_dir`; see `scan`.
    new_storage_options
        What that of `new_dir` is told, where it is another. None: `storage_options`.
    workers
        So many processes copy; the bytes are the same. None: threads of this one, or, where there
        are more cores than these can use and much to copy, as many as there are cores. See
        ``docs/how-to/every-core.md``.
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
    Memory: the rows of one new shard for each core, of four at most, and 4 MiB of its pictures. All
    of its pictures where sidecars keep them, the source is in a store, checksums become others, or
    rows of several tars mix. With `where`, the columns that it names, of all rows; with
    `shuffle_seed`, the rows that are wanted, twice, without their pictures.

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
    check_keywords(options, WriteOptions, _OTHERS)
    check_workers(workers)
    splits = splits_from(split, split_by)
    stated = {"images_per_tar": images_per_tar, **options}
    sources, new = _open_places([output_dir], new_dir, storage_options, new_storage_options)
    wanted = Wanted(where, metadata, on, storage_options, splits, shuffle_seed, workers)
    return _copy(sources, new, stated, progress, wanted)


def merge(
    sources: Sequence[Place],
    new_dir: Place,
    images_per_tar: int = 1000,
    *,
    progress: bool | None = None,
    storage_options: StorageOptions | None = None,
    new_storage_options: StorageOptions | None = None,
    workers: int | None = None,
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
    storage_options
        What the object store of `sources` is told, and that of `new_dir`; see `scan`.
    new_storage_options
        What that of `new_dir` is told, where it is another. None: `storage_options`.
    workers
        As of `reshard`.
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
    others = ("sources", "new_dir", "progress", "workers", *_STORAGE_OPTIONS)
    check_keywords(options, WriteOptions, others)
    check_workers(workers)
    folders, new = _open_places(
        sources, new_dir, storage_options, new_storage_options, argument="sources"
    )
    stated = {"images_per_tar": images_per_tar, **options}
    return _copy(folders, new, stated, progress, Wanted(workers=workers))


def _open_places(
    sources: Sequence[Place],
    new_dir: Place,
    storage_options: StorageOptions | None,
    new_storage_options: StorageOptions | None,
    *,
    argument: str = "output_dir",
) -> tuple[list[Storage], NamedPlace]:
    """Return where the sources are, and where the copy will be; folders among stores need nothing.

    Raises
    ------
    OptionError
        When one is no place for files; when options are given, and none is in a store.
    """
    places = [*sources, new_dir]
    if storage_options and not any(is_in_store(place) for place in places):
        open_storage(places[0], storage_options, argument=argument)  # raises
    folders = [
        open_storage(place, options_for(place, storage_options), argument=argument)
        for place in sources
    ]
    same = options_for(new_dir, storage_options)
    told = same if new_storage_options is None else new_storage_options
    new = open_storage(new_dir, told, argument="new_dir")
    expected = "a folder that is none of the sources"
    shown = place_as_text(new_dir, new)
    check_option(new not in folders, "new_dir", expected, shown)
    return folders, (shown, new)


def _copy(  # each is of its own
    sources: Sequence[Storage],
    new: NamedPlace,
    stated: dict[str, Any],
    progress: bool | None,  # noqa: FBT001  # as the caller has it
    wanted: Wanted,
) -> FileGroupTask:
    """Check everything that can be checked before a picture is read, then write."""
    source = open_sources(sources)
    source.columns.log_changes(CommonColumns())
    options = stored_options(source.records, stated)
    frame = new_columns(wanted, source)
    masks = select_rows(source, wanted.where, frame)
    if wanted.where is not None and not any(mask.any() for mask in masks):
        num_rows = sum(map(len, masks))
        logger.warning("where: none of %d rows is so, and nothing is copied", num_rows)
    selection = Selection(source, masks, frame)
    if source.shards:
        schema = selection.schema
        columns = [schema.field(name) for name in selection.metadata_names]
        check_members(pa.schema(columns), options.members)
    check_copied(source, masks)
    if wanted.splits is None:
        return write_selection(selection, options, wanted, new, source.split, progress)
    shown, storage = new
    groups = {
        name: write_selection(
            Selection(source, of_split, frame),
            options,
            wanted,
            (f"{shown.rstrip('/')}/{name}", storage.at(name)),
            name,
            progress,
        )
        for name, of_split in split_masks(selection, wanted.splits)
    }
    return joined_groups(groups, shown)
