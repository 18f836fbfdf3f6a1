"""Rows read back from sidecars, and their pictures from the tars."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._core.plain_types import plain_table
from arrowimg._core.tables import in_one_chunk
from arrowimg._format.layout import Layout, layout_columns, tar_layout
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.sidecar import UNREADABLE, Footer, no_sidecar, parse_footer
from arrowimg._storage.base import Storage
from arrowimg._storage.names import check_file_name
from arrowimg._storage.ranges import Places, read_pictures
from arrowimg.errors import ArrowimgError, ManifestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import numpy.typing as npt

    from arrowimg._format.manifest import ShardEntry


class Sidecar(Struct, frozen=True):
    """A sidecar that is open.

    Attributes
    ----------
    footer
        Its footer document.
    file
        Its rows.
    """

    footer: Footer
    file: pq.ParquetFile


@contextmanager
def open_sidecar(storage: Storage, name: str) -> Iterator[Sidecar]:
    """Open a sidecar.

    Raises
    ------
    ManifestError
        When it is not there, is none of arrowimg, or cannot be read, now or within the block.
    """
    path = storage.path_of(name)
    with _reading(path), storage.open(name) as source, _opened(source, path) as sidecar:
        yield sidecar


@contextmanager
def parse_sidecar(data: memoryview, path: str) -> Iterator[Sidecar]:
    """Open a sidecar whose bytes are in memory; see `open_sidecar`."""
    with _reading(path), _opened(pa.BufferReader(data), path) as sidecar:
        yield sidecar


@contextmanager
def _opened(source: IO[bytes] | pa.NativeFile, path: str) -> Iterator[Sidecar]:
    with pq.ParquetFile(source, pre_buffer=False) as file:
        yield Sidecar(parse_footer(file.metadata.metadata, path), file)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Say of all that fails while a sidecar is read that it cannot be read."""
    try:
        yield
    except ArrowimgError:
        raise
    except UNREADABLE as error:
        raise no_sidecar(path, error) from error


def read_rows(storage: Storage, sidecar: str, columns: Collection[str] | None = None) -> pa.Table:
    """Return the rows of a sidecar without its pictures, the user's columns as they were.

    Parameters
    ----------
    columns
        Which of them. None: all.

    Raises
    ------
    ManifestError
        When it cannot be read.
    """
    with open_sidecar(storage, sidecar) as opened:
        names = [name for name in opened.file.schema_arrow.names if name != IMAGE_DATA]
        wanted = None if columns is None else set(columns)
        rows = opened.file.read([it for it in names if wanted is None or it in wanted])
        return plain_table(rows)


def read_footer(storage: Storage, sidecar: str) -> Footer:
    """Return the footer document of a sidecar.

    Raises
    ------
    ManifestError
        When it cannot be read.
    """
    with open_sidecar(storage, sidecar) as opened:
        return opened.footer


class ListedShard(Struct, frozen=True):
    """A shard of a dataset that is there, as its sidecar tells.

    Attributes
    ----------
    storage
        Where its files are.
    sidecar
        Name of its sidecar.
    footer
        The document in the footer of that.
    num_rows
        Rows that are in it.
    """

    storage: Storage
    sidecar: str
    footer: Footer
    num_rows: int

    @property
    def path(self) -> str:
        """Path of its sidecar."""
        return self.storage.path_of(self.sidecar)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of its rows, in this order.

        Raises
        ------
        ManifestError
            When the sidecar cannot be read.
        """
        return read_rows(self.storage, self.sidecar, columns).select(columns)

    def has_member(self) -> npt.NDArray[np.bool_]:
        """Return which rows have no error: (N,)."""
        if not self.footer.num_errors:
            return np.ones(self.num_rows, np.bool_)
        has_member: npt.NDArray[np.bool_] = self.read(["error"])["error"].is_null().to_numpy()
        return has_member


def fetch_pictures(storage: Storage, rows: pa.Table, *, check: bool = True) -> pa.LargeBinaryArray:
    """Return the stored picture of each row, null where it has none.

    Parameters
    ----------
    rows
        Of sidecars, as `read_rows` returns them.
    check
        True: compare each picture with its checksum.

    Raises
    ------
    ManifestError
        When a row names a tar outside the folder.
    ChecksumError, FileNotFoundError, OSError
        See `read_pictures`.
    """
    tars = rows["tar_file"].combine_chunks().dictionary_encode()
    for name in tars.dictionary.to_pylist():
        check_file_name(storage, name)
    has_picture = pc.is_valid(rows["offset"]).to_numpy()
    places = Places(
        [(storage, name) for name in tars.dictionary.to_pylist()],
        np.where(has_picture, tars.indices.to_numpy().astype(np.int64), -1),
        pc.fill_null(rows["offset"], 0).to_numpy(),
        pc.fill_null(rows["size"], 0).to_numpy(),
        rows["member_name"].to_pylist(),
    )
    return read_pictures(places, rows["checksum"].to_pylist() if check else None)


def read_layout(storage: Storage, shard: ShardEntry) -> Layout:
    """Return the layout of a committed shard. The tar is not opened.

    Raises
    ------
    ManifestError
        When the sidecar cannot be read, is not the one that is listed, or contradicts itself.
    """
    path = storage.path_of(shard.parquet)
    with open_sidecar(storage, shard.parquet) as sidecar:
        footer, columns = sidecar.footer, layout_columns(sidecar.footer)
        rows = sidecar.file.read(columns, use_threads=False).select(columns)
    if rows["member_name"].null_count:
        rows = rows.filter(pc.is_valid(rows["member_name"]))
    listed = (shard.tar, shard.tar_checksum, shard.num_images)
    stated = (footer.tar_file, footer.tar_checksum, len(rows))
    if stated != listed:
        raise ManifestError(path, f"the sidecar of {listed}", f"that of {stated}")
    return tar_layout(footer, in_one_chunk(rows), path)
