"""The Parquet file beside a tar: one row per sample, same order, and the commit record."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._checksums import ChecksumName, new_hasher
from arrowimg._plain_tables import canonical_table
from arrowimg._version import FORMAT_VERSION
from arrowimg.errors import ManifestError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

FOOTER_KEY = "arrowimg"
CHECKSUM_KEY = "arrowimg.checksum"

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""The Arrow type of Hugging Face's ``Image`` feature: only this one shows as pictures there."""

RESERVED = (
    "image_id",
    "tar_file",
    "member_name",
    "original_path",
    "offset",
    "size",
    "width",
    "height",
    "channels",
    "checksum",
    "action",
    "error",
    "image_data",
)

_HUGGING_FACE = msgspec.json.encode({"info": {"features": {"image_data": {"_type": "Image"}}}})
_NO_CHECKSUM = "0" * 32
_FOOTER_NBYTES = 2**20
_PIECE_NBYTES = 2**30
_READS_NO_NULL_VECTORS = int(pa.__version__.split(".")[0]) < 26
_REPEATING = ("tar_file", "action", "error")
_ROW_GROUP_NBYTES = 100 * 2**20


class Footer(Struct, frozen=True, kw_only=True):
    """The JSON document in a sidecar's footer; see ``docs/reference/format.md``."""

    format_version: int = FORMAT_VERSION
    writer: dict[str, str]
    options: dict[str, Any]
    tar_file: str
    tar_nbytes: int
    tar_checksum: str
    num_rows: int
    num_images: int
    num_errors: int
    batch_shards: int | None = None
    quarantine_file: str | None = None
    quarantine_nbytes: int | None = None
    quarantine_checksum: str | None = None

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
        return "sha256" if self.options.get("checksum") == "sha256" else "xxh3_128"


def check_metadata(metadata: pa.Table) -> None:
    """Raise `SchemaError` when a metadata column cannot be a column of the sidecar."""
    schema = metadata.schema
    for name in schema.names:
        if name in RESERVED:
            expected = "a name that the sidecar does not use itself"
            raise SchemaError(name, expected, repr(name), f"rename it, say to 'source_{name}'")
    for field in schema if _parquet_error(schema) is not None else ():
        error = _parquet_error(pa.schema([field]))
        if error is not None:
            found = f"{field.type} ({error})"
            raise SchemaError(field.name, "a type that Parquet has", found, "cast it")
    for name, column in zip(schema.names, metadata.columns, strict=True):
        if _READS_NO_NULL_VECTORS and column.null_count and _has_fixed_size_lists(column.type):
            expected = f"no nulls: PyArrow {pa.__version__} cannot read fixed-size lists with nulls"
            advice = "upgrade PyArrow to 26, or cast the column to variable-size lists"
            raise SchemaError(name, expected, f"{column.null_count:,} nulls", advice)


def sidecar_table(
    stored: pa.Table, metadata: pa.Table, tar_file: str, offsets: pa.Array, *, keep_images: bool
) -> pa.Table:
    """Return the sidecar of one shard.

    Parameters
    ----------
    stored
        The samples as encoded, with the columns of `_samples.STORED_SCHEMA`.
    metadata
        The user's columns for the same rows.
    tar_file
        Name of the tar, without folder.
    offsets
        Where each member's data starts in the tar; null for a row without a member.
    keep_images
        True: with the ``image_data`` column.
    """
    metadata = canonical_table(metadata)
    has_member = pc.is_null(stored["error"])
    all_names = pc.binary_join_element_wise(stored["key"], "jpg", ".")
    member_name = pc.if_else(has_member, all_names, pa.scalar(None, pa.string()))
    columns = {
        "image_id": stored["image_id"],
        "tar_file": pa.array([tar_file] * len(stored), pa.string()),
        "member_name": member_name,
        "original_path": stored["original_path"],
        "offset": offsets,
        "size": pc.binary_length(stored["image_data"]),
        **{name: stored[name] for name in RESERVED[6:12]},
        **dict(zip(metadata.column_names, metadata.columns, strict=True)),
    }
    if keep_images:
        columns["image_data"] = _image_column(stored["image_data"], member_name)
    user_fields = {field.name: field for field in metadata.schema}
    fields = [
        user_fields.get(name, pa.field(name, column.type)) for name, column in columns.items()
    ]
    schema = pa.schema(fields, {"huggingface": _HUGGING_FACE} if keep_images else None)
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


def sidecar_buffers(table: pa.Table, footer: Footer) -> list[memoryview]:
    """Return the buffers that make up a sidecar: Parquet that carries its own checksum.

    zstd, page index, and for each column the encoding that fits it. The checksum is that of the
    whole file with zeros in its own place, so that any changed byte shows.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **_parquet_options(table.schema)) as writer:
        for start, num_rows in _row_groups(table):
            writer.write_table(table.slice(start, num_rows), row_group_size=num_rows)
        document = msgspec.json.encode(footer, order="deterministic").decode()
        writer.add_key_value_metadata({FOOTER_KEY: document})
        writer.add_key_value_metadata({CHECKSUM_KEY: _NO_CHECKSUM})
    data = memoryview(sink.getvalue())
    place = _checksum_place(data)
    return [
        data[: place.start],
        memoryview(_own_checksum(data, place).encode()),
        data[place.stop :],
    ]


def holds_own_checksum(data: memoryview) -> bool:
    """Tell whether a sidecar is, byte for byte, what was written."""
    place = _checksum_place(data)
    return bytes(data[place]).decode("ascii", "replace") == _own_checksum(data, place)


def read_footer(file: IO[bytes], path: str) -> Footer:
    """Return the footer document of a sidecar.

    Raises
    ------
    ManifestError
        When the file is no Parquet, or has no footer document of arrowimg, or a newer one.
    """
    try:
        document = (pq.read_metadata(file).metadata or {})[FOOTER_KEY.encode()]
        footer = msgspec.json.decode(document, type=Footer)
    except (pa.ArrowException, OSError, KeyError, msgspec.DecodeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise ManifestError(path, "a Parquet sidecar of arrowimg", found) from error
    if footer.format_version > FORMAT_VERSION:
        found = f"version {footer.format_version}"
        raise ManifestError(path, f"a format version up to {FORMAT_VERSION}", found)
    return footer


def _checksum_place(data: memoryview) -> slice:
    """Return where the checksum stands: just after its key, which is the last of its kind."""
    # The footer is small; only there can the key be the file's own and not the user's data.
    tail_start = max(0, len(data) - _FOOTER_NBYTES)
    tail = bytes(data[tail_start:])
    key = CHECKSUM_KEY.encode()
    at = tail.rfind(key)
    # Thrift's compact protocol: one byte of field header and one of length precede the value.
    start = tail_start + at + len(key) + 2
    return slice(start, start + len(_NO_CHECKSUM)) if at >= 0 else slice(0, 0)


def _own_checksum(data: memoryview, place: slice) -> str:
    hasher = new_hasher("xxh3_128")
    hasher.update(data[: place.start])
    hasher.update(_NO_CHECKSUM.encode())
    hasher.update(data[place.stop :])
    return hasher.hexdigest()


def _parquet_options(schema: pa.Schema) -> dict[str, Any]:
    leaves = _leaves(schema)
    images = {path for path, _ in leaves if path.startswith("image_data.")}
    floats = {path for path, kind in leaves if kind in ("FLOAT", "DOUBLE") and "." in path}
    own = {path for path, _ in leaves if path in RESERVED}
    rest = [path for path, _ in leaves if path not in images | floats]
    return {
        "compression": {
            path: "NONE" if path == "image_data.bytes" else "ZSTD" for path, _ in leaves
        },
        "use_dictionary": [path for path in rest if path in _REPEATING or path not in own],
        "column_encoding": dict.fromkeys(sorted(floats), "BYTE_STREAM_SPLIT"),
        "write_statistics": [path for path in rest if path != "checksum"],
        "write_page_index": True,
    }


def _leaves(schema: pa.Schema) -> list[tuple[str, str]]:
    """Return path and physical type of each Parquet column that an Arrow schema becomes."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema):
        pass
    columns = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [
        (columns.column(at).path, columns.column(at).physical_type) for at in range(len(columns))
    ]


def _parquet_error(schema: pa.Schema) -> str | None:
    try:
        _leaves(schema)
    except (pa.ArrowException, OSError) as error:
        return str(error)
    kinds = [field.type for field in schema]
    if any(pa.types.is_dictionary(kind) and pa.types.is_nested(kind.value_type) for kind in kinds):
        return "a dictionary of nested values"
    # Of lists of size 0, Parquet cannot bring back which were null.
    return "lists of size 0" if any(_has_fixed_size_lists(kind, 0) for kind in kinds) else None


def _has_fixed_size_lists(kind: pa.DataType, size: int | None = None) -> bool:
    if pa.types.is_fixed_size_list(kind) and size in (None, kind.list_size):
        return True
    return any(_has_fixed_size_lists(kind.field(at).type, size) for at in range(kind.num_fields))


def _row_groups(table: pa.Table) -> list[tuple[int, int]]:
    """Return (first row, rows) of each row group: about 100 MB, since readers load whole ones."""
    keeps_images = "image_data" in table.column_names
    metadata = table.drop_columns(["image_data"]) if keeps_images else table
    # Measured as Arrow would send it, since how rows came in must not show.
    nbytes = sum(map(pa.ipc.get_record_batch_size, metadata.combine_chunks().to_batches()))
    nbytes += (pc.sum(table["size"]).as_py() or 0) if keeps_images else 0
    rows_each = max(1, table.num_rows * _ROW_GROUP_NBYTES // max(nbytes, 1))
    return [
        (start, min(rows_each, table.num_rows - start))
        for start in range(0, table.num_rows, rows_each)
    ]


def _image_column(data: pa.ChunkedArray, names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return stored pictures and their names as Hugging Face's struct, with one copy at most."""
    pictures, paths = data.combine_chunks(), names.combine_chunks()
    chunks = [
        pa.StructArray.from_arrays(
            [piece, paths.slice(start, len(piece))], fields=list(IMAGE_TYPE), mask=piece.is_null()
        )
        for start, piece in _binary_pieces(pictures)
    ]
    return pa.chunked_array(chunks, IMAGE_TYPE)


def _binary_pieces(array: pa.LargeBinaryArray) -> Iterator[tuple[int, pa.BinaryArray]]:
    """Yield (first row, values), cut so that the 32-bit offsets of each piece suffice."""
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset :][: len(array) + 1]
    start = 0
    while start < len(array):
        limit = offsets[start] + _PIECE_NBYTES
        stop = max(start + 1, int(np.searchsorted(offsets, limit, "right")) - 1)
        piece = offsets[start : stop + 1] - offsets[start]
        is_valid = array.slice(start, stop - start).is_valid().to_numpy(zero_copy_only=False)
        buffers = [
            pa.array(is_valid).buffers()[1],
            pa.py_buffer(piece.astype(np.int32)),
            array.buffers()[2].slice(offsets[start], piece[-1]),
        ]
        yield start, pa.BinaryArray.from_buffers(pa.binary(), stop - start, buffers)
        start = stop
