"""The dataset as a whole: one folder, one manifest, no shards of another run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from arrowimg._core.version import writer_versions
from arrowimg._format.manifest import MANIFEST_NAME, Manifest, ShardEntry
from arrowimg._format.names import indexes_among
from arrowimg._storage.local import check_file_name
from arrowimg._write.options import WriteOptions, option_differences
from arrowimg._write.shard import QUARANTINE_PREFIX, Shard
from arrowimg.errors import DatasetConflictError, ManifestError, StorageError

if TYPE_CHECKING:
    from arrowimg._storage.local import Storage

SHARD_FILE = re.compile(rf"(?:{QUARANTINE_PREFIX})?images-[0-9]{{6,}}\.(?:tar|parquet)")


def read_manifest(storage: Storage) -> Manifest | None:
    """Return the manifest of a folder, None where there is none.

    Raises
    ------
    ManifestError
        When it cannot be read.
    """
    try:
        with storage.open(MANIFEST_NAME) as file:
            return Manifest.from_json(file.read(), storage.path_of(MANIFEST_NAME))
    except FileNotFoundError:
        return None


def sidecar_names(storage: Storage, manifest: Manifest | None) -> list[str]:
    """Return the names of the committed sidecars: those of the manifest, else all that are there.

    Raises
    ------
    ManifestError
        When there is neither a manifest nor a sidecar, or the manifest names a file elsewhere.
    """
    if manifest is not None:
        for entry in manifest.shards:
            check_file_name(storage, entry.parquet)
        return [entry.parquet for entry in manifest.shards]
    names = [name for name in storage.names() if name.endswith(".parquet")]
    if not names:
        raise ManifestError(storage.path_of(""), "a manifest or sidecars (*.parquet)", "neither")
    return names


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
    try:
        _publish_once(storage, manifest, options)
    except StorageError:
        # As with shards: once more, into a new file.
        _publish_once(storage, manifest, options)


def _publish_once(storage: Storage, manifest: Manifest, options: WriteOptions) -> None:
    with storage.stage(options.checksum) as staging:
        staging.create(MANIFEST_NAME).write(manifest.to_json())
        staging.publish(options.if_exists, lambda: _is_same(read_manifest(storage), manifest))


def _is_same(committed: Manifest | None, offered: Manifest) -> bool:
    """Tell whether two manifests differ in the versions that wrote them at most."""
    return committed is not None and structs.replace(committed, writer=offered.writer) == offered


def _stale_files(storage: Storage, shards: list[Shard]) -> list[str]:
    """Return files of shards that are not among these, sidecars before their tars."""
    needed = {name for shard in shards for name in shard.names}
    stale = [name for name in storage.names() if SHARD_FILE.fullmatch(name) and name not in needed]
    return sorted(stale, key=lambda name: (name.endswith(".tar"), name))


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
