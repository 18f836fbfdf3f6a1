"""Stored rows as samples again: their pictures read by byte range, nothing decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from msgspec import Struct

from arrowimg._identity import Identity
from arrowimg._keys import UNNAMED_PREFIX, sample_key_column
from arrowimg._members import extra_members
from arrowimg._plain_tables import in_one_chunk
from arrowimg._plan import cut_rows
from arrowimg._rows import pictures_of
from arrowimg._samples import Samples
from arrowimg._storage import Storage
from arrowimg._stored_rows import StoredRows, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._metadata import MetadataFrame  # noqa: TC004  # imports Polars
    from arrowimg._options import WriteOptions

_PIECE_NBYTES = 16 * 2**20
_PIECE_ROWS = 1024
_COPIED = ("width", "height", "channels", "action", "error")


class Selection(Struct, frozen=True):
    """Rows that are to be copied.

    Attributes
    ----------
    stored
        The rows that are there.
    wanted
        Which of them.
    metadata
        New columns for them, by id.
    """

    stored: StoredRows
    wanted: Wanted
    metadata: MetadataFrame | None

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return sum(int(is_wanted.sum()) for is_wanted in self.wanted)

    @property
    def metadata_names(self) -> list[str]:
        """Names of the user's columns, the new ones last."""
        joined = self.metadata.columns.column_names if self.metadata else []
        return [*self.stored.metadata_names, *joined]


class Piece(Struct, frozen=True):
    """Rows whose pictures are read in one go.

    Attributes
    ----------
    storage
        Where their tars stand.
    rows
        Columns of the sidecars, and new ones; one chunk each.
    metadata_names
        The user's columns among these.
    first_row
        Number of the first row in the new dataset.
    """

    storage: Storage
    rows: pa.Table
    metadata_names: list[str]
    first_row: int

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.rows.num_rows)

    @property
    def identity(self) -> Identity:
        """Ids and paths of the rows."""
        return Identity(self.rows["image_id"].chunk(0), self.rows["original_path"].chunk(0))

    def samples(self, options: WriteOptions) -> Samples:
        """Read the pictures.

        Raises
        ------
        SampleKeyError, DuplicateIdError
            When ids cannot be member names.
        ChecksumError, FileNotFoundError, OSError
            See `pictures_of`.
        """
        ids = self.identity.image_ids
        columns = {
            "key": sample_key_column(ids, UNNAMED_PREFIX, self.first_row, options.keys),
            "image_id": ids,
            "original_path": self.identity.original_paths,
            "image_data": pictures_of(self.storage, self.rows),
            **{name: self.rows[name] for name in _COPIED},
            "quarantined": pa.nulls(self.num_rows, pa.large_binary()),
        }
        metadata = self.rows.select(self.metadata_names)
        return Samples(pa.table(columns), metadata, extra_members(metadata, options.members))


def pieces_of(selection: Selection, shuffle_seed: int | None) -> Iterator[Piece]:
    """Yield the rows, in their order, or in a random one that depends on nothing but the seed.

    In memory are the rows of one sidecar; of all where they are shuffled.
    """
    tables = _tables(selection) if shuffle_seed is None else _shuffled(selection, shuffle_seed)
    first_row = 0
    for storage, rows in tables:
        nbytes = rows["size"].fill_null(0).to_numpy()
        for cut in cut_rows(nbytes, _PIECE_NBYTES, _PIECE_ROWS):
            some = in_one_chunk(rows.slice(cut.start, cut.stop - cut.start))
            yield Piece(storage, some, selection.metadata_names, first_row)
            first_row += len(some)


def _tables(selection: Selection) -> Iterator[tuple[Storage, pa.Table]]:
    """Yield the rows of each shard."""
    names = selection.stored.schema.names
    for shard, is_wanted in zip(selection.stored.shards, selection.wanted, strict=True):
        if not is_wanted.any():
            continue
        rows = shard.read(names)
        if selection.metadata is not None:
            from arrowimg._metadata import with_metadata  # noqa: PLC0415  # imports Polars

            rows = with_metadata(rows, selection.metadata.take)
        yield shard.storage, rows if is_wanted.all() else rows.filter(pa.array(is_wanted))


def _shuffled(selection: Selection, seed: int) -> Iterator[tuple[Storage, pa.Table]]:
    tables = list(_tables(selection))
    if not tables:
        return
    rows = in_one_chunk(pa.concat_tables([rows for _, rows in tables]))
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(rows))
    for start in range(0, len(order), _PIECE_ROWS):
        yield tables[0][0], rows.take(pa.array(order[start : start + _PIECE_ROWS]))
