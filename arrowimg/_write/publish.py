"""The dataset as a whole: one folder, one manifest, no shards of another run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from arrowimg._core.version import writer_versions
from arrowimg._dataset.folder import read_manifest
from arrowimg._dataset.index.formats import indexes_among
from arrowimg._format.manifest import Manifest, ShardEntry
from arrowimg._format.names import (
    MANIFEST_NAME,
    FileKind,
    is_numbered,
    is_ours,
    kind_of,
    quarantine_name,
    shard_of,
)
from arrowimg._storage.commit import twice
from arrowimg._write.options import WriteOptions, option_differences
from arrowimg.errors import DatasetConflictError

if TYPE_CHECKING:
    from arrowimg._storage.base import Storage
    from arrowimg._write.shard import Shard

_OF_SHARD = (FileKind.TAR, FileKind.QUARANTINE, FileKind.SIDECAR)


def prepare_folder(storage: Storage, options: WriteOptions) -> int | None:
    """Refuse a folder that holds another dataset, or make way where it is to be replaced.

    The manifest of a dataset that is replaced goes first, so that no reader takes new shards for
    those that it lists, and its indexes, which would lead into the middle of other pictures.
    Returns how many shards a dataset has that is there and complete.

    Raises
    ------
    DatasetConflictError
        When the folder holds a dataset, and `options` are others or forbid it.
    """
    if options.if_exists == "overwrite":
        storage.remove([MANIFEST_NAME, *indexes_among(storage.names())])
        return None
    manifest = read_manifest(storage)
    if manifest is None:
        return None
    differences = option_differences(manifest.options, options.recorded())
    if options.if_exists == "error":
        differences = ['a dataset is there, and if_exists="error"', *differences]
    if differences:
        raise DatasetConflictError(storage.path_of(MANIFEST_NAME), differences)
    return manifest.num_shards


def check_room(storage: Storage, complete_shards: int | None, number: int) -> None:
    """Refuse a shard that would come after the last of a dataset that is complete.

    Raises
    ------
    DatasetConflictError
        When `number`, from 0, is `complete_shards` or more.
    """
    if complete_shards is not None and number >= complete_shards:
        difference = f"num_shards: {complete_shards:,} there, more here"
        raise DatasetConflictError(storage.path_of(MANIFEST_NAME), [difference])


def publish_manifest(storage: Storage, shards: list[Shard], options: WriteOptions) -> None:
    """Commit the manifest of these shards; where a dataset is replaced, its other shards go first.

    Raises
    ------
    ShardConflictError
        When a manifest of other shards is there.
    """
    if options.if_exists == "overwrite":
        storage.remove(_stale_files(storage, shards))
    manifest = _manifest(shards, options)
    twice(lambda: _publish_once(storage, manifest, options))


def _publish_once(storage: Storage, manifest: Manifest, options: WriteOptions) -> None:
    with storage.begin(options.checksum) as transaction:
        transaction.create(MANIFEST_NAME).write(manifest.to_json())
        transaction.publish(options.if_exists, lambda: _is_same(read_manifest(storage), manifest))


def _is_same(committed: Manifest | None, offered: Manifest) -> bool:
    """Tell whether two manifests differ in the versions that wrote them at most."""
    return committed is not None and structs.replace(committed, writer=offered.writer) == offered


def _stale_files(storage: Storage, shards: list[Shard]) -> list[str]:
    """Return files of shards that are not among these, sidecars before their tars."""
    needed = {name for shard in shards for name in shard.names}
    stale = [name for name in storage.names() if _is_numbered_file(name) and name not in needed]
    return sorted(stale, key=lambda name: (kind_of(name) is not FileKind.SIDECAR, name))


def _manifest(shards: list[Shard], options: WriteOptions) -> Manifest:
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
        writer=writer_versions(),
        options=options.recorded(),
        num_shards=len(entries),
        num_images=sum(entry.num_images for entry in entries),
        num_rows=sum(entry.num_rows for entry in entries),
        shards=entries,
    )


class Folder(Struct, frozen=True):
    """What a folder holds before anything is written.

    Attributes
    ----------
    replaced
        Files of a dataset that is to be replaced.
    complete_shards
        Number of shards of a dataset that is complete; None where there is none, or it is to be
        replaced.
    """

    replaced: list[str]
    complete_shards: int | None


def open_dataset(storage: Storage, options: WriteOptions) -> Folder:
    """Refuse a folder that holds something else, or make way where it is to be replaced.

    Raises
    ------
    DatasetConflictError
        When the folder holds a dataset, and `options` are others or forbid it.
    """
    replaced: list[str] = []
    if options.if_exists == "overwrite":
        manifest = read_manifest(storage)
        for entry in manifest.shards if manifest else []:
            replaced += [entry.parquet, entry.tar, quarantine_name(shard_of(entry.tar))]
    if options.if_exists == "error":
        there = [name for name in storage.names() if _is_of_shard(name)]
        if there:
            difference = f'{there[0]} is there, and if_exists="error"'
            raise DatasetConflictError(storage.path_of(there[0]), [difference])
    return Folder(replaced, prepare_folder(storage, options))


def close_dataset(
    storage: Storage, shards: list[Shard], options: WriteOptions, replaced: list[str]
) -> None:
    """Commit the manifest of these shards, and remove what they replace."""
    publish_manifest(storage, shards, options)
    needed = {name for shard in shards for name in shard.names}
    needed |= {quarantine_name(shard_of(Path(shard.tar.path).name)) for shard in shards}
    storage.remove([name for name in replaced if name not in needed])


def _is_of_shard(name: str) -> bool:
    is_sidecar = kind_of(name) is FileKind.SIDECAR and is_ours(shard_of(name))
    return is_sidecar or _is_numbered_file(name)


def _is_numbered_file(name: str) -> bool:
    return kind_of(name) in _OF_SHARD and is_numbered(shard_of(name))
