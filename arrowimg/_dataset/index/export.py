"""Indexes: what readers want to know before they open a tar, from the sidecars alone."""

from __future__ import annotations

from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, structs

from arrowimg._core.option_checks import check_option
from arrowimg._core.threads import map_on_threads, usable_cores
from arrowimg._dataset.folder import Listing, read_listing
from arrowimg._dataset.index.croissant import croissant_index
from arrowimg._dataset.index.energon import energon_index
from arrowimg._dataset.index.formats import (
    File,
    dali_index,
    fsspec_index,
    references_in,
    sizes_index,
    webdataset_index,
    wids_index,
)
from arrowimg._dataset.index.hugging_face import hugging_face_index
from arrowimg._dataset.sidecars import read_layout
from arrowimg._format.names import INDEX_FORMATS, README, IndexFormat
from arrowimg._storage.base import Storage
from arrowimg._storage.open import open_storage

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from arrowimg._format.layout import Layout
    from arrowimg._format.manifest import ShardEntry

_TARS_AHEAD = 8
_FILES_AT_ONCE = 64

Result = TypeVar("Result")


def export_index(
    output_dir: str | os.PathLike[str], formats: Sequence[IndexFormat] = ("webdataset",)
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

    Returns
    -------
    list of str
        Paths of the files that were written.

    Raises
    ------
    OptionError
        When a format is unknown; when it is ``"croissant"``, and the dataset was not written with
        ``checksum="sha256"``; when it is ``"hf"``, and a ``README.md`` has other ``configs``.
    ManifestError
        When there is neither a manifest nor a sidecar, or one cannot be read.
    DuplicateIdError
        When it is ``"energon"``, and a sample key stands in two tars, which a stage cannot see.
    StorageError
        When the file system fails.
    """
    for name in formats:
        known = ", ".join(map(repr, INDEX_FORMATS))
        check_option(name in INDEX_FORMATS, "formats", f"some of {known}", name)
    # What can be made again need not survive a power cut.
    storage = open_storage(output_dir, durability="process")
    folder = _Folder(storage, read_listing(storage))
    indexes = [_FORMATS[name](folder) for name in dict.fromkeys(formats)]
    return list(_publish(storage, chain.from_iterable(indexes)))


class _Folder(Struct, frozen=True):
    """What indexes are made of, read when it is asked for."""

    storage: Storage
    listing: Listing

    def of_each_tar(self, function: Callable[[Layout], Result]) -> Iterator[Result]:
        """Yield what a function makes of the layout of each tar, in order, on several threads."""

        def read(shard: ShardEntry) -> Result:
            return function(read_layout(self.storage, shard))

        return map_on_threads(read, self.listing.shards, usable_cores(), _TARS_AHEAD)

    def card(self) -> bytes:
        """Return the ``README.md`` that is there; nothing where there is none."""
        try:
            with self.storage.open(README) as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def listing_of_all_files(self) -> Listing:
        """Return the listing with sizes and checksums of the sidecars, which a manifest has."""
        if self.listing.has_manifest or not self.listing.has_sha256:
            return self.listing
        shards = []
        for shard in self.listing.shards:
            file = self.storage.describe(shard.parquet, "sha256")
            found = {"parquet_nbytes": file.nbytes, "parquet_checksum": file.checksum}
            shards.append(structs.replace(shard, **found))
        return structs.replace(self.listing, shards=shards)


_FORMATS: dict[IndexFormat, Callable[[_Folder], Iterable[File]]] = {
    "webdataset": lambda folder: webdataset_index(folder.listing),
    "wids": lambda folder: wids_index(folder.listing),
    "dali": lambda folder: chain.from_iterable(folder.of_each_tar(dali_index)),
    "energon": lambda folder: energon_index(folder.listing, folder.of_each_tar(lambda it: it)),
    "hf": lambda folder: hugging_face_index(folder.listing, folder.card()),
    "croissant": lambda folder: croissant_index(folder.listing_of_all_files()),
    "fsspec": lambda folder: fsspec_index(folder.of_each_tar(references_in)),
    "sizes": lambda folder: sizes_index(folder.listing),
}
"""Returns the files of each format. What a format refuses, it refuses at once."""


def _publish(storage: Storage, files: Iterator[File]) -> Iterator[str]:
    """Write files aside and make them visible, some at a time; yields where they stand."""
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
