"""Rows read back from sidecars, and their pictures from the tars."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._core.columns.common_columns import conformed
from arrowimg._core.plain_types import plain_table
from arrowimg._core.tables import in_one_chunk
from arrowimg._dataset.row_checks import (
    OWN_TEXTS,
    check_parquet,
    check_rows,
    check_texts,
    unpacked,
)
from arrowimg._format.layout import Layout, layout_columns, tar_layout
from arrowimg._format.names import shard_of, tar_name
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.samples import PICTURE_SCHEMA
from arrowimg._format.sidecar import UNREADABLE, Footer, is_sidecar, no_sidecar, parse_footer
from arrowimg._storage.base import Storage
from arrowimg._storage.ranges import Places, read_pictures
from arrowimg.errors import ArrowimgError, ManifestError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import numpy.typing as npt

    from arrowimg._format.manifest import ShardEntry


_SMALL_NBYTES = 2**18
"""Of a sidecar that is read as a whole when it is opened, and whose columns one thread decodes:
each call for some bytes, and each thread that is asked, would take longer than that."""


class Sidecar(Struct, frozen=True):
    """A sidecar that is open.

    Attributes
    ----------
    footer
        Its footer document.
    file
        Its rows, to be read by `read`.
    path, source
        Where it is, and its bytes.
    """

    footer: Footer
    file: pq.ParquetFile
    path: str
    source: IO[bytes]

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of its rows, in this order.

        Parquet packs a text that is repeated into a few bits, however long it is. arrowimg's own
        columns are unpacked once it is known how many bytes they take then.

        Raises
        ------
        ManifestError
            When they take more than can be.
        """
        metadata, nbytes = self.file.metadata, self.source.seek(0, 2)
        with pq.ParquetFile(
            self.source, metadata=metadata, read_dictionary=OWN_TEXTS, pre_buffer=False
        ) as file:
            packed = file.read(columns, use_threads=nbytes > _SMALL_NBYTES).select(columns)
        check_texts(packed, nbytes, self.path)
        return unpacked(packed)


@contextmanager
def open_sidecar(storage: Storage, name: str) -> Iterator[Sidecar]:
    """Open a sidecar.

    Raises
    ------
    ManifestError
        When it is not there, is none of arrowimg, contradicts itself or its name, or cannot be
        read, now or within the block.
    """
    path = storage.path_of(name)
    with _reading(path), storage.open(name) as source, _opened(source, path) as sidecar:
        check_stated(sidecar, path)
        yield sidecar


@contextmanager
def parse_sidecar(source: IO[bytes], path: str) -> Iterator[Sidecar]:
    """Open a sidecar of an open file; see `open_sidecar`.

    What it says of itself is not compared with what is there, see `check_stated`.
    """
    with _reading(path), _opened(source, path) as sidecar:
        yield sidecar


def check_stated(sidecar: Sidecar, path: str) -> None:
    """Raise `ManifestError` when a footer is that of another file, or counts other rows."""
    footer, num_rows = sidecar.footer, sidecar.file.metadata.num_rows
    name = path.rpartition("/")[2]
    if footer.shard != shard_of(name):
        raise ManifestError(path, f"the sidecar of {tar_name(shard_of(name))}", footer.tar_file)
    if (footer.num_rows, footer.num_images + footer.num_errors) != (num_rows, num_rows):
        found = f"{footer.num_images:,} images and {footer.num_errors:,} errors stated"
        raise ManifestError(path, f"{num_rows:,} rows", found)


@contextmanager
def _opened(source: IO[bytes], path: str) -> Iterator[Sidecar]:
    nbytes = source.seek(0, 2)
    if nbytes <= _SMALL_NBYTES:
        source.seek(0)
        source = pa.BufferReader(source.read(nbytes))
    with pq.ParquetFile(source, pre_buffer=False) as file:
        footer = parse_footer(file.metadata.metadata, path)
        check_parquet(file.metadata, file.schema_arrow, nbytes, path)
        yield Sidecar(footer, file, path, source)


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
        When it cannot be read, or a row says what cannot be.
    """
    path = storage.path_of(sidecar)
    with open_sidecar(storage, sidecar) as opened:
        names = [name for name in opened.file.schema_arrow.names if name != IMAGE_DATA]
        wanted = None if columns is None else set(columns)
        rows = opened.read([it for it in names if wanted is None or it in wanted])
        check_rows(rows, opened.footer, path)
        return plain_table(rows)


def read_footer(storage: Storage, sidecar: str, *, check: bool = True) -> Footer:
    """Return the footer document of a sidecar.

    Parameters
    ----------
    check
        False: also of one that contradicts itself or its name, for those who only ask which files
        it may be about.

    Raises
    ------
    ManifestError
        When it cannot be read.
    """
    path = storage.path_of(sidecar)
    with _reading(path), storage.open(sidecar) as source, _opened(source, path) as opened:
        if check:
            check_stated(opened, path)
        return opened.footer


def read_footer_if_ours(storage: Storage, name: str) -> Footer | None:
    """Return the footer document of a sidecar, None of a Parquet file of others.

    Raises
    ------
    ManifestError
        When it cannot be read: what it is, is not known then.
    """
    with _reading(storage.path_of(name)), storage.open(name) as source:
        metadata = pq.read_metadata(source)
        if not is_sidecar(metadata, has_tar=_is_there(storage, tar_name(shard_of(name)))):
            return None
    return read_footer(storage, name)


def _is_there(storage: Storage, name: str) -> bool:
    try:
        storage.stat(name)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


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
    schema
        The columns that it has together with the shards beside it, but the pictures.
    """

    storage: Storage
    sidecar: str
    footer: Footer
    num_rows: int
    schema: pa.Schema

    @property
    def path(self) -> str:
        """Path of its sidecar."""
        return self.storage.path_of(self.sidecar)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of its rows, in this order, with the types of `schema`.

        Raises
        ------
        ManifestError
            When the sidecar cannot be read.
        SchemaError
            When a value does not fit the wider type.
        """
        rows = read_rows(self.storage, self.sidecar, columns)
        return conformed(rows, pa.schema([self.schema.field(name) for name in columns]))

    def has_member(self) -> npt.NDArray[np.bool_]:
        """Return which rows have no error: (N,)."""
        if not self.footer.num_errors:
            return np.ones(self.num_rows, np.bool_)
        has_member: npt.NDArray[np.bool_] = self.read(["error"])["error"].is_null().to_numpy()
        return has_member


def rows_of_picture(rows: pa.Table, name: str) -> pa.Table:
    """Return what rows say of a further picture, as columns of those of the picture of all.

    Raises
    ------
    SchemaError
        When they say nothing of it, though the options of the dataset name it.
    """
    if name not in rows.column_names:
        expected = "a column that says where further pictures are"
        raise SchemaError(name, expected, f"columns {rows.column_names}")
    columns = {it: pc.struct_field(rows[name], it) for it in PICTURE_SCHEMA.names}
    return pa.table({"tar_file": rows["tar_file"], **columns})


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
    ChecksumError, MissingFileError, StorageError
        See `read_pictures`.
    """
    places = places_of(storage, rows)
    return read_pictures(places, rows["checksum"].to_pylist() if check else None)


def places_of(storage: Storage, rows: pa.Table) -> Places:
    """Return where the picture of each row is; rows as `fetch_pictures` takes them."""
    tars = rows["tar_file"].combine_chunks().dictionary_encode()
    has_picture = pc.is_valid(rows["offset"]).to_numpy()
    return Places(
        [(storage, name) for name in tars.dictionary.to_pylist()],
        np.where(has_picture, tars.indices.to_numpy().astype(np.int64), -1),
        pc.fill_null(rows["offset"], 0).to_numpy(),
        pc.fill_null(rows["size"], 0).to_numpy(),
        lambda row: str(rows["member_name"][row]),
    )


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
        rows = sidecar.read(columns)
        check_rows(rows, footer, path)
    if rows["member_name"].null_count:
        rows = rows.filter(pc.is_valid(rows["member_name"]))
    listed = (shard.tar, shard.tar_checksum, shard.num_images)
    stated = (footer.tar_file, footer.tar_checksum, len(rows))
    if stated != listed:
        raise ManifestError(path, f"the sidecar of {listed}", f"that of {stated}")
    return tar_layout(footer, in_one_chunk(rows), path)
