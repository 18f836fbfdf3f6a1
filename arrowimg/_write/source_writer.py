"""A whole source in one call."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Unpack

from msgspec import structs

from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._core.display.progress import progress_bar
from arrowimg._storage.open import is_in_store, options_for
from arrowimg._write.options import WriteKeywords, write_options
from arrowimg._write.processes.choice import check_workers, chosen_workers
from arrowimg._write.sources.columns import ChosenColumns
from arrowimg._write.sources.file_columns import FILE_NAME, FileColumns
from arrowimg._write.sources.join import check_known_ids, open_metadata
from arrowimg._write.sources.rows import SourceRows
from arrowimg._write.sources.source import Source
from arrowimg._write.splits import Parts, joined_groups, parts_of, place_within
from arrowimg._write.writer import ShardWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arrowimg._storage.base import Place, StorageOptions
    from arrowimg._write.file_group import FileGroupTask
    from arrowimg._write.metadata import MetadataFrame
    from arrowimg._write.sources.file_columns import Labels
    from arrowimg._write.sources.join import On

_OTHERS = (
    *("source", "metadata", "on", "captions", "labels", "rename", "drop"),
    *("reserved_prefix", "split", "split_by", "progress", "storage_options", "workers"),
)


def write_shards(  # noqa: PLR0913  # each is of its own
    source: object,
    output_dir: Place,
    images_per_tar: int = 1000,
    metadata: object = None,
    remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
    *,
    on: On = None,
    captions: str | None = None,
    labels: Labels | None = None,
    rename: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    reserved_prefix: str | None = None,
    split: Mapping[str, float] | None = None,
    split_by: str | None = None,
    progress: bool | None = None,
    storage_options: StorageOptions | None = None,
    workers: int | None = None,
    **options: Unpack[WriteKeywords],
) -> FileGroupTask:
    """Write a source of images as tar shards with Parquet sidecars and a manifest.

    Parameters
    ----------
    source
        Anything that speaks Arrow (PyArrow, Polars, pandas, DuckDB), a `polars.LazyFrame`, a
        ``pyarrow.dataset.Dataset``, a Hugging Face ``Dataset``, an `ImageBatch`, a folder of images
        or of Parquet and Arrow files, such a file, paths of image files, a pattern such as
        ``"rows/*.parquet"``, or an iterable of any of these. In an object store: a URL below which
        there are images or Parquet files, of one file, or of a pattern,
        ``s3://bucket/prefix/*.parquet``. Tars of samples, also there:
        ``"old/{000..099}.tar"``, ``"old/*.tar"``. A Hugging Face ``DatasetDict``: each of its
        splits is a dataset of its own, in a folder of its name.
    output_dir
        Folder of the dataset; made when the first shard is written.
    images_per_tar, remove_image_data
        As of `ShardWriter`.
    metadata
        A Polars frame, anything that speaks Arrow, or the path or URL of a CSV, JSON lines, Parquet
        or Arrow file, joined to the images, one row to one image. A folder: the ``metadata.csv``,
        ``metadata.jsonl`` or ``metadata.parquet`` files of Hugging Face's imagefolder.
    on
        What metadata is joined on: a column of both sides, or a pair, that of the images and that
        of the metadata. ``file_name`` of picture files is the path below their folder. None:
        ``image_id``, or ``file_name`` where metadata has no ``image_id``. What is joined on is read
        as text of CSV files.
    captions
        Suffix of text files beside picture files, ``"txt"``, whose text is the column ``caption``,
        null where there is none; an error where no picture has one.
    labels
        ``"folder"``: the name of the folder that a picture file is in is the column ``label``.
        Null, and logged, in the very folder that is given, where others below it have pictures.
    rename
        New names of columns by old ones, of the source and of metadata; all other options have the
        new ones.
    drop
        Columns that are not written.
    reserved_prefix
        What is put before names that the sidecar uses itself, say ``"source_"``. None: an error.
    split
        Fractions by name, ``{"train": 0.9, "val": 0.1}``, 1 together: each is a dataset of its own,
        in a folder of its name below `output_dir`. Which rows are in it is decided by a hash of
        their id: the same on every run and machine, in any order.
    split_by
        The column that is hashed instead of the id, so that rows of one value stay together.
    progress
        True: a progress bar on stderr. None: only where stderr is a terminal.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.
    workers
        So many processes of this machine read, encode and write: the same bytes, names and errors.
        They read files by themselves; what is in memory, or joined to metadata, is copied to them;
        splits share them. None: as many as there are cores, where these are more than threads can
        use and a source of files is large; else one. See ``docs/how-to/every-core.md``.
    **options
        As of `ShardWriter`.

    Returns
    -------
    FileGroupTask
        The files, in shard order. The manifest is not one of them. Its metadata has
        ``passed_over`` too: how many files and folders of a source of files were left out by
        rule, by reason. With splits, it is that of all, and its ``splits`` are those of each.

    Raises
    ------
    SourceError
        When `source` is nothing that holds images, or cannot be read.
    ImageError, SchemaError, SampleKeyError, DuplicateIdError, MetadataJoinError
        When rows cannot be written; shards of the rows before are there, the manifest is not.
        Ids of a source that is in memory as a whole are checked before anything is written.
    ErrorFractionError
        When too many rows are bad; shards of the rows before are there, the manifest is not.
    ShardConflictError, DatasetConflictError
        When `output_dir` holds another dataset, or one of other options.
    StorageError
        When `output_dir` cannot be written to; shards before are there, the manifest is not.
    WorkerError
        When one of the processes died; whole shards are there, the manifest is not.
    ManifestError
        When `output_dir` has a manifest, or with ``if_exists="skip"`` a sidecar, that cannot be
        read.

    Examples
    --------
    >>> group = write_shards("photographs/", "out/")  # doctest: +SKIP
    """
    chosen = write_options(
        options,
        images_per_tar,
        remove_image_data=remove_image_data,
        removed_by_default=True,
        others=_OTHERS,
    )
    columns = ChosenColumns(rename or {}, drop, reserved_prefix)
    frame = open_metadata(metadata, on, columns, options_for(metadata, storage_options))
    check_known_ids(source, frame, columns)
    parts = parts_of(source, split, split_by)
    # Of a source or metadata in a store they are too; then a folder to write to needs none.
    listed = source if isinstance(source, list | tuple) else [source]
    is_of_others = any(map(is_in_store, [*listed, metadata]))
    told = None if is_of_others and not is_in_store(output_dir) else storage_options
    check_workers(workers)

    file_columns = FileColumns(captions, labels, frame is not None and frame.left == FILE_NAME)
    sources = {
        name: Source(each, storage_options, file_columns) for name, each in parts.sources.items()
    }
    of_each = max(1, (workers or 1) // len(parts.names))
    if workers is None and frame is None and parts.names == [""]:
        of_each = chosen_workers(sources[""].num_rows, sources[""].nbytes)
    writers = {
        name: ShardWriter(
            place_within(output_dir, name), options=chosen, storage_options=told, workers=of_each
        )
        for name in parts.names
    }
    rows = {
        name: SourceRows(each, frame, columns, [*chosen.rules]) for name, each in sources.items()
    }
    _write_all(rows, writers, parts, frame, progress, have_workers=of_each > 1)
    passed_over = sum((it.source.passed_over for it in rows.values()), Counter[str]())
    groups = {name: writer.file_group for name, writer in writers.items()}
    group = groups[""] if "" in groups else joined_groups(groups, output_dir)
    return structs.replace(group, metadata=group.metadata | {"passed_over": dict(passed_over)})


def _write_all(
    rows: Mapping[str, SourceRows],
    writers: Mapping[str, ShardWriter],
    parts: Parts,
    metadata: MetadataFrame | None,
    progress: bool | None,  # noqa: FBT001  # as the caller has it
    *,
    have_workers: bool,
) -> None:
    """Write the rows of each source to the writers that they belong to, and publish them.

    Parameters
    ----------
    have_workers
        True: the writers have workers, which can read by themselves.
    """
    num_rows = [it.source.num_rows for it in rows.values()]
    total = None if None in num_rows else sum(filter(None, num_rows))
    with ExitStack() as stack, progress_bar(total, " images", progress) as bar:
        for writer in list(writers.values())[::-1]:
            # They are left, and publish, in their order.
            stack.enter_context(writer)
        for name, batches in rows.items():
            common = batches.common_columns()
            common.log_changes(CommonColumns())
            for target in writers if parts.splits else [name]:
                writers[target].expect(common, target)
            # To be split, rows have to be read here.
            are_unread = have_workers and parts.splits is None
            for batch in batches.unread() if are_unread else batches.batches():
                for target, of_target in parts.parts(name, batch):
                    if batches.source.is_lent:
                        writers[target].write(of_target)
                    else:
                        writers[target].write_ahead(of_target)
                bar.update(batch.num_items)
        if metadata is not None:
            metadata.check_all_used()
