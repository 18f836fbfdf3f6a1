"""Checked batches: encoded part by part, on several threads."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.splits import split_for_workers
from arrowimg._core.threads import begun_on_threads
from arrowimg._format.samples import Samples
from arrowimg._format.tar import sample_nbytes
from arrowimg._images.rows import CheckedRows, StoredRows, encode_rows
from arrowimg._write.prepare import CheckedBatch, NamedRows, refuse
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from arrowimg._write.options import WriteOptions

logger = logging.getLogger("arrowimg")
# Who does not ask for them sees no warnings: the rows that they are about are written.
logger.addHandler(logging.NullHandler())

_ENCODED_ROWS = 1024
_ENCODED_NBYTES = 48 * 2**20
_LEAST_ENCODED_NBYTES = 4 * 2**20
_PARTS_AHEAD = 4


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
    is_copied
        True where every picture is a file that is copied, so that nothing is encoded.
    """

    tar_nbytes: npt.NDArray[np.int64]
    error_codes: Counter[str]
    parts: Iterator[Samples]
    is_copied: bool


def encode_batch(
    batch: CheckedBatch, options: WriteOptions, *, is_last: bool = True
) -> EncodedBatch:
    """Begin to encode a batch on several threads. The bytes depend neither on these nor the parts.

    Where it is not known yet which rows will have a member, or how large these may be, all are
    encoded before this returns.

    Parameters
    ----------
    is_last
        False: others follow at once, so that no thread is idle where one part ends late.

    Raises
    ------
    ImageError
        When a picture cannot be decoded, or is too large for any tar, and ``options.on_error`` is
        ``"raise"``.
    """
    threads = 1 if batch.is_copied else options.threads
    encoded = begun_on_threads(
        lambda part: _encode_part(*part, options),
        _split_batch(batch, threads, is_last=is_last),
        threads,
        _PARTS_AHEAD * threads,
        is_helped=True,
    )
    problems, first_row = batch.problems(), batch.rows.first_row
    if batch.has_files_to_decode or options.max_bytes_per_tar is not None:
        settled = list(encoded)
        for _, found in settled:
            problems |= found
        refuse(problems, batch.rows, options)
        parts = [samples for samples, _ in settled]
        nbytes = np.concatenate([np.zeros(0, np.int64), *(part.tar_nbytes() for part in parts)])
        return EncodedBatch(nbytes, _count_codes(problems), iter(parts), batch.is_copied)
    has_member = np.ones(batch.rows.num_rows, np.int64)
    has_member[[row - first_row for row in problems]] = 0
    accepted = _accepted(encoded, batch.rows, options)
    return EncodedBatch(has_member, _count_codes(problems), accepted, batch.is_copied)


def _accepted(
    encoded: Iterator[tuple[Samples, dict[int, Problem]]], rows: NamedRows, options: WriteOptions
) -> Iterator[Samples]:
    for samples, problems in encoded:
        # OpenCV takes all pixels that keep the contract; should it not, no row may be lost.
        refuse(problems, rows, options)
        yield samples


def _count_codes(problems: dict[int, Problem]) -> Counter[str]:
    return Counter(str(problem.code) for problem in problems.values())


def _split_batch(
    batch: CheckedBatch, threads: int, *, is_last: bool
) -> Iterator[tuple[NamedRows, CheckedRows]]:
    """Yield the parts of a batch: rows that are encoded in one go, and their images."""
    nbytes = [run.pixel_nbytes for run in batch.runs]
    nbytes_after, first = sum(int(each.sum()) for each in nbytes), 0
    fractions = 2 * threads if is_last and threads > 1 else 1
    largest = max((int(each.max(initial=0)) for each in nbytes), default=0)
    # As many parts as threads, none of which is what the last picture was too large for.
    share = max(_LEAST_ENCODED_NBYTES, nbytes_after // threads + largest)
    most_nbytes = _ENCODED_NBYTES if is_last else min(_ENCODED_NBYTES, share)
    for run, each in zip(batch.runs, nbytes, strict=True):
        most_rows = max(1, len(run)) if run.is_copied else _ENCODED_ROWS
        nbytes_after -= int(each.sum())
        for part in split_for_workers(
            each, most_nbytes, most_rows, _LEAST_ENCODED_NBYTES, fractions, nbytes_after
        ):
            rows = batch.rows.slice(first + part.start, first + part.stop)
            yield rows, run.slice(part.start, part.stop)
        first += len(run)


def _encode_part(
    rows: NamedRows, run: CheckedRows, options: WriteOptions
) -> tuple[Samples, dict[int, Problem]]:
    """Return the samples of a part, and what is wrong with them, by number of the row."""
    images = encode_rows(run, options.rules)
    for row, note in images.notes.items():
        image_id = rows.names["image_id"][row].as_py()
        logger.warning("row %d (image_id %r): %s", rows.first_row + row, image_id, note)
    if options.max_members_nbytes is not None:
        images = _without_oversized(images, rows.members, options.max_members_nbytes)
    stored, *others = images.columns()
    stored["quarantined"] = (
        images.quarantined(run)
        if options.keep_quarantined
        else pa.nulls(len(run), pa.large_binary())
    )
    arrays = [*(column.chunk(0) for column in rows.names.columns), *stored.values()]
    table = pa.Table.from_arrays(arrays, names=[*rows.names.column_names, *stored])
    structs = [pa.StructArray.from_arrays([*it.values()], names=[*it]) for it in others]
    pictures = pa.table(dict(zip([*run.runs][1:], structs, strict=True)))
    problems = {rows.first_row + row: problem for row, problem in images.problems.items()}
    return Samples(table, rows.metadata, rows.members, pictures), problems


def _without_oversized(images: StoredRows, members: pa.Table, most_nbytes: int) -> StoredRows:
    """Return the images, those that no tar may hold as problems."""
    columns = [it.data for it in images.images.values()]
    nbytes = sample_nbytes([*columns, *(column.chunk(0) for column in members.columns)])
    bad = images.problems
    return images.with_problems(
        {
            row: Problem(ErrorCode.EXCEEDS_TAR, f"a sample of {nbytes[row]:,} bytes")
            for row in np.flatnonzero(nbytes > most_nbytes).tolist()
            if row not in bad
        }
    )
