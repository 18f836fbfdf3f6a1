"""Splits: each row's by a hash of its id, the same on every machine, in any order."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from msgspec import Struct

from arrowimg._core.option_checks import check_option
from arrowimg._core.tables import rows_where, text_column
from arrowimg._format.manifest import is_split_name
from arrowimg._images.batch import ImageBatch
from arrowimg._write.file_group import FileGroupTask
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._storage.base import Place
    from arrowimg._write.sources.rows import UnreadRows

_HASHES = 2**64


class Splits(Struct, frozen=True):
    """How rows are split.

    A row belongs to the first split whose fraction, and those before it, reach beyond the XXH3-64
    of its id, or of another column's value, taken as a fraction of 2**64.

    Attributes
    ----------
    fractions
        By name, in order; together 1.
    column
        The column whose values are hashed: rows of one value stay together.

    Raises
    ------
    OptionError
        When names are no names of folders, or the fractions are not 1 together.
    """

    fractions: Mapping[str, float]
    column: str = "image_id"

    def __post_init__(self) -> None:
        fractions = self.fractions
        expected = 'fractions by name that are 1 together, for example {"train": 0.9, "val": 0.1}'
        is_mapping = isinstance(fractions, Mapping) and len(fractions) > 0
        are_numbers = is_mapping and all(
            isinstance(it, int | float) and not isinstance(it, bool) and 0 < it <= 1
            for it in fractions.values()
        )
        check_option(are_numbers, "split", expected, fractions)
        total = math.fsum(fractions.values())
        found = f"{dict(fractions)}, {total:g} together"
        check_option(math.isclose(total, 1, rel_tol=0, abs_tol=1e-9), "split", expected, found)
        check_names(fractions)
        check_option(
            isinstance(self.column, str) and self.column, "split_by", "a column", self.column
        )

    def parts(self, batch: ImageBatch) -> Iterator[tuple[str, ImageBatch]]:
        """Yield the rows of a batch that are in each split, in their order.

        Raises
        ------
        SchemaError
            When the column is not there, holds neither strings nor integers, or a null.
        """
        numbers = self.numbers(batch.data)
        for number, name in enumerate(self.fractions):
            is_in = numbers == number
            if is_in.any():
                rows = batch.data if is_in.all() else rows_where(batch.data, is_in)
                yield name, type(batch)(rows)

    def numbers(self, table: pa.Table) -> npt.NDArray[np.int64]:
        """Return the number of each row's split: (N,).

        Raises
        ------
        SchemaError
            As `parts`.
        """
        if self.column not in table.column_names:
            raise SchemaError(self.column, "a column to split by", f"columns {table.column_names}")
        texts = text_column(table[self.column], self.column)
        if texts.null_count:
            expected = "a value in every row to split by"
            advice = "give each row an id, or pass split_by with a column that has no nulls"
            raise SchemaError(self.column, expected, f"{texts.null_count:,} nulls", advice)
        data = texts.cast(pa.large_binary()).to_pylist()
        hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, data), np.uint64, len(data))
        values = list(self.fractions.values())
        ends = [math.fsum(values[: number + 1]) for number in range(len(values) - 1)]
        bounds = np.array([min(int(end * _HASHES), _HASHES - 1) for end in ends], np.uint64)
        return np.searchsorted(bounds, hashes, side="right")


def check_names(names: Mapping[str, object]) -> None:
    """Raise `OptionError` when a split's name is none of a folder."""
    for name in names:
        expected = "names of letters, digits and '_'"
        check_option(isinstance(name, str) and is_split_name(name), "split", expected, name)


class Parts(Struct, frozen=True):
    """The datasets that a source becomes.

    Attributes
    ----------
    names
        Of the datasets; empty where there is one.
    sources
        The sources by the name of the dataset that each becomes, or the one that is split.
    splits
        How that one is split.
    """

    names: list[str]
    sources: dict[str, object]
    splits: Splits | None = None

    def parts(
        self, name: str, batch: ImageBatch | UnreadRows
    ) -> Iterable[tuple[str, ImageBatch | UnreadRows]]:
        """Return the rows of a batch of a source that are in each dataset.

        Those that are not read yet are in one; none are split.
        """
        if self.splits is None or not isinstance(batch, ImageBatch):
            return [(name, batch)]
        return self.splits.parts(batch)


def splits_from(split: Mapping[str, float] | None, split_by: str | None) -> Splits | None:
    """Return how rows are split, None where they are not.

    Raises
    ------
    OptionError
        When that cannot be.
    """
    check_option(split is not None or split_by is None, "split_by", "None without split", split_by)
    return None if split is None else Splits(split, split_by or "image_id")


def parts_of(source: object, split: Mapping[str, float] | None, split_by: str | None) -> Parts:
    """Return the datasets that a source becomes: one, or one for each split.

    Raises
    ------
    OptionError
        When splits are none, or would be splits of splits.
    """
    splits = splits_from(split, split_by)
    is_dict = isinstance(source, Mapping) and type(source).__module__.split(".")[0] == "datasets"
    if not is_dict or not source:
        return Parts(list(splits.fractions) if splits else [""], {"": source}, splits)
    check_option(splits is None, "split", "None for a source that has splits", split)
    by_name = cast("Mapping[object, object]", source)
    found = {str(name): dataset for name, dataset in by_name.items()}
    check_names(found)
    return Parts(list(found), found)


def place_within(output_dir: Place, name: str) -> Place:
    """Return the place of a split in that of a dataset.

    Raises
    ------
    OptionError
        When that is a store that is ready, which has no places within.
    """
    if not name:
        return output_dir
    if isinstance(output_dir, str):
        return f"{output_dir.rstrip('/')}/{name}"
    expected = "a path, or a URL, of which splits are folders"
    check_option(isinstance(output_dir, os.PathLike), "output_dir", expected, output_dir)
    return Path(output_dir) / name  # type: ignore[arg-type]  # as was checked


def joined_groups(groups: Mapping[str, FileGroupTask], output_dir: Place) -> FileGroupTask:
    """Return the files of several splits as one group; ``splits`` in its metadata has each's."""
    counts = {name: 0 for group in groups.values() for name in group.metadata if "num_" in name}
    for group in groups.values():
        for name in counts:
            counts[name] += group.metadata[name]
    metadata = {
        "output_dir": os.fspath(output_dir),  # type: ignore[arg-type]  # as was checked
        "images_per_tar": next(iter(groups.values())).metadata["images_per_tar"],
        **counts,
        "splits": {
            name: group.metadata | {"num_files": len(group.paths)} for name, group in groups.items()
        },
    }
    data = pa.concat_tables([group.data for group in groups.values()])
    return FileGroupTask(data, metadata=metadata)
