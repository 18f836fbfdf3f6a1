"""Rows read back from sidecars, and their pictures from the tars."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arrowimg._core.binary import value_offsets
from arrowimg._format.layout import _COLUMNS, Layout, _layout, _only
from arrowimg._format.members import columns_of, extra_members
from arrowimg._format.sidecar import parse_footer
from arrowimg._storage.names import check_file_name
from arrowimg._storage.ranges import Places, read_pictures
from arrowimg.errors import ManifestError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from arrowimg._format.manifest import ShardEntry
    from arrowimg._storage.base import Storage


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
    try:
        with (
            storage.open(shard.parquet) as opened,
            pq.ParquetFile(opened, pre_buffer=False) as file,
        ):
            footer = parse_footer(file.metadata.metadata, path)
            members: dict[str, Any] = footer.options.get("members", {})
            columns = list(dict.fromkeys([*_COLUMNS, *columns_of(members)]))
            table = file.read(columns=columns, use_threads=False)
        if table["member_name"].null_count:
            table = table.filter(pc.is_valid(table["member_name"]))
        rows = table.combine_chunks()
        sizes = _member_sizes(rows, members)
    except FileNotFoundError as error:
        raise ManifestError(path, "the sidecar of a listed shard", "no file") from error
    except (pa.ArrowException, OSError, KeyError, SchemaError) as error:
        found = f"{type(error).__name__}: {error}"
        raise ManifestError(path, "a Parquet sidecar of arrowimg", found) from error
    listed = (shard.tar, shard.tar_checksum, shard.num_images)
    stated = (footer.tar_file, footer.tar_checksum, len(rows))
    if stated != listed:
        raise ManifestError(path, f"the sidecar of {listed}", f"that of {stated}")
    return _layout(rows, sizes, footer.tar_file, footer.tar_nbytes, path)


def _member_sizes(rows: pa.Table, members: dict[str, Any]) -> dict[str, npt.NDArray[np.int64]]:
    """Return the bytes of each extension's members, (N,) int64 each, in the order of the tar."""
    data = extra_members(rows, members)
    sizes = {name: np.diff(value_offsets(_only(data[name]))) for name in data.column_names}
    sizes["jpg"] = rows["size"].to_numpy()
    return dict(sorted(sizes.items()))
