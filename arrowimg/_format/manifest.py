"""The manifest: the dataset's list of shards, written last."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from arrowimg._core.version import FORMAT_VERSION
from arrowimg.errors import ManifestError


class ShardEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One shard as the manifest lists it. File names are relative to the manifest."""

    tar: str
    tar_nbytes: int
    tar_checksum: str
    parquet: str
    parquet_nbytes: int
    parquet_checksum: str
    num_images: int
    num_rows: int


class _Versioned(Struct):
    format_version: int


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of ``manifest.json``; ``docs/reference/format.md`` describes each field."""

    format_version: int = FORMAT_VERSION
    writer: dict[str, str]
    options: dict[str, Any]
    num_shards: int
    num_images: int
    num_rows: int
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
            When the data is something else, or of a newer format version.
        """
        try:
            version = msgspec.json.decode(data, type=_Versioned).format_version
            if version > FORMAT_VERSION:
                expected = f"a format version up to {FORMAT_VERSION}"
                raise ManifestError(path, expected, f"version {version}")
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ManifestError(path, "a manifest of arrowimg", str(error)) from error
