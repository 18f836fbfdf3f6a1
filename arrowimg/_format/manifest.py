"""The manifest: the dataset's list of shards, written last."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from arrowimg._core.version import FORMAT_VERSION
from arrowimg._format.documents import (
    NO_DOCUMENT,
    Checksum,
    Count,
    check_file_names,
    check_lengths,
    check_options,
    parse_document,
)
from arrowimg._format.names import FileKind
from arrowimg.errors import ManifestError

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
    shards: list[ShardEntry]

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


def _check(manifest: Manifest) -> None:
    """Raise `ValueError` where a manifest lists what cannot be."""
    check_options(manifest.options)
    for entry in manifest.shards:
        check_file_names([(entry.tar, FileKind.TAR), (entry.parquet, FileKind.SIDECAR)])
        check_lengths([entry.tar_checksum, entry.parquet_checksum], manifest.options)
    if len({entry.tar for entry in manifest.shards}) != len(manifest.shards):
        message = "a shard twice"
        raise ValueError(message)
