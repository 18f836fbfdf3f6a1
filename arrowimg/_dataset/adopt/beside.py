"""Parquet beside a tar: what img2dataset, NeMo Curator and others say of its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arrowimg._core.plain_types import plain_table
from arrowimg._core.tables import in_one_chunk
from arrowimg._format.column_types import is_written_type
from arrowimg._format.names import SIDECAR_SUFFIX, TAR_SUFFIX
from arrowimg._format.sidecar import FOOTER_KEY
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections import Counter

    from arrowimg._storage.base import Storage

_KEYS = ("key", "__key__", "member_name", "image_id")
"""Columns that tell the sample of a row: of img2dataset, webdataset's own word, of NeMo Curator."""

_MEANT_ALREADY = ("tar_file", "member_name", "__key__", "key")
_MOST_ROWS = 2**24
_UNREADABLE = (pa.ArrowException, OSError, KeyError, ValueError, OverflowError)


def rows_beside(
    storage: Storage, tar_file: str, keys: pa.Array, names: pa.Array, notices: Counter[str]
) -> pa.Table | None:
    """Return the rows of the Parquet file beside a tar, one for each sample; None of none.

    Parameters
    ----------
    tar_file
        Path of the tar in the storage.
    keys, names
        (N,) key and picture's member of each sample.
    notices
        What is not as it should be is counted here.

    Returns
    -------
    pyarrow.Table
        Columns without those that tell the sample; null where no row is of it.
    """
    name = tar_file.removesuffix(TAR_SUFFIX) + SIDECAR_SUFFIX
    try:
        with storage.open(name) as file, pq.ParquetFile(file, pre_buffer=False) as parquet:
            metadata, columns = parquet.metadata, parquet.schema_arrow.names
            key = next((it for it in _KEYS if it in columns), None)
            is_ours = FOOTER_KEY.encode() in (metadata.metadata or {})
            if key is None or is_ours or metadata.num_rows > _MOST_ROWS:
                notices["Parquet beside a tar that has no column of keys"] += not is_ours
                return None
            table = plain_table(parquet.read())
        values = table[key].cast(pa.string()).combine_chunks()
    except FileNotFoundError:
        return None
    except (*_UNREADABLE, SchemaError):
        notices["Parquet beside a tar that cannot be read"] += 1
        return None
    wanted = names if key == "member_name" else keys
    rows = pc.index_in(wanted, value_set=values)
    unmatched = len(table) - pc.count_distinct(rows).as_py()
    notices["rows of Parquet beside a tar whose sample is not in it"] += unmatched
    kept = [
        field.name
        for field in table.schema
        if field.name not in _MEANT_ALREADY and is_written_type(field)
    ]
    return in_one_chunk(table.select(kept).take(rows))
