"""Everything arrowimg raises on purpose: one tree, built from values.

::

    ArrowimgError
    ├── OptionError               (ValueError)       a choice that cannot be
    ├── KeywordError              (TypeError)        an option that does not exist
    ├── SourceError               (TypeError)        not something that speaks Arrow
    ├── SchemaError               (ValueError)       a table that cannot be written as it is
    ├── ImageError                (ValueError)       rows whose picture breaks the contract
    ├── ErrorFractionError        (ValueError)       more such rows than allowed
    ├── SampleKeyError            (ValueError)       ids that cannot become member names
    │   └── DuplicateIdError                         the same id, or the same name, twice
    ├── MetadataJoinError         (ValueError)       a metadata frame that is not one to one
    ├── ShardConflictError        (FileExistsError)  a committed file has other content
    ├── DatasetConflictError      (FileExistsError)  the folder holds a dataset of other options
    ├── IncompleteError           (RuntimeError)     what workers wrote does not add up
    ├── NotFinishedError          (RuntimeError)     a writer is still open
    ├── NotOpenError              (RuntimeError)     a writer is not open
    ├── BrokenWriterError         (RuntimeError)     a writer lost rows to an error before
    ├── WorkerError               (RuntimeError)     a process that worked for this one died
    ├── ForkedProcessError        (RuntimeError)     a forked process that lacks threads
    ├── StorageError              (OSError)          the file system failed
    ├── MissingFileError          (FileNotFoundError) a file of a dataset that is gone
    ├── ManifestError             (ValueError)       a manifest or footer that cannot be read
    ├── ChecksumError             (ValueError)       bytes that are not those that were written
    └── MissingDependencyError    (ImportError)      an extra that is not installed

Every class also is the built-in error a caller would catch without knowing arrowimg.
The values an error is made of are its attributes and its ``args``, so that errors can be compared,
logged as data, and pickled across processes.
"""

from __future__ import annotations

import errno
import signal
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ArrowimgError",
    "BrokenWriterError",
    "ChecksumError",
    "DatasetConflictError",
    "DuplicateIdError",
    "ErrorCode",
    "ErrorFractionError",
    "ForkedProcessError",
    "ImageError",
    "IncompleteError",
    "KeywordError",
    "ManifestError",
    "MetadataJoinError",
    "MissingDependencyError",
    "MissingFileError",
    "NotFinishedError",
    "NotOpenError",
    "OptionError",
    "Problem",
    "RowProblem",
    "SampleKeyError",
    "SchemaError",
    "ShardConflictError",
    "SourceError",
    "StorageError",
    "WorkerError",
]

LISTED_AT_MOST = 10
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SIGNALS = frozenset(signal.Signals)


def printable(text: str) -> str:
    r"""Return text that no terminal takes for a command: on one line, ``\x1b`` for an escape.

    Whatever `str.isprintable` says no to is escaped: control characters, line ends, marks that turn
    the direction of text, bytes of a file's name that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )


def printable_lines(text: str) -> str:
    """Return text as `printable` does, line by line."""
    return "\n".join(map(printable, text.split("\n")))


class ErrorCode(StrEnum):
    """Why a row has no member: the values of the sidecar's ``error`` column."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    DTYPE = "dtype"
    MASKED = "masked"
    NDIM = "ndim"
    EMPTY = "empty"
    LAYOUT = "layout"
    CHANNELS = "channels"
    TOO_LARGE = "too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    SHAPE = "shape"
    UNKNOWN_FORMAT = "unknown_format"
    OTHER_FORMAT = "other_format"
    UNSUPPORTED = "unsupported"
    CORRUPT = "corrupt"
    TRUNCATED = "truncated"
    TOO_MANY_SCANS = "too_many_scans"
    DECODE_FAILED = "decode_failed"
    ENCODE_FAILED = "encode_failed"
    EXCEEDS_TAR = "exceeds_tar"


_EXPECTED: dict[ErrorCode, str] = {
    ErrorCode.MISSING: "an image",
    ErrorCode.UNREADABLE: "a file that can be read, its name in UTF-8",
    ErrorCode.DTYPE: "uint8 pixels",
    ErrorCode.MASKED: "an array without a mask",
    ErrorCode.NDIM: "an array of shape (H, W) or (H, W, C)",
    ErrorCode.EMPTY: "at least one pixel",
    ErrorCode.LAYOUT: "channels last, (H, W, C)",
    ErrorCode.CHANNELS: "1, 3 or 4 channels",
    ErrorCode.TOO_LARGE: "at most 65,500 pixels a side and 2 GiB a file",
    ErrorCode.TOO_MANY_PIXELS: "at most `max_pixels` pixels",
    ErrorCode.NOT_FINITE: "finite values",
    ErrorCode.OUT_OF_RANGE: "values inside the stated range",
    ErrorCode.SHAPE: "as many values as the shape says",
    ErrorCode.UNKNOWN_FORMAT: "a JPEG, PNG, WebP, TIFF, BMP or GIF file",
    ErrorCode.OTHER_FORMAT: "a file of the format that is kept",
    ErrorCode.UNSUPPORTED: "a kind of file that is read in full, and states its bands and colours",
    ErrorCode.CORRUPT: "a well-formed image file",
    ErrorCode.TRUNCATED: "a complete image file",
    ErrorCode.TOO_MANY_SCANS: "at most 100 scans in a JPEG",
    ErrorCode.DECODE_FAILED: "a file that can be decoded in full",
    ErrorCode.ENCODE_FAILED: "a picture that OpenCV can encode",
    ErrorCode.EXCEEDS_TAR: "a sample that fits `max_bytes_per_tar`",
}

_ADVICE: dict[ErrorCode, str] = {
    ErrorCode.DTYPE: (
        "convert to uint8, or say how with PixelOptions(float_range=..., uint16_range=..., "
        "bool_values=...)"
    ),
    ErrorCode.LAYOUT: 'say which with PixelOptions(layout="chw") or PixelOptions(layout="hwc")',
    ErrorCode.CHANNELS: "convert to gray, RGB or RGBA",
    ErrorCode.OTHER_FORMAT: "convert the file, or let ImageColumn(keep=False) encode it",
    ErrorCode.TOO_MANY_PIXELS: "resize, or raise PixelOptions(max_pixels=...)",
    ErrorCode.OUT_OF_RANGE: "state the right range, or PixelOptions(clip=True)",
    ErrorCode.EXCEEDS_TAR: "raise max_bytes_per_tar",
}


class Problem(Struct, frozen=True):
    """What is wrong with one picture, before it is known which row it is in.

    Attributes
    ----------
    code
        The kind of problem.
    found
        What was there instead, in words.
    """

    code: ErrorCode
    found: str


class RowProblem(Struct, frozen=True):
    """What is wrong with one row.

    Attributes
    ----------
    row
        Position, from 0: in the batch, or among all rows that a `ShardWriter` was given.
    image_id
        The row's id, verbatim; None where it has none.
    code
        The kind of problem.
    found
        What was there instead, in words.
    """

    row: int
    image_id: str | None
    code: ErrorCode
    found: str

    def __str__(self) -> str:
        advice = _ADVICE.get(self.code)
        return (
            f"row {self.row} (image_id {self.image_id!r}): {self.code}: "
            f"expected {_EXPECTED[self.code]}, found {printable(self.found)}"
            + (f"; {advice}" if advice else "")
        )


def _listed(lines: Sequence[object]) -> str:
    shown = [f"\n  {printable(str(line))}" for line in lines[:LISTED_AT_MOST]]
    hidden = len(lines) - len(shown)
    return "".join(shown) + (f"\n  and {hidden:,} more" if hidden else "")


class ArrowimgError(Exception):
    """Base of every error raised on purpose, for ``except arrowimg.errors.ArrowimgError``."""


class OptionError(ArrowimgError, ValueError):
    """An option has a value that it cannot have. Raised when the options are made."""

    def __init__(self, option: str, expected: str, found: object) -> None:
        super().__init__(option, expected, found)
        self.option, self.expected, self.found = option, expected, found

    def __str__(self) -> str:
        return f"{self.option}: expected {self.expected}, found {self.found!r}"


class KeywordError(ArrowimgError, TypeError):
    """There is no option of this name.

    Attributes
    ----------
    keyword
        The name.
    close
        How the option is written that it may have meant; empty where none is near.
    others
        The names of the other options.
    """

    def __init__(self, keyword: str, close: str, others: Sequence[str]) -> None:
        super().__init__(keyword, close, others)
        self.keyword, self.close, self.others = keyword, close, tuple(others)

    def __str__(self) -> str:
        meant = f"did you mean {self.close}? " if self.close else ""
        there = f"{'Others' if self.close else 'those that exist'}: {', '.join(self.others)}"
        return f"no option is called {self.keyword!r}; {meant}{there}"


class SourceError(ArrowimgError, TypeError):
    """A source is nothing that arrowimg can read tables from.

    Attributes
    ----------
    expected, found
        What there should be, and what there is.
    place
        The file or folder; empty where the source is none.
    advice
        What to do.
    """

    def __init__(self, expected: str, found: str, place: str = "", advice: str = "") -> None:
        super().__init__(expected, found, place, advice)
        self.expected, self.found, self.place, self.advice = expected, found, place, advice

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        advice = f"; {self.advice}" if self.advice else ""
        return printable(f"{place}expected {self.expected}, found {self.found}{advice}")


class SchemaError(ArrowimgError, ValueError):
    """A table has a column that is missing, of another type, or of a name that is taken."""

    def __init__(self, column: str, expected: str, found: str, advice: str = "") -> None:
        super().__init__(column, expected, found, advice)
        self.column, self.expected, self.found, self.advice = column, expected, found, advice

    def __str__(self) -> str:
        text = f"column {self.column!r}: expected {self.expected}, found {self.found}"
        return printable(f"{text}; {self.advice}" if self.advice else text)


class ImageError(ArrowimgError, ValueError):
    """Rows whose picture breaks the contract. Nothing of their batch was written."""

    def __init__(self, problems: Sequence[RowProblem], num_rows: int) -> None:
        super().__init__(problems, num_rows)
        self.problems, self.num_rows = tuple(problems), num_rows

    def __str__(self) -> str:
        return (
            f"{len(self.problems):,} of {self.num_rows:,} rows cannot be written"
            f"{_listed(self.problems)}\n"
            'Mend these rows, or pass on_error="quarantine" to keep them with their error code.'
        )


class ErrorFractionError(ArrowimgError, ValueError):
    """More rows are bad than ``max_error_fraction`` allows.

    From the stage, nothing of the batch was written. From a `ShardWriter`, whole shards of the rows
    before were, and there is no manifest.

    Attributes
    ----------
    num_errors, num_rows
        Bad rows, and all rows that were judged.
    allowed
        ``max_error_fraction``.
    codes
        Number of bad rows by error code.
    """

    def __init__(
        self, num_errors: int, num_rows: int, allowed: float, codes: Mapping[str, int]
    ) -> None:
        super().__init__(num_errors, num_rows, allowed, codes)
        self.num_errors, self.num_rows = num_errors, num_rows
        self.allowed, self.codes = allowed, dict(codes)

    def __str__(self) -> str:
        counts = ", ".join(f"{code} {count:,}" for code, count in sorted(self.codes.items()))
        return (
            f"{self.num_errors:,} of {self.num_rows:,} rows are bad ({counts}), "
            f"more than max_error_fraction={self.allowed:g}"
        )


class SampleKeyError(ArrowimgError, ValueError):
    """Ids that cannot become member names."""

    def __init__(self, expected: str, offenders: Sequence[str]) -> None:
        super().__init__(expected, offenders)
        self.expected, self.offenders = expected, tuple(offenders)

    def __str__(self) -> str:
        return f"expected {self.expected}, found {len(self.offenders):,}:{_listed(self.offenders)}"


class DuplicateIdError(SampleKeyError):
    """Ids that are in more than one row, or that give the same member name."""


class MetadataJoinError(ArrowimgError, ValueError):
    """A metadata frame does not match the images one to one.

    Attributes
    ----------
    expected
        What there should be.
    image_ids
        Those that are otherwise.
    others
        Where ids of one side are missing on the other: ids that stand there only, some of them.
    advice
        What they seem to differ in, and what to do.
    """

    def __init__(
        self,
        expected: str,
        image_ids: Sequence[str | None],
        others: Sequence[str] = (),
        advice: str = "",
    ) -> None:
        super().__init__(expected, image_ids, others, advice)
        self.expected, self.image_ids, self.others = expected, tuple(image_ids), tuple(others)
        self.advice = advice

    def __str__(self) -> str:
        ids = [repr(image_id) for image_id in self.image_ids]
        text = f"expected {self.expected}, found {len(ids):,} otherwise:{_listed(ids)}"
        if not self.others:
            return text
        examples = ", ".join(map(repr, self.others))
        hint = f"\n{self.advice[:1].upper()}{self.advice[1:]}." if self.advice else ""
        return f"{text}\nOn the other side, without one here, are for example {examples}.{hint}"


class ShardConflictError(ArrowimgError, FileExistsError):
    """A committed file has the same name and other content. It was left as it is.

    Attributes
    ----------
    path
        Of the committed file.
    committed, offered
        The checksum of the file and that of the new content; where neither was computed, what
        they are.
    advice
        What else may be done.
    """

    def __init__(self, path: str, committed: str, offered: str, advice: str = "") -> None:
        # OSError gives several arguments a meaning of its own (errno, strerror, file name).
        super().__init__(
            f"{printable(f'{path}: already committed as {committed}, offered as {offered}')}; "
            'write into another folder, or pass if_exists="overwrite"'
            + (f"; {advice}" if advice else "")
        )
        self.path, self.committed, self.offered, self.advice = path, committed, offered, advice

    def __reduce__(self) -> tuple[type[ShardConflictError], tuple[str, str, str, str]]:
        return type(self), (self.path, self.committed, self.offered, self.advice)


class DatasetConflictError(ArrowimgError, FileExistsError):
    """The folder holds a dataset, or a shard, that was written with other options.

    Attributes
    ----------
    path
        The folder or file.
    differences
        One line for each option that differs, or for each file that is in the way.
    can_overwrite
        False: files of others are in the way, which nothing replaces.
    """

    def __init__(
        self,
        path: str,
        differences: Sequence[str],
        can_overwrite: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        what = "already written otherwise" if can_overwrite else "holds files of others"
        how = 'pass if_exists="overwrite" to replace it' if can_overwrite else "move these away"
        # OSError gives several arguments a meaning of its own (errno, strerror, file name).
        super().__init__(
            f"{printable(path)}: {what}:{_listed(differences)}\n"
            f"Write into another folder, or {how}."
        )
        self.path, self.differences = path, tuple(differences)
        self.can_overwrite = can_overwrite

    def __reduce__(self) -> tuple[type[DatasetConflictError], tuple[str, tuple[str, ...], bool]]:
        return type(self), (self.path, self.differences, self.can_overwrite)


class IncompleteError(ArrowimgError, RuntimeError):
    """What the workers of a cluster wrote does not add up. There is no manifest.

    Attributes
    ----------
    counted
        What was counted.
    expected, found
        How many there should be, and how many there are.
    advice
        What may have happened, and what to do.
    """

    def __init__(self, counted: str, expected: int, found: int, advice: str = "") -> None:
        super().__init__(counted, expected, found, advice)
        self.counted, self.expected, self.found, self.advice = counted, expected, found, advice

    def __str__(self) -> str:
        text = f"{self.counted}: expected {self.expected:,}, found {self.found:,}"
        return printable(f"{text}; {self.advice}" if self.advice else text)


class NotFinishedError(ArrowimgError, RuntimeError):
    """A writer was asked for its file group before its with-block ended normally."""

    def __str__(self) -> str:
        return "the writer has not committed its manifest: leave its with-block first"


class NotOpenError(ArrowimgError, RuntimeError):
    """A writer was given a batch outside of its with-block, where it could not keep all of it."""

    def __str__(self) -> str:
        return "the writer is not open: write inside its with-block, which commits the last shard"


class BrokenWriterError(ArrowimgError, RuntimeError):
    """A writer cannot go on: an error came when some rows of a batch were committed, others not.

    Shards that were committed are sound. Writing the same batches with a new writer, into the same
    folder, completes the dataset.
    """

    def __init__(self, failure: str) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return (
            f"the writer lost rows to an error before ({printable_lines(self.failure)}): leave "
            "its with-block by that error, and write the same batches again with a new writer"
        )


class StorageError(ArrowimgError, OSError):
    """The storage failed, or a lock on it could not be had.

    Shards and manifests are written once more after a failure, and tars of a source read once more;
    then it failed twice. Of what was being written, no record is visible. Where only the last sync
    of the folder failed, the record is visible, and sound; whether it would survive a power cut is
    not known. Writing the same again settles it.

    Attributes
    ----------
    path
        The folder that was listed, written to or to be locked, or the tar that was read.
    reason
        What the operating system said, or who holds the lock.
    free_nbytes, free_inodes
        What its file system had left just after; None where that cannot be told.
    """

    def __init__(
        self, path: str, reason: str, code: int, free_nbytes: int | None, free_inodes: int | None
    ) -> None:
        # Where room is not the matter, how much of it there is only leads astray.
        left = (
            f" ({free_nbytes:,} bytes and {free_inodes:,} inodes are free there)"
            if code in _NO_ROOM and free_nbytes is not None
            else ""
        )
        # OSError gives several arguments a meaning of its own (errno, strerror, file name).
        super().__init__(f"{printable(f'{path}: {reason}')}{left}")
        self.path, self.reason, self.errno = path, reason, code
        self.free_nbytes, self.free_inodes = free_nbytes, free_inodes

    def __reduce__(self) -> tuple[type[StorageError], tuple[str, str, int, int | None, int | None]]:
        values = (self.path, self.reason, self.errno or 0, self.free_nbytes, self.free_inodes)
        return type(self), values


class MissingFileError(ArrowimgError, FileNotFoundError):
    """A file of a dataset is not there: a tar that was there when the dataset was looked at."""

    def __init__(self, path: str) -> None:
        # OSError gives several arguments a meaning of its own (errno, strerror, file name).
        super().__init__(f"{path}: no such file; arrowimg.verify tells what else is missing")
        self.path = path

    def __reduce__(self) -> tuple[type[MissingFileError], tuple[str]]:
        return type(self), (self.path,)


class WorkerError(ArrowimgError, RuntimeError):
    """A process that worked for this one died. There is no manifest; whole shards remain.

    Attributes
    ----------
    process_id
        Its number.
    status
        Its exit status; the number of the signal that killed it, negative. None where it stopped
        answering and is there still.
    """

    def __init__(self, process_id: int, status: int | None) -> None:
        super().__init__(process_id, status)
        self.process_id, self.status = process_id, status

    def __str__(self) -> str:
        return (
            f"worker process {self.process_id} {self._end()}; shards that were committed are "
            'sound: write the same again, if_exists="skip" encodes none of their rows twice'
        )

    def _end(self) -> str:
        if self.status is None:
            return "stopped answering"
        if self.status >= 0:
            return f"ended with status {self.status}; what it said is on stderr"
        name = signal.Signals(-self.status).name if -self.status in _SIGNALS else "a signal"
        reason = " (perhaps the system ended it for want of memory: use fewer workers)"
        return f"was killed by {name}{reason if name == 'SIGKILL' else ''}"


class ForkedProcessError(ArrowimgError, RuntimeError):
    """A forked process lacks threads that its parent had, and would wait for ever.

    Attributes
    ----------
    library
        Whose they are.
    """

    def __init__(self, library: str = "Polars") -> None:
        super().__init__(library)
        self.library = library

    def __str__(self) -> str:
        if self.library != "Polars":
            return (
                f"this process was forked after its parent had used {self.library}, whose threads "
                'it lacks: start processes with multiprocessing.get_context("spawn"), or fork '
                "before the first use"
            )
        return (
            "this process was forked after its parent had used Polars, whose threads it lacks: "
            'start processes with multiprocessing.get_context("spawn"), or use Polars '
            "(arrowimg.scan, fetch_images, metadata=) in children only"
        )


class ManifestError(ArrowimgError, ValueError):
    """A manifest, sidecar or footer is missing or cannot be read."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        super().__init__(path, expected, found)
        self.path, self.expected, self.found = path, expected, found

    def __str__(self) -> str:
        return printable(f"{self.path}: expected {self.expected}, found {self.found}")


class ChecksumError(ArrowimgError, ValueError):
    """Bytes in a tar are not those that were written."""

    def __init__(self, places: Sequence[str]) -> None:
        super().__init__(places)
        self.places = tuple(places)

    def __str__(self) -> str:
        many = len(self.places)
        pictures = "1 picture is" if many == 1 else f"{many:,} pictures are"
        advice = "arrowimg.verify tells more"
        return f"{pictures} not what was written, {advice}:{_listed(self.places)}"


class MissingDependencyError(ArrowimgError, ImportError):
    """A feature needs a package that comes with an extra."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(feature, extra)
        self.feature, self.extra = feature, extra

    def __str__(self) -> str:
        return f"{self.feature} needs an extra: pip install '.[{self.extra}]' in a checkout"
