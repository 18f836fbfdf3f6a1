"""Resuming: rows whose shard is committed already are not encoded again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa
from msgspec import Struct

from arrowimg._dataset.folder import is_tar_there
from arrowimg._dataset.sidecars import open_sidecar
from arrowimg._format.names import batch_shard_name, shard_name, sidecar_name
from arrowimg._images.identity import Identity
from arrowimg._storage.base import CommittedFile
from arrowimg._write.options import option_differences
from arrowimg._write.shard import Shard, written_file
from arrowimg.errors import DatasetConflictError, ManifestError, ShardConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._images.identity import RowName
    from arrowimg._storage.base import Storage
    from arrowimg._write.options import WriteOptions


_NAMES = ("image_id", "original_path")


class CommittedShard(Struct, frozen=True):
    """A shard that is there, as its sidecar tells. Its tar was not opened.

    Attributes
    ----------
    shard
        Its files; size and checksum of the tar as they are stated.
    batch_shards
        Number of shards in its batch, where that is known.
    rows
        The columns of its rows that were asked for.
    """

    shard: Shard
    batch_shards: int | None
    rows: pa.Table


def read_shard(
    storage: Storage, name: str, options: WriteOptions, columns: Sequence[str] = ()
) -> CommittedShard | None:
    """Return a committed shard with some columns of its sidecar, None where there is none.

    As for all readers, a shard is there where its sidecar is, and beside it its tar.

    Raises
    ------
    ManifestError
        When the sidecar cannot be read, or the tar has another size than it states.
    DatasetConflictError
        When it was written with other options.
    """
    record = sidecar_name(name)
    try:
        storage.stat(record)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ManifestError(storage.path_of(record), "a sidecar", str(error)) from error
    with open_sidecar(storage, record) as sidecar:
        footer = sidecar.footer
        differences = option_differences(footer.options, options.recorded())
        if differences:
            raise DatasetConflictError(storage.path_of(record), differences)
        rows = sidecar.read(columns)
    if not is_tar_there(storage, footer.tar_file, footer.tar_nbytes):
        return None
    tar = CommittedFile(footer.tar_file, footer.tar_nbytes, footer.tar_checksum)
    parquet = storage.describe(record, options.checksum)
    shard = Shard(
        tar=written_file(storage, tar, "tar", footer),
        parquet=written_file(storage, parquet, "parquet", footer),
        quarantine_file=footer.quarantine_file,
        unchanged=True,
    )
    return CommittedShard(shard, footer.batch_shards, rows)


def committed_batch(storage: Storage, base_name: str, options: WriteOptions) -> list[Shard] | None:
    """Return the shards of a batch that is committed as a whole, else None.

    One sidecar is read per shard, and no tar; none at all unless ``if_exists`` is ``"skip"``.
    """
    if options.if_exists != "skip":
        return None
    shards, num_shards = list[Shard](), 1
    while len(shards) < num_shards:
        found = read_shard(storage, batch_shard_name(base_name, len(shards)), options)
        if found is None:
            return None
        shards.append(found.shard)
        num_shards = found.batch_shards or 1
    return shards


def committed_shard(
    storage: Storage, number: int, row_names: list[RowName], options: WriteOptions
) -> Shard | None:
    """Return a dataset's shard of a number where it is committed, else None.

    No sidecar is read unless ``if_exists`` is ``"skip"``.

    Raises
    ------
    ShardConflictError
        When it holds other ids or paths.
    """
    if options.if_exists != "skip":
        return None
    found = read_shard(storage, shard_name(number), options, _NAMES)
    if found is None:
        return None
    if _row_names(found.rows) != row_names:
        raise ShardConflictError(found.shard.parquet.path, "other rows", "these")
    return found.shard


def check_no_more_shards(storage: Storage, num_shards: int, options: WriteOptions) -> None:
    """Raise `ShardConflictError` when a dataset's shard is committed that would come after these.

    No sidecar is read unless ``if_exists`` is ``"skip"``.
    """
    if options.if_exists != "skip":
        return
    found = read_shard(storage, shard_name(num_shards), options)
    if found is not None:
        raise ShardConflictError(found.shard.parquet.path, "other rows", "no more rows")


class CommittedRows:
    """The rows of the shards that a writer before this one committed, in order.

    Parameters
    ----------
    storage
        Where the shards are.
    options
        What this writer was told; the shards must have been written alike. Unless ``if_exists`` is
        ``"skip"``, no shard is looked at, and there are no such rows.

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
        self._read: tuple[int, CommittedShard | None] = (-1, None)
        self._matched: tuple[int, int, list[CommittedShard]] = (0, 0, [])
        self.passed: list[Shard] = []
        self.error_codes: Counter[str] = Counter()

    @property
    def is_asked(self) -> bool:
        """Whether rows that are committed are passed over."""
        return self._options.if_exists == "skip"

    def match(self, table: pa.Table) -> int:
        """Return how many rows of a batch, from the first, are committed.

        Nothing is taken for granted until `confirm`: a batch that is refused comes again.

        Raises
        ------
        ShardConflictError
            When a committed row has another id or path.
        """
        if not self.is_asked:
            return 0
        asked = list(Identity.of(table, self._options.image_column).row_names())
        number, row, ended = self._number, self._row, list[CommittedShard]()
        num_matched = 0
        while num_matched < len(asked):
            committed = self._shard(number)
            if committed is None:
                break
            there = _row_names(committed.rows.slice(row, len(asked) - num_matched))
            here = asked[num_matched : num_matched + len(there)]
            if there != here:
                first = next(new for new, old in zip(here, there, strict=True) if new != old)
                self._refuse(number, f"a row of id {first[0]!r}")
            num_matched += len(there)
            row += len(there)
            if row == committed.rows.num_rows:
                ended.append(committed)
                number, row = number + 1, 0
        self._matched = number, row, ended
        return num_matched

    def confirm(self) -> None:
        """Count the rows that were matched last as asked for."""
        self._number, self._row, ended = self._matched
        for committed in ended:
            self.passed.append(committed.shard)
            self.error_codes.update(committed.rows["error"].drop_null().to_pylist())
        self._matched = self._number, self._row, []

    def check_more_rows_fit(self) -> None:
        """Raise `ShardConflictError` when rows would come after a last shard that is short."""
        last = self.passed[-1].tar if self.passed and not self._row else None
        is_counted = self._options.max_bytes_per_tar is None
        if last is not None and is_counted and last.num_images < self._options.images_per_tar:
            raise ShardConflictError(last.path, f"a last shard of {last.num_images:,}", "more rows")

    def check_ended(self) -> None:
        """Raise `ShardConflictError` when a committed shard holds rows that were not asked for."""
        if self.is_asked and (self._row or self._shard(self._number) is not None):
            self._refuse(self._number, "no more rows")

    def _shard(self, number: int) -> CommittedShard | None:
        """Return a committed shard, None where there is none of that number; kept for next time."""
        if self._read[0] != number:
            name, columns = shard_name(number), (*_NAMES, "error")
            self._read = number, read_shard(self._storage, name, self._options, columns)
        return self._read[1]

    def _refuse(self, number: int, offered: str) -> NoReturn:
        path = self._storage.path_of(sidecar_name(shard_name(number)))
        raise ShardConflictError(path, "other rows", offered)


def _row_names(rows: pa.Table) -> list[RowName]:
    columns = (rows[name].to_pylist() for name in _NAMES)
    return list(zip(*columns, strict=True))
