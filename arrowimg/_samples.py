"""Samples: the rows of a batch with their pictures encoded, ready to be packed into shards."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._columns import image_views
from arrowimg._encode import (
    CheckedImage,
    StoredImage,
    check_image,
    encode_images,
    quarantined_bytes,
)
from arrowimg._identity import Identity
from arrowimg._keys import check_unique, sample_keys
from arrowimg._members import check_members, extra_members
from arrowimg._plain_tables import plain_table
from arrowimg._sidecar import check_metadata
from arrowimg._tar import tar_nbytes
from arrowimg.errors import (
    ErrorCode,
    ErrorFractionError,
    ImageError,
    Problem,
    RowProblem,
    SchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arrowimg._checksums import BytesLike
    from arrowimg._options import WriteOptions
    from arrowimg._tasks import ImageBatch


class Samples(Struct, frozen=True):
    """Encoded rows: three tables of equal length.

    Attributes
    ----------
    stored
        What arrowimg knows of each row: key, image_id, original_path, image_data (the JPEG),
        width, height, channels, checksum, action, error, quarantined (the offending bytes, where
        they are kept). Where ``error`` is not null, all from image_data to action are.
    metadata
        The user's columns.
    members
        The data of extra members, one binary column per extension.
    """

    stored: pa.Table
    metadata: pa.Table
    members: pa.Table

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.stored.num_rows)

    @property
    def num_errors(self) -> int:
        """Number of rows without a picture."""
        return self.num_rows - int(self.stored["error"].null_count)

    @property
    def num_quarantined(self) -> int:
        """Number of rows whose offending bytes are kept."""
        return self.num_rows - int(self.stored["quarantined"].null_count)

    def error_codes(self) -> Counter[str]:
        """Return the number of bad rows by error code."""
        return Counter(self.stored["error"].drop_null().to_pylist())

    def check_unique(self) -> None:
        """Raise `DuplicateIdError` when two samples have the same key."""
        check_unique(self.stored["key"].to_pylist(), self.stored["image_id"].to_pylist())

    def slice(self, rows: slice) -> Samples:
        """Return some of the rows; nothing is copied."""
        tables = (self.stored, self.metadata, self.members)
        return Samples(*(table.slice(rows.start, rows.stop - rows.start) for table in tables))

    def followed_by(self, other: Samples) -> Samples:
        """Return these rows and then `other`'s; nothing is copied.

        Raises
        ------
        SchemaError
            When the metadata columns differ.
        """
        _check_same_columns(self.metadata.schema, other.metadata.schema)
        metadata = other.metadata.select(self.metadata.column_names)
        return Samples(
            pa.concat_tables([self.stored, other.stored]),
            pa.concat_tables([self.metadata, metadata]),
            pa.concat_tables([self.members, other.members]),
        )

    def tar_nbytes(self) -> list[int]:
        """Return the bytes that each row takes in a tar; 0 for a row with an error."""
        return _tar_nbytes(pc.binary_length(self.stored["image_data"]).to_pylist(), self.members)


def check_error_fraction(codes: Mapping[str, int], num_rows: int, options: WriteOptions) -> None:
    """Raise `ErrorFractionError` when more rows are bad than the options allow.

    Parameters
    ----------
    codes
        Number of bad rows by error code.
    num_rows
        Number of all rows.
    """
    num_errors, allowed = sum(codes.values()), options.max_error_fraction
    if allowed is not None and num_errors > allowed * num_rows:
        raise ErrorFractionError(num_errors, num_rows, allowed, codes)


def encode_samples(
    batch: ImageBatch, options: WriteOptions, unnamed_prefix: str, first_row: int = 0
) -> Samples:
    """Return a batch with its pictures encoded. The whole batch is checked before any is encoded.

    Parameters
    ----------
    batch
        Not changed.
    options
        What the caller chose.
    unnamed_prefix
        What the keys of rows without an id start with, see `sample_keys`.
    first_row
        Number of the batch's first row, in such keys and in errors.

    Raises
    ------
    ImageError
        When pictures break the contract and ``options.on_error`` is ``"raise"``.
    DuplicateIdError, SampleKeyError
        When ids cannot be member names.
    SchemaError
        When a column is missing, of a type that cannot be written, or has a name that is taken.
    """
    metadata = _metadata_of(batch.data, options)
    identity = Identity.of(batch.data, options.image_column)
    keys = sample_keys(identity.image_ids, unnamed_prefix, first_row, options.keys)
    views = image_views(batch.data, options.image_column)

    checked = [check_image(view, options.pixels) for view in views]
    _raise_problems(checked, identity, first_row, options)
    members = _members_of(metadata, options)
    images = _refuse_oversized(encode_images(checked, options), members, options)
    _raise_problems(images, identity, first_row, options)
    quarantined = quarantined_bytes(views, images) if options.keep_quarantined else None
    stored = _stored_table(images, keys, identity, quarantined)
    return Samples(stored, metadata, members)


def _metadata_of(table: pa.Table, options: WriteOptions) -> pa.Table:
    own = (options.image_column, "image_id", "image_path")
    metadata = plain_table(table.select([name for name in table.column_names if name not in own]))
    check_metadata(metadata)
    check_members(metadata.schema, options.members)
    return metadata


def _members_of(metadata: pa.Table, options: WriteOptions) -> pa.Table:
    values = extra_members(metadata, options.members)
    return pa.table({name: pa.array(data, pa.large_binary()) for name, data in values.items()})


def _raise_problems(
    images: Sequence[CheckedImage | StoredImage],
    identity: Identity,
    first_row: int,
    options: WriteOptions,
) -> None:
    problems = [
        RowProblem(first_row + row, identity.image_ids[row], image.code, image.found)
        for row, image in enumerate(images)
        if isinstance(image, Problem)
    ]
    if problems and options.on_error == "raise":
        raise ImageError(problems, len(images))


def _refuse_oversized(
    images: list[StoredImage | Problem], members: pa.Table, options: WriteOptions
) -> list[StoredImage | Problem]:
    """Return the images, those that no tar may hold as problems."""
    most = options.max_members_nbytes
    if most is None:
        return images
    lengths = [None if isinstance(image, Problem) else len(image.data) for image in images]
    return [
        Problem(ErrorCode.EXCEEDS_TAR, f"a sample of {nbytes:,} bytes") if nbytes > most else image
        for image, nbytes in zip(images, _tar_nbytes(lengths, members), strict=True)
    ]


def _tar_nbytes(image_nbytes: list[int | None], members: pa.Table) -> list[int]:
    columns = [pc.binary_length(column).to_pylist() for column in members.columns]
    return [
        0 if sizes[0] is None else sum(map(tar_nbytes, sizes))
        for sizes in zip(image_nbytes, *columns, strict=True)
    ]


def _stored_table(
    images: list[StoredImage | Problem],
    keys: list[str],
    identity: Identity,
    quarantined: list[BytesLike | None] | None,
) -> pa.Table:
    stored = [None if isinstance(image, Problem) else image for image in images]
    errors = [str(image.code) if isinstance(image, Problem) else None for image in images]

    def column(name: str, kind: pa.DataType) -> pa.Array:
        return pa.array([image and getattr(image, name) for image in stored], kind)

    return pa.table(
        {
            "key": pa.array(keys, pa.string()),
            "image_id": pa.array(identity.image_ids, pa.string()),
            "original_path": pa.array(identity.original_paths, pa.string()),
            "image_data": _binary_column(
                [None if image is None else image.data for image in stored]
            ),
            "width": column("width", pa.int32()),
            "height": column("height", pa.int32()),
            "channels": column("channels", pa.int32()),
            "checksum": column("checksum", pa.binary()),
            "action": column("action", pa.string()),
            "error": pa.array(errors, pa.string()),
            "quarantined": _binary_column(quarantined or [None] * len(images)),
        }
    )


def _binary_column(values: list[BytesLike | None]) -> pa.LargeBinaryArray:
    """Gather buffers into one Arrow column: one copy, 64-bit offsets."""
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum([0 if value is None else len(value) for value in values], out=offsets[1:])
    data = pa.allocate_buffer(int(offsets[-1]))
    whole = memoryview(data).cast("B")
    for value, start in zip(values, offsets[:-1].tolist(), strict=True):
        if value is not None:
            whole[start : start + len(value)] = value
    is_valid = pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
    buffers = [is_valid, pa.py_buffer(offsets), data]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(values), buffers)


def _check_same_columns(first: pa.Schema, other: pa.Schema) -> None:
    for name in sorted({*first.names, *other.names}):
        kinds = [
            str(schema.field(name).type) if name in schema.names else "no such column"
            for schema in (first, other)
        ]
        if kinds[0] != kinds[1]:
            raise SchemaError(name, f"{kinds[0]}, as in the first batch", kinds[1], "cast it")
