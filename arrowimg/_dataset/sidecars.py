"""Rows read back from sidecars, and their pictures from the tars."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arrowimg._storage.local import check_file_name
from arrowimg._storage.ranges import Places, read_pictures
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from arrowimg._storage.local import Storage


@contextmanager
def open_sidecar(storage: Storage, sidecar: str) -> Iterator[pq.ParquetFile]:
    """Open a sidecar; what cannot be read of it, then or within the block, is a `ManifestError`."""
    path = storage.path_of(sidecar)
    try:
        with storage.open(sidecar) as source, pq.ParquetFile(source, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, FileNotFoundError) as error:
        raise ManifestError(path, "a Parquet sidecar of arrowimg", str(error)) from error


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
    with open_sidecar(storage, sidecar) as file:
        names = [name for name in file.schema_arrow.names if name != "image_data"]
        return file.read([it for it in names if columns is None or it in columns])


def pictures_of(storage: Storage, rows: pa.Table, *, check: bool = True) -> pa.LargeBinaryArray:
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
        [storage.path_of(name) for name in tars.dictionary.to_pylist()],
        np.where(has_picture, tars.indices.to_numpy().astype(np.int64), -1),
        pc.fill_null(rows["offset"], 0).to_numpy(),
        pc.fill_null(rows["size"], 0).to_numpy(),
        rows["member_name"].to_pylist(),
    )
    return read_pictures(places, rows["checksum"].to_pylist() if check else None)
