"""What the rows of a sidecar may say, checked before anybody goes by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arrowimg._core.binary import value_offsets
from arrowimg._core.checksums import CHECKSUM_NBYTES
from arrowimg._format.layout import picture_names
from arrowimg._format.samples import PICTURE_SCHEMA
from arrowimg._format.sidecar import SIDECAR_SCHEMA
from arrowimg._format.tar import BLOCK, END_OF_ARCHIVE
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow.parquet as pq

    from arrowimg._format.sidecar import Footer

_MOST_ROWS, _ROWS_A_BYTE = 2**20, 16
_MOST_NBYTES, _NBYTES_A_BYTE = 2**28, 1000
_OF_PICTURES = ("member_name", "offset", "size", "checksum")

OWN_TEXTS = [field.name for field in SIDECAR_SCHEMA if field.type in (pa.string(), pa.binary())]
"""The columns of arrowimg's own that hold text or bytes."""


def check_parquet(metadata: pq.FileMetaData, schema: pa.Schema, nbytes: int, path: str) -> None:
    """Check what a Parquet file says of itself, before a row is read.

    Rows that all say the same take no room in Parquet: a file of a few hundred bytes may state any
    number of them. A sidecar has at most a million, and 16 for each of its bytes.

    Parameters
    ----------
    metadata, schema
        Of the file.
    nbytes
        Its size.
    path
        Of it, for errors.

    Raises
    ------
    ManifestError
        When there are more rows or bytes than can be, or columns of other types.
    """
    expected = "a Parquet sidecar of arrowimg"
    if metadata.num_rows > _MOST_ROWS + _ROWS_A_BYTE * nbytes:
        raise ManifestError(path, expected, f"{metadata.num_rows:,} rows in {nbytes:,} bytes")
    unpacked = _unpacked_nbytes(metadata)
    if unpacked > _MOST_NBYTES + _NBYTES_A_BYTE * nbytes:
        raise ManifestError(path, expected, f"{unpacked:,} bytes packed to {nbytes:,}")
    vectors = metadata.num_rows * sum(_fixed_nbytes(it.type) for it in schema)
    if vectors > _MOST_NBYTES + _NBYTES_A_BYTE * nbytes:
        raise ManifestError(path, expected, f"vectors of {vectors:,} bytes in {nbytes:,}")
    by_name: dict[str, list[pa.DataType]] = {}
    for field in schema:
        by_name.setdefault(field.name, []).append(field.type)
    for field in SIDECAR_SCHEMA:
        kinds = by_name.get(field.name, [])
        if kinds != [field.type]:
            found = f"{' and '.join(map(str, kinds)) or 'nothing'} as column {field.name!r}"
            raise ManifestError(path, expected, found)


def check_texts(packed: pa.Table, nbytes: int, path: str) -> None:
    """Check how many bytes columns take that were read as dictionaries, once they are unpacked.

    Parameters
    ----------
    packed
        Rows of a sidecar.
    nbytes
        Its size.
    path
        Of it, for errors.

    Raises
    ------
    ManifestError
        When it is more than a file of this size can hold.
    """
    most = _MOST_NBYTES + _NBYTES_A_BYTE * nbytes
    columns = [packed[name] for name in OWN_TEXTS if name in packed.column_names]
    if sum(map(_most_unpacked, columns)) <= most:
        return
    total = sum(map(_unpacked_length, columns))
    if total > most:
        found = f"texts of {total:,} bytes packed to {nbytes:,}"
        raise ManifestError(path, "a Parquet sidecar of arrowimg", found)


def unpacked(packed: pa.Table) -> pa.Table:
    """Return rows whose own columns of text are no dictionaries."""
    # One by one: PyArrow casts no table that has columns of some nested types.
    for at, field in enumerate(packed.schema):
        if field.name in OWN_TEXTS:
            plain = SIDECAR_SCHEMA.field(field.name)
            packed = packed.set_column(at, plain, packed.column(at).cast(plain.type))
    return packed


def _most_unpacked(column: pa.ChunkedArray) -> int:
    """Return how many bytes a column took if all its values were as long as the longest."""
    longest = (np.diff(value_offsets(it.dictionary)).max(initial=0) for it in column.chunks)
    return sum(len(it) * int(each) for it, each in zip(column.chunks, longest, strict=True))


def _unpacked_length(column: pa.ChunkedArray) -> int:
    lengths = (
        pc.sum(pc.binary_length(it.dictionary).take(it.indices.drop_null()), min_count=0).as_py()
        for it in column.chunks
    )
    return sum(lengths)


def check_rows(rows: pa.Table, footer: Footer, path: str) -> None:
    """Check the columns of arrowimg's own that are among those of a sidecar's rows.

    What passes leads to byte ranges in the shard's own tar, one behind the other, that are there
    if the tar has the size that the footer states; sums of sizes are at most that.

    Raises
    ------
    ManifestError
        When a row says what cannot be.
    """
    names = set(rows.column_names)
    if "tar_file" in names:
        own = pc.equal(rows["tar_file"], footer.tar_file).fill_null(False)  # noqa: FBT003
        _check(path, own, f"rows of {footer.tar_file}")
    if "error" in names:
        for name in names.intersection(_OF_PICTURES):
            is_right = pc.xor(pc.is_valid(rows[name]), pc.is_valid(rows["error"]))
            _check(path, is_right, f"either an error or a value of {name} in each row")
    if "checksum" in names:
        length = CHECKSUM_NBYTES[footer.checksum_name]
        has_length = pc.equal(pc.binary_length(rows["checksum"].drop_null()), length)
        _check(path, has_length, f"checksums of {length} bytes")
    if {"offset", "size"} <= names:
        _check_ranges(rows, footer, path)
    check_pictures(rows, footer, path)


def check_pictures(rows: pa.Table, footer: Footer, path: str) -> None:
    """Check what rows say of further pictures, see `check_rows`."""
    for name in picture_names(footer.options).values():
        if name in rows.column_names:
            _check_picture(rows, name, footer, path)


def _check_picture(rows: pa.Table, name: str, footer: Footer, path: str) -> None:
    """Check what rows say of a further picture."""
    if rows.schema.field(name).type != pa.struct(list(PICTURE_SCHEMA)):
        raise ManifestError(path, f"places of pictures as column {name!r}", "others")
    said = pa.table({it: pc.struct_field(rows[name], it) for it in PICTURE_SCHEMA.names})
    is_there = pc.is_valid(said["member_name"])
    for column in ("offset", "size", "checksum", "width", "height"):
        is_right = pc.equal(pc.is_valid(said[column]), is_there)
        _check(path, is_right, f"all or nothing of a picture in each row of {name!r}")
    if "error" in rows.column_names:
        is_whole = pc.or_(pc.invert(is_there), pc.is_null(rows["error"]))
        _check(path, is_whole, f"no picture in {name!r} where there is an error")
    has_length = pc.equal(
        pc.binary_length(said["checksum"].drop_null()), CHECKSUM_NBYTES[footer.checksum_name]
    )
    _check(path, has_length, f"checksums of {CHECKSUM_NBYTES[footer.checksum_name]} bytes")
    _check_ranges(said, footer, path)


def _check_ranges(rows: pa.Table, footer: Footer, path: str) -> None:
    present = rows.select(["offset", "size"])
    if any(column.null_count for column in present.columns):
        are_there = [pc.is_valid(column) for column in present.columns]
        _check(path, pc.equal(*are_there), "an offset and a size, or neither, in each row")
        present = present.filter(are_there[0])
    offsets, sizes = _numbers(present["offset"]), _numbers(present["size"])
    end = footer.tar_nbytes - len(END_OF_ARCHIVE)
    is_within = (offsets >= BLOCK) & (sizes >= 0) & (offsets <= end)
    # Only where these hold can nothing overflow.
    if not is_within.all() or (sizes > end - offsets).any():
        raise ManifestError(path, f"offsets and sizes within {footer.tar_nbytes:,} bytes", "others")
    if (offsets[1:] - BLOCK < offsets[:-1] + sizes[:-1]).any():
        raise ManifestError(path, "members one behind the other", "others")


def _fixed_nbytes(kind: pa.DataType) -> int:
    """Return how many bytes vectors of a type take in each row, even where they are null."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * max(1, _fixed_nbytes(kind.value_type))
    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    if pa.types.is_dictionary(kind):
        return _fixed_nbytes(kind.value_type)
    return sum(_fixed_nbytes(kind.field(at).type) for at in range(kind.num_fields))


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = column.to_numpy().astype(np.int64, copy=False)
    return numbers


def _check(path: str, are_right: pa.ChunkedArray, expected: str) -> None:
    if not pc.all(are_right, min_count=0).as_py():
        raise ManifestError(path, expected, "others")


def _unpacked_nbytes(metadata: pq.FileMetaData) -> int:
    """Return how many bytes the rows say to have.

    PyArrow is not asked about single columns: it ends the process where one contradicts itself.
    """
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return sum(max(0, group.total_byte_size) for group in groups)
