"""Metadata frames joined to the images, one row to one image.

Polars matches ids to rows; Arrow carries the columns, so that types Polars does not have (decimals
of 256 bits, dictionaries of small integers, maps) come out as they went in.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from arrowimg._core.frames.polars_threads import check_polars_threads
from arrowimg._core.plain_types import plain_table
from arrowimg._core.tables import as_table, beside, text_column
from arrowimg.errors import MetadataJoinError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

_ID, _ROW = "image_id", "metadata_row"

_EXAMPLES = 3
_ONE_IMAGE = "every image_id once in the images"
_ONE_ROW = "metadata for every image_id"
_NO_REST = "an image for every row of metadata"


class MetadataFrame:
    """Metadata by ``image_id``, handed out batch by batch, each row once.

    Parameters
    ----------
    source
        Anything that speaks Arrow, or a `polars.LazyFrame`, with a column to join on.
    left, right
        Names of the columns that are joined on, of the images and of the metadata.

    Attributes
    ----------
    columns
        All but the one that is joined on.
    names
        Names of all columns.

    Raises
    ------
    SchemaError
        When there is no column to join on.
    MetadataJoinError
        When an id is null or given twice.
    """

    def __init__(self, source: object, left: str = _ID, right: str = _ID) -> None:
        check_polars_threads()
        frame = source.collect() if isinstance(source, pl.LazyFrame) else source
        table = plain_table(as_table(frame))
        self.left, self.names = left, table.column_names
        if self.names.count(right) != 1:
            expected = "a column of strings or integers in metadata"
            advice = (
                f'pass on=("{left}", COLUMN), --on {left}=COLUMN on the command line, with the '
                "column of metadata"
                if self.names
                else ""
            )
            raise SchemaError(right, expected, str(self.names), advice)
        self.columns = table.drop_columns([right])
        self._rows = _text_ids(text_column(table[right], right)).with_row_index(_ROW)
        self._is_used = np.zeros(table.num_rows, np.bool_)
        self._taken = np.empty(0, np.int64)
        repeated = self._rows.filter(pl.col(_ID).is_duplicated() | pl.col(_ID).is_null())
        _refuse(repeated[_ID].unique(maintain_order=True), "every image_id once in metadata")

    def check_ids(self, image_ids: pa.ChunkedArray) -> None:
        """Raise `MetadataJoinError` when these images, all there are, do not match one to one."""
        asked = _text_ids(image_ids)
        repeated = asked.filter(pl.col(_ID).is_duplicated())
        _refuse(repeated[_ID].unique(maintain_order=True), _ONE_IMAGE)
        without = asked.join(self._rows, on=_ID, how="anti")[_ID]
        rest = self._rows.join(asked, on=_ID, how="anti")[_ID]
        _refuse(without, _ONE_ROW, rest)
        _refuse(rest, _NO_REST)

    def take(self, image_ids: pa.ChunkedArray) -> pa.Table:
        """Return the metadata of these images, in their order.

        Raises
        ------
        MetadataJoinError
            When an id has no metadata, or was handed out before.
        """
        asked = _text_ids(image_ids)
        # Only the rows that are asked for are hashed: the frame may be a thousand batches long.
        wanted = self._rows.join(asked, on=_ID, how="semi")
        found = asked.join(wanted, on=_ID, how="left", maintain_order="left")
        without = found.filter(pl.col(_ROW).is_null())[_ID]
        if len(without):
            is_left = pl.Series(~self._is_used)
            rest = self._rows.filter(is_left).join(asked, on=_ID, how="anti")[_ID]
            _refuse(without, _ONE_ROW, rest)
        rows = found[_ROW].to_numpy()
        is_repeated = found[_ID].is_duplicated().to_numpy() | self._is_used[rows]
        _refuse(found[_ID].filter(pl.Series(is_repeated)), _ONE_IMAGE)
        self._taken = rows
        return self.columns.take(pa.array(rows))

    def join(self, table: pa.Table) -> pa.Table:
        """Return a table with the columns that belong to its ids, see `with_metadata`."""
        return with_metadata(table, self.take, self.left)

    def confirm(self) -> None:
        """Count the rows taken last as used: their images will be written."""
        self._is_used[self._taken] = True

    def check_all_used(self) -> None:
        """Raise `MetadataJoinError` when a row of metadata had no image."""
        _refuse(self._rows.filter(pl.Series(~self._is_used))[_ID], _NO_REST)


def with_metadata(
    table: pa.Table, find: Callable[[pa.ChunkedArray], pa.Table], left: str = _ID
) -> pa.Table:
    """Return a table of images with the columns that `find` has for its ids.

    Raises
    ------
    SchemaError
        When the table has no column to join on.
    """
    if left not in table.column_names:
        raise SchemaError(left, "a column to join metadata on", f"columns {table.column_names}")
    return beside(table, find(text_column(table[left], left)))


def _text_ids(image_ids: pa.ChunkedArray) -> pl.DataFrame:
    return pl.DataFrame({_ID: pl.Series(image_ids.cast(pa.large_string()), dtype=pl.String)})


def _refuse(image_ids: pl.Series, expected: str, others: pl.Series | None = None) -> None:
    if len(image_ids):
        rest = [] if others is None else others.to_list()
        advice = _remedy(image_ids.drop_nulls().to_list(), set(rest))
        raise MetadataJoinError(expected, image_ids.to_list(), rest[:_EXAMPLES], advice)


def _remedy(image_ids: list[str], others: set[str]) -> str:
    """Return what makes ids of the images those of the metadata, empty where nothing known does."""
    for change, advice in _REMEDIES:
        changed = {change(it) for it in image_ids}
        if not changed.isdisjoint(map(change, others)):
            return advice
    return ""


def _without_suffix(text: str) -> str:
    return PurePosixPath(text).with_suffix("").as_posix() if PurePosixPath(text).name else text


_SUFFIX = (
    'they differ in the suffix: for picture files pass on="file_name", which has it, or '
    'on=("file_name", COLUMN), --on file_name=COLUMN, with the column of metadata; else take it off'
)
_FOLDER = (
    "they differ in the folder: take it off, or add it; of picture files, image_path has it all: "
    'on=("image_path", COLUMN), --on image_path=COLUMN'
)

_REMEDIES: tuple[tuple[Callable[[str], str], str], ...] = (
    (_without_suffix, _SUFFIX),
    (
        lambda text: text.lstrip("0"),
        "they differ in leading zeros: read the ids as text, or pass the file itself as metadata",
    ),
    (lambda text: PurePosixPath(text).name, _FOLDER),
    (
        lambda text: _without_suffix(PurePosixPath(text).name),
        "they differ in folder and suffix: take them off",
    ),
    (lambda text: text.strip().casefold(), "they differ in case, or in blanks around them"),
)
"""What ids may differ in, the likely first, and what to do then."""
