"""Samples: rows with their pictures encoded, ready to be packed into shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import Struct

from arrowimg._format.column_types import wider_columns
from arrowimg._format.members import extra_members
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.tar import sample_nbytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt


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

    def conformed(self, schema: pa.Schema, members: Mapping[str, str | list[str]]) -> Samples:
        """Return the rows with wider metadata columns, and members that are made of these.

        Raises
        ------
        SchemaError
            When a value does not fit the wider type, or would not come back.
        """
        if self.metadata.schema.equals(schema):
            return self
        metadata = wider_columns(self.metadata, schema, self.num_rows)
        return Samples(self.stored, metadata, extra_members(metadata, members))

    def data(self) -> dict[str, pa.LargeBinaryArray]:
        """Return the data of each member by extension; of ``"jpg"``, null for a bad row."""
        members = dict(zip(self.members.column_names, self.members.columns, strict=True))
        members["jpg"] = self.stored[IMAGE_DATA]
        return {extension: column.chunk(0) for extension, column in members.items()}

    def tar_nbytes(self) -> npt.NDArray[np.int64]:
        """Return the bytes that each row takes in a tar; 0 for a row with an error: (N,)."""
        nbytes = sample_nbytes(self.data().values())
        nbytes[~self.stored["error"].is_null().to_numpy()] = 0
        return nbytes
