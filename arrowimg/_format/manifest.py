"""The manifest: the dataset's list of shards, written last; and how documents are checked.

Whoever wrote a manifest or a footer may mean harm. What is made of one names no file but those of
shards, in the folder itself, counts nothing that no file can hold, and has options of the kinds
that are used: no reader asks again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from arrowimg._core.checksums import CHECKSUM_NBYTES, ChecksumName, recorded_checksum
from arrowimg._core.version import ADOPTED_VERSION, FORMAT_VERSION, NEWEST_VERSION
from arrowimg._format.keys import is_extension
from arrowimg._format.names import (
    FileKind,
    adopted_shard,
    is_shard_file,
    is_tar_below,
    shard_of,
    sidecar_name,
)
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""Of rows or bytes: no file has more, and sums of them are far from the end of 64 bits."""

Checksum = Annotated[str, Meta(pattern=r"^([0-9a-f]{32}|[0-9a-f]{64})\Z")]
"""Of a whole file, hexadecimal."""

NO_DOCUMENT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)
"""What `parse_document` raises where there is no such document."""

Document = TypeVar("Document", bound=Struct)


class AdoptedTars(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is recorded of tars that others wrote.

    Attributes
    ----------
    place
        Where they were when they were adopted, for people to read: nobody goes there because a
        document says so. None: in the folder of the sidecars, or below it.
    members
        Extensions whose members are columns.
    ids
        What the ids are made of: ``"key"`` or ``"path"``.
    """

    place: str | None
    members: list[str]
    ids: str


class _RecordedColumn(Struct):
    column: str


class _Versioned(Struct):
    format_version: Annotated[int, Meta(ge=1)]


def parse_document(data: bytes, kind: type[Document], path: str) -> Document:
    """Return a document of a version that is known.

    Raises
    ------
    ManifestError
        When it is of a newer version.
    ValueError, RecursionError
        When it is no such document, see `NO_DOCUMENT`.
    """
    version = msgspec.json.decode(data, type=_Versioned).format_version
    if version > NEWEST_VERSION:
        expected = f"a format version up to {NEWEST_VERSION}"
        raise ManifestError(path, expected, f"version {version}")
    return msgspec.json.decode(data, type=kind)


def check_file_names(names: Iterable[tuple[str, FileKind]]) -> None:
    """Raise `ValueError` unless these are the files of one shard, each of its kind."""
    files = list(names)
    for name, kind in files:
        if not is_shard_file(name, kind):
            message = f"{name[:200]!r} instead of the name of a {kind.name.lower()} in the folder"
            raise ValueError(message)
    if len({shard_of(name) for name, _ in files}) != 1:
        message = f"files of several shards as those of one: {', '.join(it for it, _ in files)}"
        raise ValueError(message)


def check_adopted(tar: str, sidecar: str | None = None) -> None:
    """Raise `ValueError` unless this is a tar in the folder or below it, and its sidecar."""
    if not is_tar_below(tar):
        message = f"{tar[:200]!r} instead of a tar in the folder or below it"
        raise ValueError(message)
    if sidecar is not None and sidecar != sidecar_name(adopted_shard(tar)):
        message = f"{sidecar[:200]!r} as the sidecar of {tar!r}"
        raise ValueError(message)


def check_version(version: int, adopted: AdoptedTars | UnsetType) -> None:
    """Raise `ValueError` unless a document is of the version that it has to be of."""
    if (adopted is not UNSET) != (version == ADOPTED_VERSION):
        message = f"version {version} {'without' if adopted is UNSET else 'of'} adopted tars"
        raise ValueError(message)


def check_options(options: dict[str, Any]) -> None:
    """Raise `ValueError` where recorded options that readers go by are none that can be."""
    if options.get("checksum", "xxh3_128") not in get_args(ChecksumName):
        message = f"checksums called {options['checksum']!r}"
        raise ValueError(message)
    members = msgspec.convert(options.get("members", {}), dict[str, str | list[str]])
    images = msgspec.convert(options.get("images", {}), dict[str, _RecordedColumn])
    kept = msgspec.convert(options.get("keep", []), list[str])
    wrong = [it for it in (*members, *images, *kept) if not is_extension(it) or it == "jpg"]
    if wrong or any("." in it for it in kept):
        message = f"members of extension {(wrong or kept)[0][:200]!r}"
        raise ValueError(message)


def check_lengths(checksums: Iterable[str], options: dict[str, Any]) -> None:
    """Raise `ValueError` where a checksum is not as long as the recorded options make it."""
    length = 2 * CHECKSUM_NBYTES[recorded_checksum(options)]
    for checksum in checksums:
        if len(checksum) != length:
            message = f"a checksum of {len(checksum)} digits instead of {length}"
            raise ValueError(message)


MOST_NBYTES = 2**30
"""Of a manifest: that of two million shards is smaller."""


class ShardEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One shard as the manifest lists it. File names are relative to the manifest."""

    tar: str
    tar_nbytes: Count
    tar_checksum: Checksum
    parquet: str
    parquet_nbytes: Count
    parquet_checksum: Checksum
    num_images: Count
    num_rows: Count


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of ``manifest.json``; ``docs/reference/format.md`` describes each field."""

    format_version: int = FORMAT_VERSION
    writer: dict[str, str]
    options: dict[str, Any]
    num_shards: Count
    num_images: Count
    num_rows: Count
    split: str | UnsetType = UNSET
    widened: dict[str, str] | UnsetType = UNSET
    shards: list[ShardEntry]
    adopted: AdoptedTars | UnsetType = UNSET

    def to_json(self) -> bytes:
        """Return canonical JSON: sorted keys, indented, one newline at the end."""
        compact = msgspec.json.encode(self, order="deterministic")
        return msgspec.json.format(compact, indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, path: str) -> Manifest:
        """Return the manifest that `to_json` wrote.

        Raises
        ------
        ManifestError
            When the data is something else, or of a newer format version, or when it names files
            that are none of shards in the folder itself.
        """
        try:
            manifest = parse_document(data, cls, path)
            _check(manifest)
        except ManifestError:
            raise
        except NO_DOCUMENT as error:
            raise ManifestError(path, "a manifest of arrowimg", str(error)) from error
        return manifest


def is_split_name(name: str) -> bool:
    """Tell whether a split may have this name: in a path, in YAML, and for Hugging Face."""
    return re.fullmatch("[A-Za-z0-9_]{1,100}", name) is not None


def _check(manifest: Manifest) -> None:
    """Raise `ValueError` where a manifest lists what cannot be."""
    check_options(manifest.options)
    check_version(manifest.format_version, manifest.adopted)
    for entry in manifest.shards:
        if manifest.adopted is UNSET:
            check_file_names([(entry.tar, FileKind.TAR), (entry.parquet, FileKind.SIDECAR)])
        else:
            check_adopted(entry.tar, entry.parquet)
        check_lengths([entry.tar_checksum, entry.parquet_checksum], manifest.options)
    if manifest.split is not UNSET and not is_split_name(manifest.split):
        message = f"a split called {manifest.split!r}"
        raise ValueError(message)
    if len({entry.tar for entry in manifest.shards}) != len(manifest.shards):
        message = "a shard twice"
        raise ValueError(message)
