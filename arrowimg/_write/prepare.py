"""Batches: checked as a whole before anything is encoded, then encoded part by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.splits import split_for_workers
from arrowimg._core.tables import plain_table
from arrowimg._core.threads import map_on_threads
from arrowimg._format.keys import sample_key_column
from arrowimg._format.members import check_members, extra_members
from arrowimg._format.samples import Samples
from arrowimg._format.sidecar import check_metadata
from arrowimg._format.tar import sample_nbytes
from arrowimg._images.check import CheckedPixels, CheckedRun, check_run
from arrowimg._images.columns import Files, ImageRun, image_runs
from arrowimg._images.encode import StoredImages, encode_run, quarantined_bytes
from arrowimg._images.identity import Identity
from arrowimg.errors import ErrorCode, ImageError, Problem, RowProblem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arrowimg._images.batch import ImageBatch
    from arrowimg._write.options import WriteOptions

_CHECKED_PICTURES = 1024
_CHECKED_FILES = 2**13
_ENCODED_ROWS = 1024
_ENCODED_NBYTES = 48 * 2**20
_LEAST_ENCODED_NBYTES = 4 * 2**20
_PARTS_AHEAD = 4


class CheckedBatch(Struct, frozen=True):
    """A batch that can be written, as far as can be known without decoding or encoding.

    Attributes
    ----------
    names
        Columns key, image_id and original_path.
    metadata, members
        The user's columns, and the data of extra members by extension.
    runs
        The images of consecutive rows.
    first_row
        Number of the first row in errors.
    """

    names: pa.Table
    metadata: pa.Table
    members: pa.Table
    runs: list[CheckedRun]
    first_row: int

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.names.num_rows)

    @property
    def is_copied(self) -> bool:
        """True where every picture is a file that is copied."""
        return all(run.is_copied for run in self.runs)

    def is_certain(self, options: WriteOptions) -> bool:
        """Tell whether it is known now which rows will have a member."""
        are_known = (run.is_copied or isinstance(run, CheckedPixels) for run in self.runs)
        return options.max_bytes_per_tar is None and all(are_known)

    def problems(self) -> dict[int, Problem]:
        """Return what is known to be wrong, by row of the batch."""
        starts = np.cumsum([0, *map(len, self.runs)]).tolist()
        return {
            start + row: problem
            for start, run in zip(starts, self.runs, strict=False)
            for row, problem in run.problems.items()
        }


def check_batch(
    batch: ImageBatch, options: WriteOptions, unnamed_prefix: str, first_row: int = 0
) -> CheckedBatch:
    """Hold a batch against the contract, as a whole. Nothing is decoded or encoded.

    Parameters
    ----------
    batch
        Not changed.
    options
        What the caller chose.
    unnamed_prefix
        What the keys of rows without an id start with, see `sample_keys`.
    first_row
        Number of the batch's first row, in such keys and in errors.

    Raises
    ------
    ImageError
        When pictures break the contract and ``options.on_error`` is ``"raise"``.
    DuplicateIdError, SampleKeyError
        When ids cannot be member names.
    SchemaError
        When a column is missing, of a type that cannot be written, or has a name that is taken.
    """
    metadata = _metadata_of(batch.data, options)
    identity = Identity.of(batch.data, options.image_column)
    keys = sample_key_column(identity.image_ids, unnamed_prefix, first_row, options.keys)
    names = {
        "key": keys,
        "image_id": identity.image_ids,
        "original_path": identity.original_paths,
    }
    runs = image_runs(batch.data, options.image_column)
    checked = CheckedBatch(
        pa.table(names),
        metadata,
        extra_members(metadata, options.members),
        _check_runs(runs, options),
        first_row,
    )
    _raise_problems(checked.problems(), checked, options)
    return checked


class EncodedBatch(Struct, frozen=True):
    """A batch that is being encoded: what is known of its rows, and the rows.

    Attributes
    ----------
    tar_nbytes
        (N,) int64: bytes that each row takes in a tar, 0 for a row with an error. Where
        ``max_bytes_per_tar`` is None, any number above 0.
    error_codes
        Number of bad rows by error code.
    parts
        The rows, part by part, in order; most are encoded when they are asked for, or just before.
    """

    tar_nbytes: npt.NDArray[np.int64]
    error_codes: Counter[str]
    parts: Iterator[Samples]


def encode_batch(batch: CheckedBatch, options: WriteOptions) -> EncodedBatch:
    """Encode a batch on several threads. The bytes depend neither on these nor on the parts.

    Where it is not certain which rows will have a member, all are encoded before this returns.

    Raises
    ------
    ImageError
        When a picture cannot be decoded, or is too large for any tar, and ``options.on_error`` is
        ``"raise"``.
    """
    threads = 1 if batch.is_copied else options.threads

    def encode(part: tuple[CheckedRun, slice]) -> tuple[Samples, dict[int, Problem]]:
        return _encode_part(batch, *part, options)

    encoded = map_on_threads(encode, _parts_of(batch, threads), threads, _PARTS_AHEAD * threads)
    problems = batch.problems()
    if batch.is_certain(options):
        has_member = np.ones(batch.num_rows, np.int64)
        has_member[list(problems)] = 0
        return EncodedBatch(has_member, _codes(problems), _sound(encoded, batch, options))
    settled = list(encoded)
    for _, found in settled:
        problems |= found
    _raise_problems(problems, batch, options)
    nbytes = [samples.tar_nbytes() for samples, _ in settled]
    return EncodedBatch(
        np.concatenate([np.zeros(0, np.int64), *nbytes]),
        _codes(problems),
        iter([samples for samples, _ in settled]),
    )


def _sound(
    encoded: Iterator[tuple[Samples, dict[int, Problem]]],
    batch: CheckedBatch,
    options: WriteOptions,
) -> Iterator[Samples]:
    for samples, problems in encoded:
        # OpenCV takes all pixels that keep the contract; should it not, no row may be lost.
        _raise_problems(problems, batch, options)
        yield samples


def _codes(problems: dict[int, Problem]) -> Counter[str]:
    return Counter(str(problem.code) for problem in problems.values())


def _check_runs(runs: Iterable[ImageRun], options: WriteOptions) -> list[CheckedRun]:
    pieces = [piece for run in runs for piece in _pieces(run)]
    checked = map_on_threads(
        lambda run: check_run(run, options.pixels, reencode=options.reencode),
        pieces,
        options.threads,
        len(pieces) + 1,
    )
    return list(checked)


def _pieces(run: ImageRun) -> Iterator[ImageRun]:
    """Yield what is checked in one go."""
    if isinstance(run, Files):
        for start in range(0, len(run), _CHECKED_FILES):
            yield Files(run.data.slice(start, _CHECKED_FILES))
    else:
        for start in range(0, len(run), _CHECKED_PICTURES):
            yield run[start : start + _CHECKED_PICTURES]


def _parts_of(batch: CheckedBatch, threads: int) -> Iterator[tuple[CheckedRun, slice]]:
    """Yield images that are encoded in one go, and which rows of the batch they are."""
    shares = 1 if threads == 1 else 2 * threads
    works = [_work_of(run) for run in batch.runs]
    work_after, first = sum(int(work.sum()) for work in works), 0
    for run, work in zip(batch.runs, works, strict=True):
        most_rows = max(1, len(run)) if run.is_copied else _ENCODED_ROWS
        work_after -= int(work.sum())
        for rows in split_for_workers(
            work, _ENCODED_NBYTES, most_rows, _LEAST_ENCODED_NBYTES, shares, work_after
        ):
            part = run.slice(rows.start, rows.stop)
            yield part, slice(first + rows.start, first + rows.stop)
        first += len(run)


def _work_of(run: CheckedRun) -> npt.NDArray[np.int64]:
    """Return the bytes of pixels that are encoded for each row: (N,)."""
    work = np.zeros(len(run), np.int64)
    if isinstance(run, CheckedPixels) and isinstance(run.pictures, np.ndarray):
        work[:] = run.pictures[0].nbytes
    elif isinstance(run, CheckedPixels):
        work[:] = [0 if isinstance(view, Problem) else view.nbytes for view in run.pictures]
    else:
        for row, header in run.to_decode.items():
            work[row] = 3 * header.height * header.width
    return work


def _encode_part(
    batch: CheckedBatch, run: CheckedRun, rows: slice, options: WriteOptions
) -> tuple[Samples, dict[int, Problem]]:
    """Return the samples of some rows, and what is wrong with them, by row of the batch."""
    names, metadata, members = (
        table.slice(rows.start, rows.stop - rows.start)
        for table in (batch.names, batch.metadata, batch.members)
    )
    images = encode_run(run, options.pixels, options.jpeg)
    if options.max_members_nbytes is not None:
        images = _without_oversized(images, members, options.max_members_nbytes)
    stored = images.columns()
    stored["quarantined"] = (
        quarantined_bytes(run, images.problems)
        if options.keep_quarantined
        else pa.nulls(len(run), pa.large_binary())
    )
    arrays = [*(column.chunk(0) for column in names.columns), *stored.values()]
    table = pa.Table.from_arrays(arrays, names=[*names.column_names, *stored])
    problems = {rows.start + row: problem for row, problem in images.problems.items()}
    return Samples(table, metadata, members), problems


def _without_oversized(images: StoredImages, members: pa.Table, most_nbytes: int) -> StoredImages:
    """Return the images, those that no tar may hold as problems."""
    nbytes = sample_nbytes([images.data, *(column.chunk(0) for column in members.columns)])
    is_over = images.data.is_valid().to_numpy(zero_copy_only=False) & (nbytes > most_nbytes)
    return images.without(
        {
            row: Problem(ErrorCode.EXCEEDS_TAR, f"a sample of {nbytes[row]:,} bytes")
            for row in np.flatnonzero(is_over).tolist()
        }
    )


def _metadata_of(table: pa.Table, options: WriteOptions) -> pa.Table:
    own = (options.image_column, "image_id", "image_path")
    metadata = plain_table(table.select([name for name in table.column_names if name not in own]))
    check_metadata(metadata)
    check_members(metadata.schema, options.members)
    return metadata


def _raise_problems(
    problems: dict[int, Problem], batch: CheckedBatch, options: WriteOptions
) -> None:
    if not problems or options.on_error != "raise":
        return
    image_ids = batch.names["image_id"]
    rows = [
        RowProblem(batch.first_row + row, image_ids[row].as_py(), problem.code, problem.found)
        for row, problem in sorted(problems.items())
    ]
    raise ImageError(rows, batch.num_rows)
