"""Samples: rows with their pictures encoded, ready to be packed into shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from arrowimg._tar import TarPart, tar_nbytes
from arrowimg.errors import ErrorFractionError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arrowimg._options import WriteOptions


class Samples(Struct, frozen=True):
    """Encoded rows: their tables, and their members as they will stand in a tar.

    Attributes
    ----------
    stored
        What arrowimg knows of each row: key, image_id, original_path, image_data (the JPEG),
        width, height, channels, action, error, quarantined (the offending bytes, where they are
        kept). Where ``error`` is not null, all from image_data to action are.
    metadata
        The user's columns.
    members
        Those of the rows without an error, each the same number, extensions in sorted order.
    extensions
        Of the members of one row, sorted.
    """

    stored: pa.Table
    metadata: pa.Table
    members: TarPart
    extensions: list[str]

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
        stored, metadata = (
            table.slice(start, stop - start) for table in (self.stored, self.metadata)
        )
        is_present, each = self._is_present(), len(self.extensions)
        first = each * int(np.count_nonzero(is_present[:start]))
        last = first + each * int(np.count_nonzero(is_present[start:stop]))
        members = self.members.slice(first, last)
        return Samples(stored, metadata, members, self.extensions)

    def tar_nbytes(self) -> npt.NDArray[np.int64]:
        """Return the bytes that each row takes in a tar; 0 for a row with an error: (N,)."""
        is_present = self._is_present()
        nbytes = np.zeros(len(is_present), np.int64)
        each = tar_nbytes(self.members.sizes).reshape(-1, len(self.extensions))
        nbytes[is_present] = each.sum(axis=1)
        return nbytes

    def _is_present(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.stored["error"].is_null().to_numpy())


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


def check_same_columns(first: pa.Schema, other: pa.Schema) -> None:
    """Raise `SchemaError` when the metadata columns of two batches differ, but for their order."""
    for name in sorted({*first.names, *other.names}):
        kinds = [
            str(schema.field(name).type) if name in schema.names else "no such column"
            for schema in (first, other)
        ]
        if kinds[0] != kinds[1]:
            raise SchemaError(name, f"{kinds[0]}, as in the first batch", kinds[1], "cast it")
