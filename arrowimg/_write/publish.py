"""The life of a dataset: one folder, its shards in one contiguous row, the manifest last."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, structs

from arrowimg._core.option_checks import check_option
from arrowimg._core.version import writer_versions
from arrowimg._dataset.folder import find_sidecars, is_foreign_manifest, read_manifest
from arrowimg._dataset.index.formats import indexes_among
from arrowimg._format.manifest import Manifest, ShardEntry
from arrowimg._format.names import (
    ADOPTED_PREFIX,
    MANIFEST_NAME,
    FileKind,
    is_numbered,
    is_ours,
    kind_of,
    quarantine_name,
    shard_name,
    shard_of,
)
from arrowimg._storage.base import Storage
from arrowimg._storage.commit import retry_once
from arrowimg._storage.open import open_storage, place_as_text
from arrowimg._write.file_group import FileGroupTask, file_group
from arrowimg._write.options import WriteOptions, option_differences
from arrowimg._write.shard import Shard, write_shard
from arrowimg.errors import DatasetConflictError, ManifestError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from arrowimg._format.samples import Writable
    from arrowimg._storage.base import Place, StorageOptions

_OF_SHARD = (FileKind.TAR, FileKind.QUARANTINE, FileKind.SIDECAR)


def open_output(
    output_dir: Place,
    options: WriteOptions,
    storage_options: StorageOptions | None = None,
    argument: str = "output_dir",
) -> Storage:
    """Return the storage of a place that is written to.

    Raises
    ------
    OptionError
        When it is no place for files, or takes no tars as large as ``max_bytes_per_tar``.
    """
    storage = open_storage(output_dir, storage_options, options.durability, argument=argument)
    most, asked = storage.promises.most_nbytes or 0, options.max_bytes_per_tar or 0
    expected = f"at most {most:,}, as much as one request to this store carries"
    check_option(not most or asked <= most, "max_bytes_per_tar", expected, asked)
    return storage


class Dataset(Struct, frozen=True):
    """A dataset that is written: begun, shard by shard, published.

    It holds no open file and can be sent to other processes, which may write its shards.

    Attributes
    ----------
    output_dir
        Its folder, as the caller gave it.
    options
        What the caller chose.
    storage
        Where its files are.
    complete_shards
        Number of shards of a dataset that was there when this one began, and complete; None where
        there was none, or it is replaced.
    replaced
        Files of a dataset that is replaced.
    split
        Name of the split that it is; empty where it is none.
    """

    output_dir: str
    options: WriteOptions
    storage: Storage
    complete_shards: int | None = None
    replaced: frozenset[str] = frozenset()
    split: str = ""

    @classmethod
    def at(
        cls,
        output_dir: Place,
        options: WriteOptions,
        storage_options: StorageOptions | None = None,
        *,
        argument: str = "output_dir",
    ) -> Dataset:
        """Return the dataset of a folder; nothing is looked at yet.

        Raises
        ------
        OptionError
            When `output_dir`, which the caller calls `argument`, is no place for files, or takes
            no tars as large as ``max_bytes_per_tar``.
        """
        storage = open_output(output_dir, options, storage_options, argument)
        return cls(place_as_text(output_dir, storage), options, storage)

    def begin(self) -> Dataset:
        """Refuse a folder that holds another dataset, or make way where it is to be replaced.

        The manifest of a dataset that is replaced goes first, so that no reader takes new shards
        for those that it lists, and its indexes, which would lead into the middle of other
        pictures.

        Raises
        ------
        DatasetConflictError
            When the folder holds a dataset, and the options are others or forbid it.
        """
        if self.options.if_exists == "overwrite":
            names = self.storage.names()
            _check_is_ours(self.storage, names)
            replaced = _listed_files(self.storage)
            has_dataset = MANIFEST_NAME in names or any(map(_is_of_shard, names))
            self.storage.remove([MANIFEST_NAME, *indexes_among(names)] if has_dataset else [])
            return structs.replace(self, replaced=replaced)
        manifest = read_manifest(self.storage)
        if manifest is None:
            return self
        differences = option_differences(manifest.options, self.options.recorded())
        if self.options.if_exists == "error":
            differences = ['a dataset is there, and if_exists="error"', *differences]
        if differences:
            raise DatasetConflictError(self.storage.path_of(MANIFEST_NAME), differences)
        return structs.replace(self, complete_shards=manifest.num_shards)

    def check_no_shards(self) -> None:
        """Refuse a folder that holds a shard where that is an error, though no dataset.

        Raises
        ------
        DatasetConflictError
            With ``if_exists="error"``.
        """
        names = self.storage.names() if self.options.if_exists == "error" else []
        there = [name for name in names if _is_of_shard(name)]
        if there:
            difference = f'{there[0]} is there, and if_exists="error"'
            raise DatasetConflictError(self.storage.path_of(there[0]), [difference])

    def check_room(self, num_shards: int) -> None:
        """Refuse more shards than a dataset has that is complete.

        Raises
        ------
        DatasetConflictError
            When there would be a shard after its last.
        """
        if self.complete_shards is not None and num_shards > self.complete_shards:
            difference = f"num_shards: {self.complete_shards:,} there, more here"
            raise DatasetConflictError(self.storage.path_of(MANIFEST_NAME), [difference])

    def write(
        self,
        number: int,
        parts: Iterable[Writable],
        check: Callable[[pa.Table], None] | None = None,
    ) -> Shard:
        """Write the shard of a number, from 0; see `write_shard`.

        Raises
        ------
        DatasetConflictError
            When it would come after the last of a dataset that is complete.
        """
        self.check_room(number + 1)
        return write_shard(self.storage, shard_name(number), parts, self.options, check=check)

    def publish(
        self, shards: Sequence[Shard], widened: Mapping[str, str] | None = None
    ) -> FileGroupTask:
        """Commit the manifest of these shards; the other shards of what they replace go first.

        Parameters
        ----------
        shards
            All of the dataset, in order.
        widened
            Types of the columns that were not the same everywhere, by name.

        Raises
        ------
        ShardConflictError
            When a manifest of other shards is there.
        StorageError
            When a shard is not there any more. There is no manifest then.
        """
        if self.options.if_exists == "overwrite":
            self.storage.remove(self._stale_files(shards))
        manifest = _manifest(shards, self.options, widened, self.split)
        _check_in_place(self.storage, manifest)
        retry_once(lambda: self._publish_once(manifest))
        return file_group(shards, self.output_dir, self.options.images_per_tar)

    def _publish_once(self, manifest: Manifest) -> None:
        with self.storage.begin(self.options.checksum) as transaction:
            transaction.create(MANIFEST_NAME).write(manifest.to_json())
            transaction.publish(
                self.options.if_exists, lambda: _is_same(read_manifest(self.storage), manifest)
            )

    def _stale_files(self, shards: Sequence[Shard]) -> list[str]:
        """Return files of shards that are not among these, sidecars before their tars."""
        needed = {name for shard in shards for name in shard.names}
        stale = [
            name
            for name in self.storage.names()
            if name not in needed and (name in self.replaced or _is_numbered_file(name))
        ]
        return sorted(stale, key=lambda name: (kind_of(name) is not FileKind.SIDECAR, name))


def _check_in_place(storage: Storage, manifest: Manifest) -> None:
    """Raise `StorageError` unless each file that a manifest lists is seen, with its size."""
    listed = {entry.tar: entry.tar_nbytes for entry in manifest.shards}
    listed |= {entry.parquet: entry.parquet_nbytes for entry in manifest.shards}
    for (name, nbytes), found in zip(listed.items(), storage.stats(list(listed)), strict=True):
        path, code = storage.path_of(name), errno.ENOENT
        if isinstance(found, OSError):
            reason = f"a shard that was committed is gone: {found.strerror or found}"
            raise StorageError(path, reason, found.errno or code, None, None) from found
        if found.nbytes != nbytes:
            reason = f"{nbytes:,} bytes were committed, {found.nbytes:,} are there"
            raise StorageError(path, reason, errno.EIO, None, None)


def _check_is_ours(storage: Storage, names: list[str]) -> None:
    """Refuse to replace files of others that have names of ours.

    Raises
    ------
    DatasetConflictError
        When a file of that name is no manifest or sidecar, and is not just damaged.
    """
    foreign = [
        name
        for name in names
        if kind_of(name) is FileKind.SIDECAR and is_numbered(shard_of(name))
        if not find_sidecars(storage, [name])
    ]
    if MANIFEST_NAME in names and is_foreign_manifest(storage):
        foreign.append(MANIFEST_NAME)
    foreign += [name for name in names if name.startswith(ADOPTED_PREFIX)][:1]
    if foreign:
        differences = [f"{name} is not arrowimg's, and would be replaced" for name in foreign]
        raise DatasetConflictError(storage.path_of(""), differences, can_overwrite=False)


def _listed_files(storage: Storage) -> frozenset[str]:
    """Return the files of a dataset's shards; none where the manifest cannot be read."""
    try:
        manifest = read_manifest(storage)
    except ManifestError:
        return frozenset()
    names = [
        name
        for entry in (manifest.shards if manifest else [])
        for name in (entry.parquet, entry.tar, quarantine_name(shard_of(entry.tar)))
    ]
    # Whatever a manifest says, no file of others is removed.
    return frozenset(name for name in names if is_ours(shard_of(name)))


def _is_of_shard(name: str) -> bool:
    is_sidecar = kind_of(name) is FileKind.SIDECAR and is_ours(shard_of(name))
    return is_sidecar or _is_numbered_file(name)


def _is_numbered_file(name: str) -> bool:
    return kind_of(name) in _OF_SHARD and is_numbered(shard_of(name))


def _is_same(committed: Manifest | None, offered: Manifest) -> bool:
    """Tell whether two manifests differ in the versions that wrote them at most."""
    return committed is not None and structs.replace(committed, writer=offered.writer) == offered


def _manifest(
    shards: Sequence[Shard],
    options: WriteOptions,
    widened: Mapping[str, str] | None,
    split: str,
) -> Manifest:
    entries = [
        ShardEntry(
            tar=Path(shard.tar.path).name,
            tar_nbytes=shard.tar.nbytes,
            tar_checksum=shard.tar.checksum,
            parquet=Path(shard.parquet.path).name,
            parquet_nbytes=shard.parquet.nbytes,
            parquet_checksum=shard.parquet.checksum,
            num_images=shard.tar.num_images,
            num_rows=shard.tar.num_rows,
        )
        for shard in shards
    ]
    return Manifest(
        format_version=options.format_version,
        writer=writer_versions(),
        options=options.recorded(),
        num_shards=len(entries),
        num_images=sum(entry.num_images for entry in entries),
        num_rows=sum(entry.num_rows for entry in entries),
        split=split or UNSET,
        widened=dict(widened) if widened else UNSET,
        shards=entries,
    )
