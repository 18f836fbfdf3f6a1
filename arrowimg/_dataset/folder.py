"""What a dataset holds, shard by shard, as its manifest tells, or else the sidecars' footers."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._core.checksums import checksum, recorded_checksum
from arrowimg._dataset.sidecars import read_footer
from arrowimg._format.manifest import Manifest, ShardEntry
from arrowimg._format.names import MANIFEST_NAME, FileKind, kind_of
from arrowimg._format.sidecar import UNREADABLE, is_sidecar
from arrowimg._storage.names import check_file_name
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from arrowimg._format.sidecar import Footer
    from arrowimg._storage.base import Storage


class Listing(Struct, frozen=True):
    """The shards of a dataset.

    Attributes
    ----------
    shards
        In order. Without a manifest, the sizes and checksums of the sidecars are 0 and empty.
    has_manifest
        False: a stage wrote them.
    extensions
        Of the members that every sample has, sorted.
    has_sha256
        True: the checksums are SHA-256.
    """

    shards: list[ShardEntry]
    has_manifest: bool
    extensions: list[str]
    has_sha256: bool

    @property
    def num_samples(self) -> int:
        """Number of pictures."""
        return sum(shard.num_images for shard in self.shards)

    @property
    def uuid(self) -> uuid.UUID:
        """Of version 4 by its form, made from names and checksums of the tars."""
        tars = "".join(f"{shard.tar} {shard.tar_checksum}\n" for shard in self.shards)
        return uuid.UUID(bytes=checksum(tars.encode(), "xxh3_128"), version=4)


def read_listing(storage: Storage) -> Listing:
    """Return the listing of a dataset. Where there is a manifest, no other file is opened.

    Raises
    ------
    ManifestError
        When there is neither a manifest nor a sidecar, one cannot be read, or names a file outside
        the folder.
    """
    manifest = read_manifest(storage)
    if manifest is None:
        footers = {name: read_footer(storage, name) for name in sidecar_names(storage, None)}
        shards = [_entry(name, footer) for name, footer in footers.items()]
        options = [footer.options for footer in footers.values()]
    else:
        shards, options = manifest.shards, [manifest.options]
    for shard in shards:
        for name in (shard.tar, shard.parquet):
            check_file_name(storage, name)
    return Listing(
        shards,
        manifest is not None,
        _common_extensions(options),
        all(recorded_checksum(it) == "sha256" for it in options),
    )


def _entry(sidecar: str, footer: Footer) -> ShardEntry:
    return ShardEntry(
        tar=footer.tar_file,
        tar_nbytes=footer.tar_nbytes,
        tar_checksum=footer.tar_checksum,
        parquet=sidecar,
        parquet_nbytes=0,
        parquet_checksum="",
        num_images=footer.num_images,
        num_rows=footer.num_rows,
    )


def _common_extensions(options: list[dict[str, Any]]) -> list[str]:
    return sorted(set.intersection(*({"jpg", *it.get("members", {})} for it in options)))


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
    names = find_sidecars(storage, storage.names())
    if not names:
        raise ManifestError(storage.path_of(""), "a manifest or sidecars (*.parquet)", "neither")
    return names


def find_sidecars(storage: Storage, names: list[str]) -> list[str]:
    """Return which of these files are sidecars; other Parquet files may be among them.

    A file that cannot be read counts as one: that it is damaged is for its reader to say.
    """
    found = (name for name in names if kind_of(name) is FileKind.SIDECAR)
    return [name for name in found if _may_be_sidecar(storage, name)]


def _may_be_sidecar(storage: Storage, name: str) -> bool:
    try:
        with storage.open(name) as file:
            return is_sidecar(pq.read_metadata(file))
    except UNREADABLE:
        return True
