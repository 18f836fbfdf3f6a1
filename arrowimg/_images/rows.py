"""The pictures of rows, those of all columns, checked and encoded together."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._images.check import CheckedFiles, CheckedPixels, CheckedRun
from arrowimg._images.columns import FILES_AND_FAULTS, Files, image_paths, image_runs
from arrowimg._images.encode import StoredImages, encode_run, quarantined_bytes
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from arrowimg._images.columns import ImageRun
    from arrowimg._images.rules import FormatRule

_CHECKED_PICTURES = 1024
_CHECKED_FILES = 2**13


class CheckedRows(Struct, frozen=True):
    """Pictures of consecutive rows that were checked against the contract.

    Attributes
    ----------
    runs
        Those of each column, as many as there are rows; first the one that every sample has.
    """

    runs: dict[str, CheckedRun]

    def __len__(self) -> int:
        return len(next(iter(self.runs.values())))

    @property
    def is_copied(self) -> bool:
        """True where every picture is a file that is copied."""
        return all(run.is_copied for run in self.runs.values())

    @property
    def has_files_to_decode(self) -> bool:
        """True where a picture is a file that is decoded, which may turn out to be damaged."""
        return any(isinstance(it, CheckedFiles) and not it.is_copied for it in self.runs.values())

    @property
    def problems(self) -> dict[int, Problem]:
        """What is known to be wrong, by row."""
        return _merged({name: run.problems for name, run in self.runs.items()})

    @property
    def pixel_nbytes(self) -> npt.NDArray[np.int64]:
        """Bytes of pixels that are encoded for each row: (N,)."""
        nbytes = (_pixel_nbytes(run) for run in self.runs.values())
        return reduce(np.add, nbytes)

    def slice(self, start: int, stop: int) -> CheckedRows:
        """Return some of the rows; nothing is copied."""
        return CheckedRows({name: run.slice(start, stop) for name, run in self.runs.items()})


def further_runs(table: pa.Table, image_column: str) -> list[ImageRun]:
    """Return what `image_runs` does, of pictures that a row need not have.

    What has no bytes, but the path of a file, was not meant to be no picture.

    Raises
    ------
    SchemaError
        When the column is missing or of a type that holds no images.
    """
    paths = image_paths(table, image_column)
    if paths is None or not paths.null_count < len(paths):
        return image_runs(table, image_column)
    data = pc.struct_field(table[image_column], "bytes")
    is_lost = pc.and_(pc.is_null(data), pc.is_valid(paths))
    if not pc.any(is_lost, min_count=0).as_py():
        return image_runs(table, image_column)
    said = pc.binary_join_element_wise("no bytes, but the path ", paths, "")
    faults = pc.if_else(is_lost, said, pa.scalar(None, pa.string()))
    arrays = [data.cast(pa.large_binary()).combine_chunks(), faults.combine_chunks()]
    column = pa.StructArray.from_arrays(arrays, fields=list(FILES_AND_FAULTS))
    return image_runs(pa.table({image_column: column}), image_column)


def short_runs(run: ImageRun) -> Iterator[ImageRun]:
    """Yield what is checked in one go."""
    if isinstance(run, Files):
        for start in range(0, len(run), _CHECKED_FILES):
            yield Files(run.data.slice(start, _CHECKED_FILES))
    else:
        for start in range(0, len(run), _CHECKED_PICTURES):
            yield run[start : start + _CHECKED_PICTURES]


def in_step(columns: Mapping[str, list[CheckedRun]]) -> list[CheckedRows]:
    """Return the runs of several columns cut where any of them begins."""
    if len(columns) == 1:
        ((name, runs),) = columns.items()
        return [CheckedRows({name: run}) for run in runs]
    starts = {name: np.cumsum([0, *map(len, runs)]) for name, runs in columns.items()}
    bounds = sorted({int(start) for each in starts.values() for start in each})

    def cut(name: str, start: int, stop: int) -> CheckedRun:
        at = int(np.searchsorted(starts[name], start, "right")) - 1
        first = int(starts[name][at])
        return columns[name][at].slice(start - first, stop - first)

    return [
        CheckedRows({name: cut(name, *between) for name in columns}) for between in pairwise(bounds)
    ]


class StoredRows(Struct, frozen=True):
    """Pictures of consecutive rows as they will be in the tar. A sample is whole, or has none.

    Attributes
    ----------
    images
        Those of each column, with what is wrong with these themselves.
    """

    images: dict[str, StoredImages]

    @property
    def problems(self) -> dict[int, Problem]:
        """What is wrong, by row."""
        return _merged({name: images.problems for name, images in self.images.items()})

    @property
    def notes(self) -> dict[int, str]:
        """What is worth knowing of pictures that are stored nevertheless, by row."""
        return {row: note for images in self.images.values() for row, note in images.notes.items()}

    def with_problems(self, problems: dict[int, Problem]) -> StoredRows:
        """Return the rows, with more that is wrong with some; nothing is copied."""
        first, *_ = self.images
        return StoredRows({**self.images, first: self.images[first].without(problems)})

    def columns(self) -> list[dict[str, pa.Array]]:
        """Return the columns of each picture, see `StoredImages.columns`; in order."""
        bad, columns = self.problems, list[dict[str, pa.Array]]()
        for images in self.images.values():
            others = {row: it for row, it in bad.items() if row not in images.problems}
            whole = images if columns else images.without(others)
            columns.append((whole.left_out(others) if columns else whole).columns())
        return columns

    def quarantined(self, rows: CheckedRows) -> pa.LargeBinaryArray:
        """Return the offending bytes of bad rows, those of the first picture that is bad."""
        found, seen = list[pa.LargeBinaryArray](), set[int]()
        for name, images in self.images.items():
            bad = {row: it for row, it in images.problems.items() if row not in seen}
            found.append(quarantined_bytes(rows.runs[name], bad))
            seen.update(bad)
        return found[0] if len(found) == 1 else pc.coalesce(*found)


def encode_rows(rows: CheckedRows, rules: Mapping[str, FormatRule]) -> StoredRows:
    """Return the stored form of the pictures; the same ones always give the same bytes."""
    return StoredRows({name: encode_run(run, rules[name]) for name, run in rows.runs.items()})


def _merged(problems: Mapping[str, dict[int, Problem]]) -> dict[int, Problem]:
    """Return one problem of each bad row, that of the first column; which column, it says."""
    found = dict[int, Problem]()
    for at, (name, each) in enumerate(problems.items()):
        for row, problem in each.items():
            said = f"column {name!r}: {problem.found}" if at else problem.found
            found.setdefault(row, Problem(problem.code, said))
    return found


def _pixel_nbytes(run: CheckedRun) -> npt.NDArray[np.int64]:
    nbytes = np.zeros(len(run), np.int64)
    if isinstance(run, CheckedPixels) and isinstance(run.pictures, np.ndarray):
        nbytes[:] = run.pictures[0].nbytes
    elif isinstance(run, CheckedPixels):
        nbytes[:] = [0 if isinstance(view, Problem) else view.nbytes for view in run.pictures]
    else:
        for row, header in run.to_decode.items():
            nbytes[row] = 3 * header.height * header.width
    return nbytes
