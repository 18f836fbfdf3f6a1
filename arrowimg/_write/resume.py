"""Resuming: rows whose shard is committed already are not encoded again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._core.checksums import checksum
from arrowimg._format.names import batch_shard_name, shard_name, sidecar_name
from arrowimg._format.sidecar import Footer, read_footer
from arrowimg._images.identity import RowName
from arrowimg._storage.base import CommittedFile
from arrowimg._write.options import option_differences
from arrowimg._write.shard import Shard, _written
from arrowimg.errors import DatasetConflictError, ShardConflictError

if TYPE_CHECKING:
    from arrowimg._images.identity import Identity
    from arrowimg._storage.base import Storage
    from arrowimg._write.options import WriteOptions


def committed_batch(storage: Storage, base_name: str, options: WriteOptions) -> list[Shard] | None:
    """Return the shards of a batch that is committed as a whole, else None.

    One sidecar is read per shard, and no tar.
    """
    first = read_shard(storage, batch_shard_name(base_name, 0), options)
    if first is None:
        return None
    shards = [first.shard]
    for number in range(1, first.footer.batch_shards or 1):
        found = read_shard(storage, batch_shard_name(base_name, number), options)
        if found is None:
            return None
        shards.append(found.shard)
    return shards


class _ShardRows(Struct, frozen=True):
    """A committed shard, the ids and paths of its rows, and the error codes of the bad ones."""

    shard: Shard
    rows: list[RowName]
    error_codes: list[str]


class CommittedRows:
    """The rows of the shards that a writer before this one committed, in order.

    Parameters
    ----------
    storage
        Where the shards stand.
    options
        What this writer was told; the shards must have been written alike.

    Attributes
    ----------
    passed
        The shards whose rows were all asked for, and confirmed.
    error_codes
        Number of bad rows in these, by error code.
    """

    def __init__(self, storage: Storage, options: WriteOptions) -> None:
        self._storage = storage
        self._options = options
        self._number = self._row = 0
        self._current: _ShardRows | None = None
        self._current_number = 0
        self._matched: tuple[int, int, list[_ShardRows]] = (0, 0, [])
        self.passed: list[Shard] = []
        self.error_codes: Counter[str] = Counter()

    def match(self, identity: Identity) -> int:
        """Return how many of these rows, from the first, are committed.

        Nothing is taken for granted until `confirm`: a batch that is refused comes again.

        Raises
        ------
        ShardConflictError
            When a committed row has another id or path.
        """
        asked = list(identity.row_names())
        number, row, ended = self._number, self._row, list[_ShardRows]()
        num_matched = 0
        while num_matched < len(asked):
            committed = self._rows_of(number)
            if committed is None:
                break
            step = min(len(committed.rows) - row, len(asked) - num_matched)
            there = committed.rows[row : row + step]
            here = asked[num_matched : num_matched + step]
            if there != here:
                first = next(new for new, old in zip(here, there, strict=True) if new != old)
                self._refuse(number, f"a row of id {first[0]!r}")
            num_matched += step
            row += step
            if row == len(committed.rows):
                ended.append(committed)
                number, row = number + 1, 0
        self._matched = number, row, ended
        return num_matched

    def confirm(self) -> None:
        """Count the rows that were matched last as asked for."""
        self._number, self._row, ended = self._matched
        for committed in ended:
            self.passed.append(committed.shard)
            self.error_codes.update(committed.error_codes)
        self._matched = self._number, self._row, []

    def check_more_rows_fit(self) -> None:
        """Raise `ShardConflictError` when rows would come after a last shard that is short."""
        last = self.passed[-1].tar if self.passed and not self._row else None
        is_counted = self._options.max_bytes_per_tar is None
        if last is not None and is_counted and last.num_images < self._options.images_per_tar:
            raise ShardConflictError(last.path, f"a last shard of {last.num_images:,}", "more rows")

    def check_ended(self) -> None:
        """Raise `ShardConflictError` when a committed shard holds rows that were not asked for."""
        if self._row or self._rows_of(self._number) is not None:
            self._refuse(self._number, "no more rows")

    def _rows_of(self, number: int) -> _ShardRows | None:
        """Return the rows of a committed shard, None where there is none of that number."""
        if self._current is None or self._current_number != number:
            self._current_number, self._current = number, self._read_rows(number)
        return self._current

    def _read_rows(self, number: int) -> _ShardRows | None:
        found = read_shard(self._storage, shard_name(number), self._options)
        if found is None:
            return None
        columns = ["image_id", "original_path", *(["error"] if found.footer.num_errors else [])]
        file = pq.ParquetFile(pa.BufferReader(found.sidecar), pre_buffer=False)
        image_ids, paths, *errors = (
            column.to_pylist() for column in file.read(columns, use_threads=False).columns
        )
        rows = list(zip(image_ids, paths, strict=True))
        codes = [code for column in errors for code in column if code is not None]
        return _ShardRows(found.shard, rows, codes)

    def _refuse(self, number: int, offered: str) -> None:
        path = self._storage.path_of(sidecar_name(shard_name(number)))
        raise ShardConflictError(path, "other rows", offered)


class CommittedShard(Struct, frozen=True):
    """A shard that was committed before, by its sidecar alone.

    Attributes
    ----------
    shard
        Its files; the tar's size and checksum as the sidecar states them.
    footer
        The sidecar's footer document.
    sidecar
        The whole sidecar.
    """

    shard: Shard
    footer: Footer
    sidecar: memoryview


def read_shard(storage: Storage, name: str, options: WriteOptions) -> CommittedShard | None:
    """Return a committed shard, None where there is no sidecar. The tar is not looked at.

    Raises
    ------
    ManifestError
        When the sidecar cannot be read.
    DatasetConflictError
        When it was written with other options.
    """
    record = sidecar_name(name)
    try:
        with storage.open(record) as file:
            data = memoryview(file.read())
    except FileNotFoundError:
        return None
    footer = read_footer(pa.BufferReader(data), storage.path_of(record))
    differences = option_differences(footer.options, options.recorded())
    if differences:
        raise DatasetConflictError(storage.path_of(record), differences)
    tar = CommittedFile(footer.tar_file, footer.tar_nbytes, footer.tar_checksum)
    parquet = CommittedFile(record, len(data), checksum(data, options.checksum).hex())
    shard = Shard(
        tar=_written(storage, tar, "tar", footer),
        parquet=_written(storage, parquet, "parquet", footer),
        quarantine_file=footer.quarantine_file,
        unchanged=True,
    )
    return CommittedShard(shard, footer, data)
