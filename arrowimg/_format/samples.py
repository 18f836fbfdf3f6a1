"""Samples: rows with their pictures encoded, ready to be packed into shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import Struct

from arrowimg._format.tar import sample_nbytes
from arrowimg.errors import ErrorFractionError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from arrowimg._write.options import WriteOptions


ROWS_TO_JUDGE = 1000
"""Of a dataset that is still being written, fewer rows say nothing of how many are bad."""


class Samples(Struct, frozen=True):
    """Encoded rows.

    Attributes
    ----------
    stored
        What arrowimg knows of each row: key, image_id, original_path, image_data (the JPEG),
        width, height, channels, action, error, quarantined (the offending bytes, where they are
        kept). Where ``error`` is not null, all from image_data to action are. One chunk each.
    metadata
        The user's columns.
    members
        The data of extra members, one column for each extension, one chunk each.
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

    def slice(self, start: int, stop: int) -> Samples:
        """Return some of the rows; nothing is copied."""
        tables = (self.stored, self.metadata, self.members)
        return Samples(*(table.slice(start, stop - start) for table in tables))

    def data(self) -> dict[str, pa.LargeBinaryArray]:
        """Return the data of each member by extension; of ``"jpg"``, null for a bad row."""
        members = dict(zip(self.members.column_names, self.members.columns, strict=True))
        members["jpg"] = self.stored["image_data"]
        return {extension: column.chunk(0) for extension, column in members.items()}

    def tar_nbytes(self) -> npt.NDArray[np.int64]:
        """Return the bytes that each row takes in a tar; 0 for a row with an error: (N,)."""
        nbytes = sample_nbytes(self.data().values())
        nbytes[~self.stored["error"].is_null().to_numpy()] = 0
        return nbytes


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


def check_same_columns(
    first: pa.Schema, other: pa.Schema, first_place: str = "the first batch", place: str = ""
) -> None:
    """Raise `SchemaError` when columns that are to be joined differ, but for their order.

    Parameters
    ----------
    first_place, place
        Where they stand, for the error: batches, or files that have been written.
    """
    for name in sorted({*first.names, *other.names}):
        expected, found = (_kind_of(schema, name) for schema in (first, other))
        if expected != found:
            where, advice = (f" in {place}", "write one anew") if place else ("", "cast it")
            raise SchemaError(name, f"{expected}, as in {first_place}", f"{found}{where}", advice)


def _kind_of(schema: pa.Schema, name: str) -> str:
    if name not in schema.names:
        return "no such column"
    field = schema.field(name)
    return f"{field.type}{'' if field.nullable else ' not null'}"
