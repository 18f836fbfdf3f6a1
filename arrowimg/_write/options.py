"""What a caller may choose about writing, checked once, when the options are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import msgspec
from msgspec import Struct, field

from arrowimg._core.option_checks import check_option, is_int
from arrowimg._core.threads import usable_cores
from arrowimg._format.keys import MAX_EXTENSION_LENGTH
from arrowimg._images.options import JpegOptions, PixelOptions
from arrowimg.errors import ErrorFractionError

_EXTENSION = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_NOT_RECORDED = frozenset(
    {"encode_threads", "on_error", "if_exists", "durability", "max_error_fraction"}
)


class WriteKeywords(TypedDict, total=False):
    """The keyword options that the stage, `ShardWriter` and `write_shards` share.

    They are described in `WriteOptions`.
    """

    jpeg: JpegOptions
    pixels: PixelOptions
    image_column: str
    on_error: Literal["raise", "quarantine"]
    encode_threads: int | None
    members: Mapping[str, str | list[str]]
    max_bytes_per_tar: int | None
    keys: Literal["escaped", "verbatim"]
    checksum: Literal["xxh3_128", "sha256"]
    reencode: bool
    if_exists: Literal["verify", "skip", "overwrite", "error"]
    durability: Literal["full", "process"]
    keep_quarantined: bool
    max_error_fraction: float | None


class WriteOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides what is written, checked once, when made.

    Attributes
    ----------
    images_per_tar
        At most this many members with a picture in one tar.
    remove_image_data
        True: the sidecar has no ``image_data`` column. False: it keeps the stored JPEG too, which
        is handy for dataframes and takes twice the bytes.
    jpeg
        How pixels become JPEG bytes.
    pixels
        Which pixels are taken and how they are converted.
    image_column
        Name of the source's column of images.
    on_error
        ``"raise"``: a batch with a bad row is refused as a whole, with a list of the offenders.
        ``"quarantine"``: a bad row stays in the sidecar with its error code, without a member.
    encode_threads
        Threads that encode, shared by all writers of the process. None: ``OMP_NUM_THREADS`` where
        it is set, as Ray does to the cores of a task, else one per core that this process may run
        on. The bytes do not depend on it.
    members
        Columns to put beside the picture in the tar, by extension. ``{"txt": "caption"}`` writes
        the column's value to ``<key>.txt``; ``{"json": ["caption", "score"]}`` writes an object.
    max_bytes_per_tar
        Most bytes in one tar, headers and padding included. None: no limit.
    keys
        ``"escaped"``: every id becomes a portable name. ``"verbatim"``: ids are names already
        (segments of ``[A-Za-z0-9_-]`` joined by ``/``), and a batch with another id is refused.
    checksum
        ``"xxh3_128"``, 16 bytes, nearly free; or ``"sha256"``, 32 bytes, cryptographic.
    reencode
        True: encoded JPEG is decoded and encoded again with `jpeg`. False: it is copied untouched.
    if_exists
        What to do with a shard that is committed already.

        - ``"verify"``: encode, and compare. The same content is left alone, the file group counts
          it as unchanged; other content is a `ShardConflictError`.
        - ``"skip"``: trust the ids. Nothing is encoded where a shard of that name (the stage) or
          of those ids (`ShardWriter`) is committed; for jobs that go on after a crash.
        - ``"overwrite"``: write anew, in place of what is there.
        - ``"error"``: refuse, whatever the content.
    durability
        ``"full"``: what was committed survives a power cut. ``"process"``: it survives the death of
        the process only; for scratch folders and tests.
    keep_quarantined
        True, with ``on_error="quarantine"``: the offending bytes of bad rows are kept beside the
        shard, in ``quarantine-<shard>.tar``.
    max_error_fraction
        With ``on_error="quarantine"``: more bad rows than this fraction of all are an
        `ErrorFractionError`. The stage judges each batch; `ShardWriter` all rows so far, once
        there are 1,000, and at the end. None: no limit.

    Raises
    ------
    OptionError
        When a value is not one of the above.
    """

    images_per_tar: int = 1000
    remove_image_data: bool = False
    jpeg: JpegOptions = field(default_factory=JpegOptions)
    pixels: PixelOptions = field(default_factory=PixelOptions)
    image_column: str = "image_data"
    on_error: Literal["raise", "quarantine"] = "raise"
    encode_threads: int | None = None
    members: Mapping[str, str | list[str]] = field(default_factory=dict)
    max_bytes_per_tar: int | None = None
    keys: Literal["escaped", "verbatim"] = "escaped"
    checksum: Literal["xxh3_128", "sha256"] = "xxh3_128"
    reencode: bool = False
    if_exists: Literal["verify", "skip", "overwrite", "error"] = "verify"
    durability: Literal["full", "process"] = "full"
    keep_quarantined: bool = False
    max_error_fraction: float | None = None

    def __post_init__(self) -> None:
        check_option(
            is_int(self.images_per_tar, 1),
            "images_per_tar",
            "an int of at least 1",
            self.images_per_tar,
        )
        for name in ("remove_image_data", "reencode", "keep_quarantined"):
            check_option(isinstance(getattr(self, name), bool), name, "a bool", getattr(self, name))
        check_option(isinstance(self.jpeg, JpegOptions), "jpeg", "JpegOptions", self.jpeg)
        check_option(isinstance(self.pixels, PixelOptions), "pixels", "PixelOptions", self.pixels)
        check_option(
            isinstance(self.image_column, str) and self.image_column,
            "image_column",
            "a column name",
            self.image_column,
        )
        check_option(
            self.on_error in ("raise", "quarantine"),
            "on_error",
            '"raise" or "quarantine"',
            self.on_error,
        )
        check_option(
            self.encode_threads is None or is_int(self.encode_threads, 1),
            "encode_threads",
            "an int of at least 1, or None",
            self.encode_threads,
        )
        check_option(
            self.max_bytes_per_tar is None or is_int(self.max_bytes_per_tar, 2560),
            "max_bytes_per_tar",
            "an int of at least 2,560 (one sample of one block), or None",
            self.max_bytes_per_tar,
        )
        check_option(
            self.keys in ("escaped", "verbatim"), "keys", '"escaped" or "verbatim"', self.keys
        )
        check_option(
            self.checksum in ("xxh3_128", "sha256"),
            "checksum",
            '"xxh3_128" or "sha256"',
            self.checksum,
        )
        check_option(
            self.if_exists in ("verify", "skip", "overwrite", "error"),
            "if_exists",
            '"verify", "skip", "overwrite" or "error"',
            self.if_exists,
        )
        check_option(
            self.durability in ("full", "process"),
            "durability",
            '"full" or "process"',
            self.durability,
        )
        check_option(
            self.max_error_fraction is None
            or (
                isinstance(self.max_error_fraction, (int, float))
                and not isinstance(self.max_error_fraction, bool)
                and 0 <= self.max_error_fraction <= 1
            ),
            "max_error_fraction",
            "a number from 0 to 1, or None",
            self.max_error_fraction,
        )
        self._check_members()

    def _check_members(self) -> None:
        check_option(isinstance(self.members, Mapping), "members", "a mapping", self.members)
        for extension, columns in self.members.items():
            check_option(
                isinstance(extension, str)
                and _EXTENSION.fullmatch(extension)
                and len(extension) <= MAX_EXTENSION_LENGTH
                and extension != "jpg",
                "members",
                "extensions of lower-case letters and digits, single '.', '_' or '-' between, "
                f'at most {MAX_EXTENSION_LENGTH} long, other than "jpg"',
                extension,
            )
            check_option(
                isinstance(columns, str)
                or (
                    isinstance(columns, list)
                    and columns
                    and all(isinstance(column, str) for column in columns)
                ),
                "members",
                f"a column name or a list of column names for {extension!r}",
                columns,
            )

    @property
    def threads(self) -> int:
        """Threads that encode: `encode_threads`, or as many as there are cores for this process."""
        return self.encode_threads or usable_cores()

    @property
    def max_members_nbytes(self) -> int | None:
        """Most bytes of members in one tar: `max_bytes_per_tar` less the end of the archive."""
        return None if self.max_bytes_per_tar is None else self.max_bytes_per_tar - 1024

    def recorded(self) -> dict[str, Any]:
        """Return the options that change bytes, as JSON types; what footers and names are made of.

        Left out are those that a committed shard does not depend on: threads, and what to do when
        rows are bad or files are there already.
        """
        # By way of JSON, as they will be read again: a pair would not equal the list it becomes.
        recorded = msgspec.json.decode(msgspec.json.encode(self, order="deterministic"))
        return {name: value for name, value in recorded.items() if name not in _NOT_RECORDED}


def option_differences(committed: dict[str, Any], offered: dict[str, Any]) -> list[str]:
    """Return one line for each recorded option that differs."""
    return [
        f"{name}: {committed.get(name)!r} there, {offered.get(name)!r} here"
        for name in sorted({*committed, *offered})
        if committed.get(name) != offered.get(name)
    ]


ROWS_TO_JUDGE = 1000
"""Of a dataset that is still being written, fewer rows say nothing of how many are bad."""


def check_error_fraction(codes: Mapping[str, int], num_rows: int, options: WriteOptions) -> None:
    """Raise `ErrorFractionError` when more rows are bad than the options allow.

    Parameters
    ----------
    codes
        Number of bad rows by error code.
    num_rows
        Number of all rows.
    """
    num_errors, allowed = sum(codes.values()), options.max_error_fraction
    if allowed is not None and num_errors > allowed * num_rows:
        raise ErrorFractionError(num_errors, num_rows, allowed, codes)
