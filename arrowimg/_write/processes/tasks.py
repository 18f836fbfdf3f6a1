"""What a worker does for a writer: encode some rows, or write a shard of rows that were encoded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.processes.pool import sendable
from arrowimg._core.processes.shared_file import Region
from arrowimg._core.tables import in_one_chunk
from arrowimg._dataset.duplicates import Hashes, id_hashes
from arrowimg._format.keys import UNNAMED_PREFIX
from arrowimg._format.samples import Samples
from arrowimg._images.batch import ImageBatch
from arrowimg._write.encode import encode_batch
from arrowimg._write.packing.plan import RunOfRows
from arrowimg._write.prepare import NamedRows, check_batch, name_rows, picture_runs
from arrowimg._write.sources.rows import UnreadRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._core.processes.pool import Desk
    from arrowimg._write.options import WriteOptions
    from arrowimg._write.publish import Dataset
    from arrowimg._write.shard import Shard


class EncodedRows(Struct, frozen=True):
    """A batch that was encoded: what is known of its rows, and where they are.

    Attributes
    ----------
    region
        The rows, as many tables as there are parts.
    tar_nbytes, error_codes
        See `EncodedBatch`.
    hashes
        Those of the ids.
    """

    region: Region
    tar_nbytes: npt.NDArray[np.int64]
    error_codes: Counter[str]
    hashes: Hashes


class EncodedPiece(Struct, frozen=True):
    """Batches that were encoded, up to the end of a piece or the first that was refused.

    Attributes
    ----------
    batches
        In order.
    error
        Why the next was refused, None where there is none.
    """

    batches: list[EncodedRows]
    error: Exception | None


class EncodeRows(Struct, frozen=True):
    """Read, check and encode the rows of a piece, batch by batch.

    Attributes
    ----------
    source
        Rows that are to be read, or where one batch is.
    first_row
        Number of its first row in the dataset.
    columns
        The user's, that all rows have together so far.
    """

    source: UnreadRows | Region
    first_row: int
    columns: pa.Schema

    def run(self, desk: Desk) -> EncodedPiece:
        """Do it; an error is part of what is returned, since batches before it count."""
        dataset: Dataset = desk.context
        encoded, row = list[EncodedRows](), self.first_row
        try:
            for batch in self._batches(desk):
                rows = name_rows(batch.data, dataset.options, UNNAMED_PREFIX, row, self.columns)
                encoded.append(_encode(rows, batch, dataset.options, desk))
                row += batch.num_items
        except Exception as error:  # noqa: BLE001  # it is raised where the rows before it are known
            return EncodedPiece(encoded, sendable(error))
        return EncodedPiece(encoded, None)

    def _batches(self, desk: Desk) -> Iterator[ImageBatch]:
        if isinstance(self.source, UnreadRows):
            return self.source.batches()
        return iter([ImageBatch(pa.concat_tables(desk.get(self.source)))])


def _encode(rows: NamedRows, batch: ImageBatch, options: WriteOptions, desk: Desk) -> EncodedRows:
    checked = check_batch(rows, picture_runs(batch.data, options), options)
    encoded = encode_batch(checked, options)
    tables = [in_one_chunk(part.as_table()) for part in encoded.parts]
    return EncodedRows(
        desk.put(tables[0].schema, tables),
        encoded.tar_nbytes,
        encoded.error_codes,
        id_hashes(batch.ids()),
    )


class SharedRows(RunOfRows, frozen=True, kw_only=True):
    """Consecutive rows of a batch that was encoded.

    Attributes
    ----------
    region
        Where the batch is.
    """

    region: Region


class ConformedRows(Struct, frozen=True):
    """Rows that have wider columns now.

    Attributes
    ----------
    region
        Where they are.
    tar_nbytes
        What each takes in a tar.
    """

    region: Region
    tar_nbytes: npt.NDArray[np.int64]


class ConformRows(Struct, frozen=True):
    """Give rows that wait for their shard the columns that they have together with later ones.

    Attributes
    ----------
    parts
        The rows, in order.
    columns
        The user's columns.
    """

    parts: list[SharedRows]
    columns: pa.Schema

    def run(self, desk: Desk) -> ConformedRows:
        """Do it."""
        members = desk.context.options.members
        read = [it for part in self.parts for it in _read(part, desk)]
        wider = [samples.conformed(self.columns, members) for samples in read]
        tables = [in_one_chunk(samples.as_table()) for samples in wider]
        nbytes = np.concatenate([samples.tar_nbytes() for samples in wider])
        return ConformedRows(desk.put(tables[0].schema, tables), nbytes)


class WriteShard(Struct, frozen=True):
    """Write a shard.

    Attributes
    ----------
    number
        In the dataset, from 0.
    parts
        Its rows, in order.
    """

    number: int
    parts: list[SharedRows]

    def run(self, desk: Desk) -> Shard:
        """Do it."""
        dataset: Dataset = desk.context
        return dataset.write(self.number, [it for part in self.parts for it in _read(part, desk)])


def _read(rows: SharedRows, desk: Desk) -> Iterator[Samples]:
    before = 0
    for table in desk.get(rows.region):
        start = max(rows.start - before, 0)
        stop = min(rows.start + rows.num_rows - before, table.num_rows)
        if start < stop:
            yield Samples.from_table(table.slice(start, stop - start))
        before += table.num_rows
