"""What a dataset holds, shard by shard, as its manifest tells, or else the sidecars' footers."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pyarrow as pa
from msgspec import UNSET, Struct, UnsetType

from arrowimg._core.checksums import checksum, recorded_checksum
from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._core.threads import map_on_threads
from arrowimg._dataset.sidecars import open_sidecar, read_footer_if_ours
from arrowimg._format.layout import picture_names
from arrowimg._format.manifest import (
    MOST_NBYTES,
    NO_DOCUMENT,
    AdoptedTars,
    Manifest,
    ShardEntry,
)
from arrowimg._format.names import MANIFEST_NAME, FileKind, kind_of
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arrowimg._format.sidecar import Footer
    from arrowimg._storage.base import Storage

logger = logging.getLogger("arrowimg")

Result = TypeVar("Result")

_READ_AT_ONCE = 16


class Listing(Struct, frozen=True):
    """The shards of a dataset that exist by the reader rule of ``docs/reference/format.md``.

    Attributes
    ----------
    shards
        In order. Without a manifest, the sizes and checksums of the sidecars are 0 and empty.
    has_manifest
        False: a stage wrote them.
    records
        The options that were recorded, and where: in the manifest, or else in each sidecar.
    adopted
        What is recorded of tars that others wrote; None where arrowimg wrote them.
    may_be_uneven
        True: the sidecars may differ in their columns and types.
    split
        Name of the split that it is; empty where it is none.
    """

    shards: list[ShardEntry]
    has_manifest: bool
    records: list[tuple[str, dict[str, Any]]]
    may_be_uneven: bool
    split: str = ""
    adopted: AdoptedTars | None = None

    @property
    def extensions(self) -> list[str]:
        """Extensions of the members that every sample has, sorted."""
        return sorted(
            set.intersection(*({"jpg", *it.get("members", {})} for _, it in self.records))
        )

    @property
    def pictures(self) -> dict[str, str]:
        """The column of each further picture, by extension."""
        return {ext: name for _, it in self.records for ext, name in picture_names(it).items()}

    @property
    def kept(self) -> list[str]:
        """Extensions that pictures may have besides ``jpg``, sorted."""
        return sorted({extension for _, it in self.records for extension in it.get("keep", [])})

    @property
    def has_sha256(self) -> bool:
        """True: the checksums are SHA-256."""
        return all(recorded_checksum(it) == "sha256" for _, it in self.records)

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
    """Return the shards of a dataset: the reader rule, for everyone who reads.

    No tar is opened; that each is there, and as large as is stated, is looked at. Where there is a
    manifest, no sidecar is opened either; and in an object store, nothing is looked at but that.

    Raises
    ------
    ManifestError
        When there is neither a manifest nor a shard; when one cannot be read, or says what cannot
        be; when a file of a shard that the manifest lists is not there; when one has another size.
    """
    manifest = read_manifest(storage)
    if manifest is not None:
        # Over a network, what the manifest lists is taken to be there: it was, when it was written.
        for entry in [] if storage.promises.is_remote else manifest.shards:
            for name, nbytes in (
                (entry.parquet, entry.parquet_nbytes),
                (entry.tar, entry.tar_nbytes),
            ):
                if not _is_there(storage, name, nbytes):
                    advice = advice_on_tars(storage, manifest.adopted)
                    found = f"none, though the manifest lists it{advice}"
                    raise ManifestError(storage.path_of(name), f"a file of {nbytes:,} bytes", found)
        records = [(storage.path_of(""), manifest.options)]
        is_uneven = bool(manifest.widened)
        return Listing(
            manifest.shards,
            has_manifest=True,
            records=records,
            may_be_uneven=is_uneven,
            split=manifest.split or "",
            adopted=None if manifest.adopted is UNSET else manifest.adopted,
        )
    footers = dict(_present_shards(storage))
    if not footers:
        expected = "a manifest or sidecars (*.parquet) with their tars"
        raise ManifestError(storage.path_of(""), expected, "neither")
    return Listing(
        [_entry(name, footer) for name, footer in footers.items()],
        has_manifest=False,
        records=[(storage.path_of(name), footer.options) for name, footer in footers.items()],
        may_be_uneven=True,
        adopted=next((it.adopted for it in footers.values() if it.adopted is not UNSET), None),
    )


def common_columns(storage: Storage, sidecars: list[str]) -> CommonColumns:
    """Return the columns that sidecars have together, but for the pictures.

    Raises
    ------
    ManifestError
        When one cannot be read.
    SchemaError
        When two clash.
    """

    def read(name: str) -> pa.Schema:
        with open_sidecar(storage, name) as sidecar:
            schema = sidecar.file.schema_arrow
        return pa.schema([field for field in schema if field.name != IMAGE_DATA])

    common = CommonColumns()
    for name, schema in zip(sidecars, _map_files(storage, read, sidecars), strict=True):
        common = common.with_table(schema, storage.path_of(name))
    return common


def advice_on_tars(storage: Storage, adopted: AdoptedTars | UnsetType) -> str:
    """Return what to do where tars of others may be elsewhere; nobody goes there unasked."""
    if adopted is UNSET or adopted.place is None:
        return ""
    place = f"{storage.path_of('')!r}, tars={adopted.place!r}"
    return f"; if you trust it, its tars were elsewhere: arrowimg.Adopted({place})"


def read_manifest(storage: Storage) -> Manifest | None:
    """Return the manifest of a folder, None where there is none.

    Raises
    ------
    ManifestError
        When it cannot be read, or names files that are none of shards in the folder.
    StorageError
        When an object store fails or refuses.
    """
    path = storage.path_of(MANIFEST_NAME)
    try:
        with storage.open(MANIFEST_NAME) as file:
            nbytes = file.seek(0, 2)
            if nbytes > MOST_NBYTES:
                raise ManifestError(path, f"at most {MOST_NBYTES:,} bytes", f"{nbytes:,}")
            file.seek(0)
            return Manifest.from_json(file.read(MOST_NBYTES), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if storage.promises.is_remote:
            raise  # it is the store that failed, not the manifest
        raise ManifestError(path, "a manifest of arrowimg", str(error)) from error


def is_foreign_manifest(storage: Storage) -> bool:
    """Tell whether there is a sound JSON document of that name, but of others.

    A manifest that is damaged is ours still: it is no JSON, or has the version of our format.
    """
    try:
        with storage.open(MANIFEST_NAME) as file:
            document = msgspec.json.decode(file.read(MOST_NBYTES))
    except (OSError, *NO_DOCUMENT):
        return False
    return not isinstance(document, dict) or "format_version" not in document


def find_sidecars(storage: Storage, names: list[str]) -> list[str]:
    """Return which of these files are sidecars; other Parquet files may be among them.

    A file that cannot be read counts as one: that it is damaged is for its reader to say.
    """
    found = [name for name in names if kind_of(name) is FileKind.SIDECAR]
    may_be = _map_files(storage, lambda name: _may_be_sidecar(storage, name), found)
    return [name for name, may in zip(found, may_be, strict=True) if may]


def is_tar_there(storage: Storage, name: str, nbytes: int) -> bool:
    """Tell whether the tar that a footer names is beside it.

    Raises
    ------
    ManifestError
        When it is, and has another size.
    """
    return _is_there(storage, name, nbytes)


def _present_shards(storage: Storage) -> Iterator[tuple[str, Footer]]:
    def read(name: str) -> tuple[Footer | None, bool]:
        footer = read_footer_if_ours(storage, name)
        is_there = footer is not None and _is_there(storage, footer.tar_file, footer.tar_nbytes)
        return footer, is_there

    names = [name for name in storage.names() if kind_of(name) is FileKind.SIDECAR]
    for name, (footer, is_there) in zip(names, _map_files(storage, read, names), strict=True):
        if footer is not None and is_there:
            yield name, footer
        elif footer is not None:
            path = storage.path_of(name)
            logger.warning("%s: left out, since its tar is not beside it", path)


def _map_files(
    storage: Storage, function: Callable[[str], Result], names: list[str]
) -> Iterator[Result]:
    """Yield what a function makes of each file, in order; of many at once over a network."""
    threads = _READ_AT_ONCE if storage.promises.is_remote else 1
    return map_on_threads(function, names, threads, 2 * threads, "look")


def _is_there(storage: Storage, name: str, nbytes: int) -> bool:
    path = storage.path_of(name)
    try:
        found = storage.stat(name).nbytes
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ManifestError(path, "a file of a shard", str(error)) from error
    if found != nbytes:
        raise ManifestError(path, f"a file of {nbytes:,} bytes", f"{found:,}")
    return True


def _may_be_sidecar(storage: Storage, name: str) -> bool:
    try:
        return read_footer_if_ours(storage, name) is not None
    except ManifestError:
        return True


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
