"""The Parquet file beside a tar: one row per sample, same order, and the commit record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET, Struct, UnsetType

from arrowimg._core.binary import value_offsets
from arrowimg._core.checksums import recorded_checksum
from arrowimg._core.splits import split_by_size
from arrowimg._core.tables import beside, canonical_table, in_one_chunk
from arrowimg._core.version import FORMAT_VERSION
from arrowimg._format.manifest import (
    NO_DOCUMENT,
    AdoptedTars,
    Checksum,
    Count,
    check_adopted,
    check_file_names,
    check_lengths,
    check_options,
    check_version,
    parse_document,
)
from arrowimg._format.names import FileKind, adopted_shard, shard_of
from arrowimg._format.parquet import IMAGE_DATA, BinaryWriter, write_parquet
from arrowimg._format.samples import PICTURE_SCHEMA, OffsetsAndChecksums
from arrowimg.errors import ManifestError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import pyarrow.parquet as pq

    from arrowimg._core.checksums import ChecksumName

FOOTER_KEY = "arrowimg"

UNREADABLE = (pa.ArrowException, OSError, KeyError, ValueError, OverflowError)
"""What PyArrow raises of a damaged file: a missing column is a KeyError, bad text a ValueError."""

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""The Arrow type of Hugging Face's ``Image`` feature: only this one shows as pictures there."""

_MEMBER_NAME, *_PLACE = PICTURE_SCHEMA

SIDECAR_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("tar_file", pa.string()),
        _MEMBER_NAME,
        ("original_path", pa.string()),
        *_PLACE,
    ]
)
"""The columns that every sidecar begins with; the user's come after them, the pictures last."""

RESERVED = (*SIDECAR_SCHEMA.names, IMAGE_DATA)
"""Names that no metadata column can have."""

TAR_PATH = "tar_path"
"""The column that `scan` adds, and so no metadata column either."""

_HUGGING_FACE = msgspec.json.encode({"info": {"features": {IMAGE_DATA: {"_type": "Image"}}}})
_CHUNK_NBYTES = 2**30
_NONE: Mapping[str, tuple[pa.ChunkedArray, OffsetsAndChecksums]] = {}
_PLAIN = frozenset(RESERVED) - {"tar_file", "action", "error"}


class Footer(Struct, frozen=True, kw_only=True):
    """The JSON document in a sidecar's footer; see ``docs/reference/format.md``."""

    format_version: int = FORMAT_VERSION
    writer: dict[str, str]
    options: dict[str, Any]
    tar_file: str
    tar_nbytes: Count
    tar_checksum: Checksum
    num_rows: Count
    num_images: Count
    num_errors: Count
    batch_shards: Count | None = None
    quarantine_file: str | None = None
    quarantine_nbytes: Count | None = None
    quarantine_checksum: Checksum | None = None
    adopted: AdoptedTars | UnsetType = UNSET

    @property
    def shard(self) -> str:
        """Name of the shard, which its sidecar has too."""
        return shard_of(self.tar_file) if self.adopted is UNSET else adopted_shard(self.tar_file)

    @property
    def tar_checksums(self) -> dict[str, str]:
        """Checksums of the shard's tars, by name."""
        checksums = {self.tar_file: self.tar_checksum}
        if self.quarantine_file is not None and self.quarantine_checksum is not None:
            checksums[self.quarantine_file] = self.quarantine_checksum
        return checksums

    @property
    def checksum_name(self) -> ChecksumName:
        """How the files and members of the shard are hashed."""
        return recorded_checksum(self.options)


def check_names(names: Collection[str]) -> None:
    """Raise `SchemaError` when a metadata column has a name that the sidecar uses itself."""
    if {"tar_file", "member_name"} <= {*names}:
        column, expected = "tar_file", "rows that are not in a tar yet"
        advice = "copy them into new shards with arrowimg.reshard, or drop the sidecar's columns"
        raise SchemaError(column, expected, "rows of a dataset, as `scan` reads them", advice)
    for name in names:
        if name in (*RESERVED, TAR_PATH):
            expected = "a name that the sidecar does not use itself"
            raise SchemaError(name, expected, repr(name), f"rename it, say to 'source_{name}'")


def sidecar_table(
    stored: pa.Table,
    metadata: pa.Table,
    tar_file: str,
    offsets: npt.NDArray[np.int64],
    checksums: list[bytes],
    pictures: Mapping[str, tuple[pa.ChunkedArray, OffsetsAndChecksums]] = _NONE,
    *,
    keep_images: bool,
) -> pa.Table:
    """Return the sidecar of one shard.

    Parameters
    ----------
    stored
        The samples as encoded, with the columns of `Samples.stored`.
    metadata
        The user's columns for the same rows.
    tar_file
        Name of the tar, without folder.
    offsets, checksums
        Of the pictures of the rows that have one: where they begin in the tar, (N,) int64, and
        the checksums of their bytes.
    pictures
        Further ones, by name: the column of `Samples.pictures`, and their offsets and checksums.
    keep_images
        True: with the ``image_data`` column.
    """
    columns = {
        "image_id": stored["image_id"],
        "tar_file": pa.array([tar_file] * len(stored), pa.string()),
        "original_path": stored["original_path"],
        **_picture_columns(stored, stored["key"], offsets, checksums),
    }
    structs = {
        name: _picture_struct(column, stored["key"], *places)
        for name, (column, places) in pictures.items()
    }
    known = pa.table({name: columns[name] for name in SIDECAR_SCHEMA.names} | structs)
    table = canonical_table(beside(known, metadata))
    if not keep_images:
        return table
    images = _image_column(stored[IMAGE_DATA], table["member_name"])
    table = table.append_column(IMAGE_DATA, images)
    return table.replace_schema_metadata({"huggingface": _HUGGING_FACE})


def _picture_columns(
    stored: pa.Table,
    keys: pa.ChunkedArray,
    offsets: npt.NDArray[np.int64],
    checksums: list[bytes],
) -> dict[str, pa.ChunkedArray]:
    """Return the columns of `PICTURE_SCHEMA`."""
    has_member = pc.is_valid(stored["extension"])
    return {
        "member_name": pc.binary_join_element_wise(keys, stored["extension"], "."),
        "offset": _of_present(pa.array(offsets, pa.int64()), has_member),
        "size": _sizes(stored),
        "width": stored["width"],
        "height": stored["height"],
        "channels": stored["channels"],
        "checksum": _of_present(pa.array(checksums, pa.binary()), has_member),
        "action": stored["action"],
        "error": stored["error"],
    }


def _sizes(stored: pa.Table) -> pa.ChunkedArray:
    """Return the bytes of each picture, of those that were copied without a look at them too."""
    has_sizes = IMAGE_DATA not in stored.column_names
    return stored["size"] if has_sizes else pc.binary_length(stored[IMAGE_DATA])


def _picture_struct(
    column: pa.ChunkedArray,
    keys: pa.ChunkedArray,
    offsets: npt.NDArray[np.int64],
    checksums: list[bytes],
) -> pa.StructArray:
    """Return a struct of `PICTURE_SCHEMA` for each row, null where there is no picture."""
    names = [field.name for field in column.type]
    stored = pa.table({name: pc.struct_field(column, name) for name in names})
    columns = pa.table(_picture_columns(stored, keys, offsets, checksums))
    table = in_one_chunk(columns.select(PICTURE_SCHEMA.names).cast(PICTURE_SCHEMA))
    is_nothing = pc.and_(pc.is_null(table["member_name"]), pc.is_null(table["error"]))
    return pa.StructArray.from_arrays(
        [it.chunk(0) for it in table.columns], fields=list(PICTURE_SCHEMA), mask=is_nothing.chunk(0)
    )


def write_sidecar(file: BinaryWriter, table: pa.Table, footer: Footer) -> None:
    """Write a sidecar, as `sidecar_table` returned it, with its footer document."""
    document = msgspec.json.encode(footer, order="deterministic").decode()
    write_parquet(file, table, {FOOTER_KEY: document}, _PLAIN)


def is_sidecar(metadata: pq.FileMetaData, *, has_tar: bool) -> bool:
    """Tell whether a Parquet file is a sidecar, or was one: it has the footer document or columns.

    Parameters
    ----------
    metadata
        Of the whole file.
    has_tar
        False: no tar of its name is beside it, so that without a footer it is a table of others,
        made of rows that they read here.
    """
    names, columns = {*metadata.schema.names}, {*SIDECAR_SCHEMA.names}
    has_footer = FOOTER_KEY.encode() in (metadata.metadata or {})
    return has_footer or (has_tar and columns <= names)


def parse_footer(metadata: Mapping[bytes, bytes] | None, path: str) -> Footer:
    """Return the footer document among the key-value metadata of a Parquet file.

    Raises
    ------
    ManifestError
        When there is none, or a newer one, or one that names files that are none of one shard in
        the folder itself.
    """
    try:
        footer = parse_document((metadata or {})[FOOTER_KEY.encode()], Footer, path)
        _check(footer)
    except ManifestError:
        raise
    except (KeyError, *NO_DOCUMENT) as error:
        raise no_sidecar(path, error) from error
    return footer


def _check(footer: Footer) -> None:
    """Raise `ValueError` where a footer says what cannot be."""
    check_options(footer.options)
    check_version(footer.format_version, footer.adopted)
    if footer.adopted is not UNSET:
        check_adopted(footer.tar_file)
        if footer.quarantine_file is not None:
            message = "quarantined bytes of a tar that others wrote"
            raise ValueError(message)
        check_lengths([footer.tar_checksum], footer.options)
        return
    files = [(footer.tar_file, FileKind.TAR)]
    if footer.quarantine_file is not None:
        files.append((footer.quarantine_file, FileKind.QUARANTINE))
    check_file_names(files)
    check_lengths(footer.tar_checksums.values(), footer.options)


def no_sidecar(path: str, error: Exception) -> ManifestError:
    """Return the error that a file is no sidecar that can be read, given what was raised."""
    found = f"{type(error).__name__}: {error}"
    return ManifestError(path, "a Parquet sidecar of arrowimg", found)


def _of_present(values: pa.Array, is_present: pa.ChunkedArray) -> pa.Array:
    """Return the values at the rows that have one, null at the others."""
    if len(values) == len(is_present):
        return values
    mask = is_present.to_numpy()
    return values.take(pa.array(np.cumsum(mask) - 1, mask=~mask))


def _image_column(data: pa.ChunkedArray, names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return stored pictures and their names as Hugging Face's struct; pictures are not copied."""
    paths, first, chunks = names.combine_chunks(), 0, list[pa.StructArray]()
    for chunk in data.chunks:
        for part in _binary_parts(chunk):
            columns = [part, paths.slice(first, len(part))]
            chunks.append(
                pa.StructArray.from_arrays(columns, fields=list(IMAGE_TYPE), mask=part.is_null())
            )
            first += len(part)
    return pa.chunked_array(chunks, IMAGE_TYPE)


def _binary_parts(array: pa.LargeBinaryArray) -> Iterator[pa.BinaryArray]:
    """Yield the values, cut so that the 32-bit offsets of each part suffice."""
    offsets = value_offsets(array)
    for rows in split_by_size(np.diff(offsets), _CHUNK_NBYTES, len(array)):
        part = array.slice(rows.start, rows.stop - rows.start)
        starts = offsets[rows.start : rows.stop + 1] - offsets[rows.start]
        is_valid = part.is_valid().to_numpy(zero_copy_only=False)
        buffers = [
            pa.array(is_valid).buffers()[1],
            pa.py_buffer(starts.astype(np.int32)),
            array.buffers()[2].slice(offsets[rows.start], starts[-1]),
        ]
        yield pa.BinaryArray.from_buffers(pa.binary(), len(part), buffers)
