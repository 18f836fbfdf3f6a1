"""The Parquet file beside a tar: one row per sample, same order, and the commit record."""

from __future__ import annotations

from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._version import FORMAT_VERSION
from arrowimg.errors import SchemaError

FOOTER_KEY = "arrowimg"

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


def check_metadata(schema: pa.Schema) -> None:
    """Raise `SchemaError` when a metadata column cannot be a column of the sidecar."""
    for name in schema.names:
        if name in RESERVED:
            expected = "a name that the sidecar does not use itself"
            raise SchemaError(name, expected, repr(name), f"rename it, say to 'source_{name}'")
    if _parquet_error(schema) is None:
        return
    for field in schema:
        error = _parquet_error(pa.schema([field]))
        if error is not None:
            found = f"{field.type} ({error})"
            raise SchemaError(field.name, "a type that Parquet has", found, "cast it")


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
    member_name = pc.binary_join_element_wise(stored["key"], "jpg", ".")
    has_member = pc.is_valid(member_name)
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
        columns["image_data"] = pa.chunked_array(
            [
                _image_structs(chunk, names, valid)
                for chunk, names, valid in _aligned(stored["image_data"], member_name, has_member)
            ],
            IMAGE_TYPE,
        )
    user_fields = {field.name: field for field in metadata.schema}
    fields = [
        user_fields.get(name, pa.field(name, column.type)) for name, column in columns.items()
    ]
    schema = pa.schema(fields, {"huggingface": _HUGGING_FACE} if keep_images else None)
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


def write_sidecar(file: IO[bytes], table: pa.Table, footer: Footer) -> None:
    """Write a sidecar as Parquet: zstd, page index, and for each column the encoding that fits."""
    with pq.ParquetWriter(file, table.schema, **_parquet_options(table.schema)) as writer:
        for start, num_rows in _row_groups(table):
            writer.write_table(table.slice(start, num_rows), row_group_size=num_rows)
        writer.add_key_value_metadata({FOOTER_KEY: encode_footer(footer).decode()})


def encode_footer(footer: Footer) -> bytes:
    """Return the footer document as canonical JSON."""
    return msgspec.json.encode(footer, order="deterministic")


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
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        return str(error)
    return None


def _row_groups(table: pa.Table) -> list[tuple[int, int]]:
    """Return (first row, rows) of each row group: about 100 MB, since readers load whole ones."""
    if not table.num_rows:
        return []
    rows_each = max(1, int(table.num_rows * _ROW_GROUP_NBYTES / max(table.nbytes, 1)))
    return [
        (start, min(rows_each, table.num_rows - start))
        for start in range(0, table.num_rows, rows_each)
    ]


def _aligned(*columns: pa.ChunkedArray) -> list[tuple[pa.Array, ...]]:
    """Return the columns' chunks, cut so that they agree in length."""
    table = pa.Table.from_arrays(list(columns), names=[str(at) for at in range(len(columns))])
    return [tuple(batch.columns) for batch in table.to_batches()]


def _image_structs(data: pa.Array, names: pa.Array, valid: pa.Array) -> pa.StructArray:
    return pa.StructArray.from_arrays(
        [data.cast(pa.binary()), names.cast(pa.string())],
        fields=list(IMAGE_TYPE),
        mask=pc.invert(valid),
    )
