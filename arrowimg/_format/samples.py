"""Samples: rows with their pictures encoded, ready to be packed into shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, field

from arrowimg._core.binary import is_valid, with_nulls
from arrowimg._format.column_types import wider_columns
from arrowimg._format.members import extra_members
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.tar import sample_nbytes
from arrowimg._format.tar_writer import PicturePlaces, TarWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from arrowimg._core.checksums import ChecksumName
    from arrowimg._core.pieces import PiecesWriter


OffsetsAndChecksums: TypeAlias = "tuple[npt.NDArray[np.int64], list[bytes]]"
"""Where pictures begin in a tar, (N,) int64, and the checksum of each."""

PICTURE_SCHEMA = pa.schema(
    [
        ("member_name", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("channels", pa.int32()),
        ("checksum", pa.binary()),
        ("action", pa.string()),
        ("error", pa.string()),
    ]
)
"""What a sidecar says of each picture of a sample; of further ones, as a struct column."""

_TABLES = ("stored", "metadata", "members", "pictures")


class Writable(Protocol):
    """Rows that can be written into a tar: `Samples`, or others that know their pictures' sizes."""

    @property
    def stored(self) -> pa.Table:
        """As of `Samples`; with ``size`` in place of ``image_data`` where that is not in memory."""
        ...

    @property
    def metadata(self) -> pa.Table:
        """As of `Samples`."""
        ...

    @property
    def pictures(self) -> pa.Table:
        """As of `Samples`, in each struct ``size`` in place of ``image_data`` as in `stored`."""
        ...

    @property
    def lacks_members(self) -> bool:
        """As of `Samples`."""
        ...

    def write_to(self, tar: PiecesWriter, checksum_name: ChecksumName) -> dict[str, PicturePlaces]:
        """Write the members of the rows; returns what `TarWriter.write_samples` does."""
        ...


class Samples(Struct, frozen=True):
    """Encoded rows.

    Attributes
    ----------
    stored
        What arrowimg knows of each row: key, image_id, original_path, image_data (the file),
        extension, width, height, channels, action, error, quarantined (the offending bytes, where
        they are kept). Where ``error`` is not null, all from image_data to action are. One chunk
        each.
    metadata
        The user's columns.
    members
        The data of extra members, one column for each extension, one chunk each; null for none.
    pictures
        Further pictures: a struct column of the same fields, from image_data to error, for each
        name, one chunk each. All are null where there is no picture.
    """

    stored: pa.Table
    metadata: pa.Table
    members: pa.Table
    pictures: pa.Table = field(default_factory=lambda: pa.table({}))

    @classmethod
    def from_table(cls, table: pa.Table) -> Samples:
        """Return the samples that `as_table` made a table of; nothing is copied."""
        tables = []
        for name in _TABLES:
            fields = [field for field in table.schema if field.name.startswith(f"{name}.")]
            schema = pa.schema([field.with_name(field.name.partition(".")[2]) for field in fields])
            columns = [table[field.name] for field in fields]
            tables.append(pa.Table.from_arrays(columns, schema=schema))
        return cls(*tables)

    def as_table(self) -> pa.Table:
        """Return samples as one table: a name of the table before each column's; no copy."""
        fields, columns = [], []
        for name in _TABLES:
            table: pa.Table = getattr(self, name)
            fields += [field.with_name(f"{name}.{field.name}") for field in table.schema]
            columns += table.columns
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.stored.num_rows)

    @property
    def num_errors(self) -> int:
        """Number of rows without a picture."""
        return self.num_rows - int(self.stored["error"].null_count)

    @property
    def lacks_members(self) -> bool:
        """True: a sample has no member of an extension that others may have."""
        errors = self.num_errors
        return any(column.null_count > errors for column in self.extra_data().values())

    def slice(self, start: int, stop: int) -> Samples:
        """Return some of the rows; nothing is copied."""
        tables = (self.stored, self.metadata, self.members, self.pictures)
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
        return Samples(self.stored, metadata, extra_members(metadata, members), self.pictures)

    def data(self) -> dict[str, pa.LargeBinaryArray]:
        """Return the data of each member by extension, null where a row has none."""
        return self.extra_data() | {
            extension: data for files in self.files().values() for extension, data in files.items()
        }

    def files(self) -> dict[str, dict[str, pa.LargeBinaryArray]]:
        """Return the files of each picture, ``"image_data"`` and the further ones, by extension.

        Of ``"image_data"`` one at least; null where a row has none, or one of another extension.
        """
        return {name: self._files(name) for name in (IMAGE_DATA, *self.pictures.column_names)}

    def _files(self, name: str) -> dict[str, pa.LargeBinaryArray]:
        if name == IMAGE_DATA:
            data, extensions = (self.stored[it].chunk(0) for it in (IMAGE_DATA, "extension"))
        else:
            struct = self.pictures[name].chunk(0)
            data, extensions = (struct.field(it) for it in (IMAGE_DATA, "extension"))
        found = pc.unique(extensions).drop_null().to_pylist()
        if name == IMAGE_DATA and not found:
            return {"jpg": data}
        if len(found) < 2:
            return dict.fromkeys(found, data)
        return {it: _where(data, pc.equal(extensions, it)) for it in sorted(found)}

    def tar_nbytes(self) -> npt.NDArray[np.int64]:
        """Return the bytes that each row takes in a tar; 0 for a row with an error: (N,)."""
        return sample_nbytes(self.data().values())

    def write_to(self, tar: PiecesWriter, checksum_name: ChecksumName) -> dict[str, PicturePlaces]:
        """Write the members, see `TarWriter.write_samples`."""
        return TarWriter(tar, checksum_name).write_samples(self)

    def extra_data(self) -> dict[str, pa.LargeBinaryArray]:
        """Return the data of the members that are no pictures, as `data` does."""
        columns = {name: self.members[name].chunk(0) for name in self.members.column_names}
        if not self.num_errors:
            return columns
        has_none = pc.is_valid(self.stored["error"]).to_numpy()
        rows = np.flatnonzero(has_none).tolist()
        return {name: with_nulls(column, rows) for name, column in columns.items()}


def extensions_of(member_names: pa.ChunkedArray, kept: Sequence[str]) -> pa.ChunkedArray:
    """Return the extension of each picture: one that is kept, else that of JPEG; null for none."""
    jpg = pc.if_else(pc.is_valid(member_names), "jpg", pa.scalar(None, pa.string()))
    if not kept:
        return jpg
    last = pc.replace_substring_regex(member_names, r"^.*\.", "")
    is_kept = pc.is_in(last, pa.array(kept, pa.string()))
    return pc.if_else(is_kept, last, jpg)


def _where(data: pa.LargeBinaryArray, condition: pa.BooleanArray) -> pa.LargeBinaryArray:
    """Return the values where a condition holds, null elsewhere; nothing is copied."""
    holds = condition.fill_null(False).to_numpy(zero_copy_only=False)  # noqa: FBT003
    return with_nulls(data, np.flatnonzero(~(holds & is_valid(data))).tolist())
