"""Batches: rows named, images checked as a whole."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.threads import map_on_threads
from arrowimg._format.column_types import metadata_columns, wider_columns, written_columns
from arrowimg._format.keys import sample_key_column
from arrowimg._format.members import check_members, extra_members
from arrowimg._format.sidecar import check_names
from arrowimg._images.check import check_run
from arrowimg._images.columns import ImageRun, image_runs
from arrowimg._images.identity import Identity
from arrowimg._images.rows import (
    CheckedRows,
    further_runs,
    in_step,
    short_runs,
)
from arrowimg.errors import ImageError, Problem, RowProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arrowimg._write.options import WriteOptions


class NamedRows(Struct, frozen=True):
    """Rows of a batch: all that is known of them but their images.

    Attributes
    ----------
    names
        Columns key, image_id and original_path, one chunk each.
    metadata, members
        The user's columns, and the data of extra members by extension.
    first_row
        Number of the first row in errors.
    """

    names: pa.Table
    metadata: pa.Table
    members: pa.Table
    first_row: int

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.names.num_rows)

    def slice(self, start: int, stop: int) -> NamedRows:
        """Return some of the rows; nothing is copied."""
        tables = (self.names, self.metadata, self.members)
        names, metadata, members = (table.slice(start, stop - start) for table in tables)
        return NamedRows(names, metadata, members, self.first_row + start)


def name_rows(
    table: pa.Table,
    options: WriteOptions,
    unnamed_prefix: str,
    first_row: int = 0,
    schema: pa.Schema | None = None,
) -> NamedRows:
    """Give each row of a batch its sample key, and check its metadata.

    Parameters
    ----------
    table
        Not changed.
    unnamed_prefix
        What the keys of rows without an id start with, see `sample_keys`.
    first_row
        Number of the first row, in such keys and in errors.
    schema
        Metadata columns that it has together with other batches. None: its own.

    Raises
    ------
    DuplicateIdError, SampleKeyError
        When ids cannot be member names.
    SchemaError
        When a column is missing, of a type that cannot be written, or has a name that is taken.
    """
    columns = metadata_columns(table, options.rules)
    check_names(columns.column_names)
    check_names([name for name in options.rules if name != options.image_column])
    metadata = written_columns(columns)
    if schema is not None:
        metadata = wider_columns(metadata, schema, table.num_rows)
    check_members(metadata.schema, options.members)
    identity = Identity.of(table, options.image_column)
    keys = sample_key_column(identity.image_ids, unnamed_prefix, first_row, options.keys)
    names = {
        "key": keys,
        "image_id": identity.image_ids,
        "original_path": identity.original_paths,
    }
    return NamedRows(pa.table(names), metadata, extra_members(metadata, options.members), first_row)


def picture_runs(table: pa.Table, options: WriteOptions) -> dict[str, list[ImageRun]]:
    """Return the images of each column that holds some, see `image_runs`.

    Raises
    ------
    SchemaError
        When a column is missing or of a type that holds no images.
    """
    first, *others = options.rules
    runs = {first: image_runs(table, first)}
    return runs | {name: further_runs(table, name) for name in others}


class CheckedBatch(Struct, frozen=True):
    """A batch that can be written, as far as can be known without decoding or encoding.

    Attributes
    ----------
    rows
        All but the images.
    runs
        The images of consecutive rows.
    """

    rows: NamedRows
    runs: list[CheckedRows]

    @property
    def is_copied(self) -> bool:
        """True where every picture is a file that is copied."""
        return all(run.is_copied for run in self.runs)

    @property
    def has_files_to_decode(self) -> bool:
        """True where a picture is a file that is decoded, which may turn out to be damaged."""
        return any(run.has_files_to_decode for run in self.runs)

    def problems(self) -> dict[int, Problem]:
        """Return what is known to be wrong, by number of the row."""
        starts = np.cumsum([self.rows.first_row, *map(len, self.runs)]).tolist()
        return {
            start + row: problem
            for start, run in zip(starts, self.runs, strict=False)
            for row, problem in run.problems.items()
        }


def check_batch(
    rows: NamedRows, runs: Mapping[str, Iterable[ImageRun]], options: WriteOptions
) -> CheckedBatch:
    """Check the images of a batch against the contract, as a whole. None is decoded or encoded.

    Parameters
    ----------
    runs
        As `picture_runs` returns them.

    Raises
    ------
    ImageError
        When pictures break the contract and ``options.on_error`` is ``"raise"``.
    """
    rules = options.rules
    columns = {name: [it for run in each for it in short_runs(run)] for name, each in runs.items()}
    short = [(run, rules[name]) for name, each in columns.items() for run in each]
    # Not behind what is still encoded of the batch before.
    checked = map_on_threads(
        lambda each: check_run(*each), short, options.threads, len(short) + 1, "look"
    )
    in_order = {name: list(islice(checked, len(each))) for name, each in columns.items()}
    batch = CheckedBatch(rows, in_step(in_order))
    refuse(batch.problems(), rows, options)
    return batch


def refuse(problems: dict[int, Problem], rows: NamedRows, options: WriteOptions) -> None:
    """Raise `ImageError` with all problems, unless bad rows are quarantined."""
    if not problems or options.on_error != "raise":
        return
    image_ids = rows.names["image_id"]
    listed = [
        RowProblem(row, image_ids[row - rows.first_row].as_py(), problem.code, problem.found)
        for row, problem in sorted(problems.items())
    ]
    raise ImageError(listed, rows.num_rows)
