"""Indexes: what readers want to know before they open a tar, from the sidecars alone."""

from __future__ import annotations

from itertools import chain, groupby, islice
from typing import TYPE_CHECKING

from arrowimg._core.option_checks import check_option
from arrowimg._dataset.folder import read_listing
from arrowimg._dataset.index.formats import FORMATS
from arrowimg._dataset.index.source import Source
from arrowimg._storage.open import open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arrowimg._dataset.index.formats import IndexFormat
    from arrowimg._dataset.index.source import File
    from arrowimg._storage.base import Place, Storage, StorageOptions

_FILES_AT_ONCE = 64


def export_index(
    output_dir: Place,
    formats: Sequence[IndexFormat] = ("webdataset",),
    *,
    storage_options: StorageOptions | None = None,
) -> list[str]:
    """Write indexes of a dataset beside its shards, for tools that train on it or look at it.

    No tar is opened. The same dataset gives the same bytes. An index that is there is replaced; in
    a ``README.md`` only the ``configs`` of its front matter are. Each file is seen whole or not at
    all.

    Parameters
    ----------
    output_dir
        Folder of shards, written by `write_shards`, `ShardWriter` or the stage.
    formats
        Which indexes to write; ``docs/how-to/export-indexes.md`` tells more.

        - ``"webdataset"``: shards, counts and brace ranges, ``webdataset.json``.
        - ``"wids"``: ``wids.json`` for ``wids.ShardListDataset``.
        - ``"dali"``: ``<stem>.idx`` for each tar, as ``wds2idx`` writes it.
        - ``"energon"``: ``<stem>.tar.idx`` and ``.nv-meta``, as ``energon prepare`` does.
        - ``"hf"``: ``README.md``, so that ``load_dataset(output_dir)`` gives pictures.
        - ``"croissant"``: ``croissant.json``, Croissant 1.1.
        - ``"fsspec"``: ``fsspec.json``, where each member is, for ``reference://``.
        - ``"sizes"``: ``sizes.json``, the number of samples in each tar, for open_clip.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.

    Returns
    -------
    list of str
        Paths of the files that were written.

    Raises
    ------
    OptionError
        When a format is unknown, or needs more than is known of tars that others wrote; when it is
        ``"croissant"``, and the dataset was not written with ``checksum="sha256"``; when it is
        ``"hf"``, and a ``README.md`` has other ``configs``.
    ManifestError
        When there is neither a manifest nor a sidecar, or one cannot be read.
    DuplicateIdError
        When it is ``"energon"``, and a sample key is in two tars, which a stage cannot see.
    StorageError
        When the file system fails.
    """
    for name in formats:
        check_option(name in FORMATS, "formats", f"some of {', '.join(map(repr, FORMATS))}", name)
    # What can be made again need not survive a power cut.
    storage = open_storage(output_dir, storage_options, "process")
    source = Source(storage, read_listing(storage))
    if source.listing.adopted is not None:
        known = [name for name in FORMATS if FORMATS[name].tells_of_others]
        shown = ", ".join(map(repr, known))
        expected = f"some of {shown} of tars that others wrote; arrowimg.reshard copies them"
        check_option({*formats} <= {*known}, "formats", expected, [*formats])
    indexes = [FORMATS[name].files(source) for name in dict.fromkeys(formats)]
    return list(_publish(storage, chain.from_iterable(indexes)))


def _publish(storage: Storage, files: Iterator[File]) -> Iterator[str]:
    """Write files aside and make them visible, some at a time; yields where they are."""
    for folder, group in groupby(files, lambda file: file[0].rpartition("/")[0]):
        place = storage.at(folder)
        for first in group:
            with place.begin("xxh3_128") as transaction:
                for path, pieces in chain([first], islice(group, _FILES_AT_ONCE - 1)):
                    file = transaction.create(path.rpartition("/")[2])
                    for piece in pieces:
                        file.write(piece)
                    yield storage.path_of(path)
                transaction.publish("overwrite")
