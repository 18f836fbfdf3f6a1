"""Reshard and merge: stored pictures copied by byte range into new shards; none is decoded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pyarrow as pa

from arrowimg._batches import EncodedBatch
from arrowimg._image_options import check_option, is_int
from arrowimg._members import check_members
from arrowimg._reshard_options import ReshardKeywords, stored_options
from arrowimg._sample_writer import SampleWriter
from arrowimg._sidecar import check_metadata
from arrowimg._stored_rows import StoredRows, check_unique_ids, open_rows
from arrowimg._stored_samples import Piece, Selection, pieces_of
from arrowimg._threads import map_ahead
from arrowimg.errors import OptionError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from arrowimg._metadata import MetadataFrame
    from arrowimg._options import WriteOptions
    from arrowimg._samples import Samples
    from arrowimg._tasks import FileGroupTask

# Others than those that read a piece, whom they wait for: `map_ahead` has threads by number.
_THREADS, _AHEAD = 2, 3


def reshard(
    output_dir: str | Path,
    new_dir: str | Path,
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
        is as it was when `output_dir` was written.

    Returns
    -------
    FileGroupTask
        The files, in shard order. The manifest is not one of them.

    Raises
    ------
    OptionError
        When an option has a value that it cannot have, or is of no use to stored pictures; when a
        sample does not fit `max_bytes_per_tar`.
    ManifestError
        When `output_dir` holds no dataset, or one that cannot be read.
    SchemaError, MetadataJoinError, DuplicateIdError
        When rows cannot be written; nothing was.
    ChecksumError
        When a picture is not what was written; shards of the rows before are there, the manifest is
        not.
    ShardConflictError, DatasetConflictError
        When `new_dir` holds another dataset.

    Notes
    -----
    Memory: the pictures of one new shard and 64 MiB, and the rows of one sidecar; with
    `shuffle_seed` the rows of all sidecars that are wanted, without their pictures; with `where`,
    the columns that it names.

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
    stated = {"images_per_tar": images_per_tar, **options}
    return _copy([output_dir], new_dir, stated, progress, where, metadata, shuffle_seed)


def merge(
    sources: Sequence[str | Path],
    new_dir: str | Path,
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
    OptionError
        When the sources were written with other options, which are listed.
    DuplicateIdError
        When an id stands in two rows; nothing was written.
    SchemaError
        When the sources have other columns, or one of another type; nothing was written.
    ManifestError, ChecksumError, ShardConflictError, DatasetConflictError
        See `reshard`.

    Examples
    --------
    >>> merge(["monday/", "tuesday/"], "both/")  # doctest: +SKIP
    """
    folders = [sources] if isinstance(sources, (str, Path)) else list(sources)
    check_option(bool(folders), "sources", "at least one folder", sources)
    return _copy(folders, new_dir, {"images_per_tar": images_per_tar, **options}, progress)


def _copy(
    folders: Sequence[str | Path],
    new_dir: str | Path,
    stated: dict[str, Any],
    progress: bool | None,  # noqa: FBT001  # as the caller has it
    where: pl.Expr | str | None = None,
    metadata: object = None,
    shuffle_seed: int | None = None,
) -> FileGroupTask:
    """Check everything that can be checked before a picture is read, then write."""
    sources = {Path(folder).resolve() for folder in folders}
    expected = "a folder that is none of the sources"
    check_option(Path(new_dir).resolve() not in sources, "new_dir", expected, str(new_dir))
    stored = open_rows(folders)
    options = stored_options(stored.records, stated)
    frame = None if metadata is None else _new_columns(metadata, stored)
    if stored.shards:
        fields = [stored.schema.field(name) for name in stored.metadata_names]
        joined = list(frame.columns.schema) if frame else []
        check_members(pa.schema([*fields, *joined]), options.members)
    wanted = [np.ones(shard.num_rows, np.bool_) for shard in stored.shards]
    if where is not None:
        from arrowimg._selection import rows_where  # noqa: PLC0415  # imports Polars

        wanted = rows_where(stored, where, frame)
    check_unique_ids(stored, wanted)
    selection = Selection(stored, wanted, frame)
    return _write(selection, SampleWriter(new_dir, options), options, shuffle_seed, progress)


def _new_columns(source: object, stored: StoredRows) -> MetadataFrame:
    """Return new columns, held against the names and the ids that are there."""
    from arrowimg._metadata import MetadataFrame  # noqa: PLC0415  # imports Polars

    frame = MetadataFrame(source)
    check_metadata(frame.columns)
    for name in frame.columns.column_names:
        if name in stored.schema.names:
            expected, advice = "the name of a new column", f"rename it, say to 'new_{name}'"
            raise SchemaError(name, expected, "a column of the dataset", advice)
    ids = [it for shard in stored.shards for it in shard.read(["image_id"])["image_id"].chunks]
    frame.check_ids(pa.chunked_array(ids, pa.string()))
    return frame


def _write(
    selection: Selection,
    writer: SampleWriter,
    options: WriteOptions,
    shuffle_seed: int | None,
    progress: bool | None,  # noqa: FBT001  # as the caller has it
) -> FileGroupTask:
    from tqdm import tqdm  # noqa: PLC0415  # only here is a bar drawn

    def read(piece: Piece) -> Samples:
        return piece.samples(options)

    pieces = pieces_of(selection, shuffle_seed)
    disable = None if progress is None else not progress
    writer.open()
    with tqdm(total=selection.num_rows, unit=" images", disable=disable) as bar:
        # Of what is committed already no picture is read, and so none ahead.
        while writer.is_passing and (piece := next(pieces, None)):
            num_committed = writer.match(piece.identity)
            if num_committed == piece.num_rows:
                writer.pass_over(piece.num_rows)
            else:
                rest = read(piece).slice(num_committed, piece.num_rows)
                writer.add(_encoded(rest, options), piece.num_rows)
            bar.update(piece.num_rows)
        for samples in map_ahead(read, pieces, _THREADS, _AHEAD):
            writer.add(_encoded(samples, options), samples.num_rows)
            bar.update(samples.num_rows)
        return writer.finish()


def _encoded(samples: Samples, options: WriteOptions) -> EncodedBatch:
    """Return samples as the writer takes them.

    Raises
    ------
    OptionError
        When one of them does not fit `max_bytes_per_tar`.
    """
    nbytes, most = samples.tar_nbytes(), options.max_members_nbytes
    if most is not None and nbytes.max(initial=0) > most:
        key = samples.stored["key"][int(nbytes.argmax())].as_py()
        option, expected = "max_bytes_per_tar", f"room for {key}, {nbytes.max() + 1024:,} bytes"
        raise OptionError(option, expected, options.max_bytes_per_tar)
    codes = Counter(samples.stored["error"].drop_null().to_pylist())
    return EncodedBatch(nbytes, codes, iter([samples]))
