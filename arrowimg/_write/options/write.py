"""What a caller may choose about writing, checked once, when the options are made."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import msgspec
from msgspec import Struct, field, structs

from arrowimg._core.checksums import ChecksumName
from arrowimg._core.option_checks import (
    A_BOOL,
    Check,
    OptionsMeta,
    check_option,
    check_values,
    is_int,
    one_of,
    optional,
    whole_number,
)
from arrowimg._core.threads import stated_cores, usable_cores
from arrowimg._core.version import FORMAT_VERSION, PICTURES_VERSION
from arrowimg._format.keys import MAX_EXTENSION_LENGTH, KeyStyle, is_extension
from arrowimg._format.tar import END_OF_ARCHIVE, LEAST_TAR_NBYTES
from arrowimg._images.options import JpegOptions, PixelOptions
from arrowimg._images.rules import (
    FormatRule,
    ImageColumn,
    KeptFormat,
    column_rule,
    picture_rule,
)
from arrowimg._storage.base import Durability, IfExists
from arrowimg._write.options.images import check_extensions, image_columns

OnError: TypeAlias = Literal["raise", "quarantine"]

DEFAULT_IMAGES_PER_TAR = 1000
_NOT_RECORDED = frozenset(
    {"encode_threads", "on_error", "if_exists", "durability", "max_error_fraction"}
)

_MOST_THREADS = 8

_RECORDED_WHERE_USED = frozenset({"keep", "images"})
"""What does not use them is written as it was before they were there."""


class WriteOptions(
    Struct, metaclass=OptionsMeta, frozen=True, kw_only=True, forbid_unknown_fields=True
):
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
        on, eight at most. The bytes do not depend on it.
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
    keep
        Formats of which files are copied untouched, under their own extension, instead of becoming
        JPEG: some of ``"png"``, ``"webp"``, ``"tiff"``, ``"bmp"`` and ``"gif"``.
    images
        Further pictures of each sample, by extension: the name of their column, or an `ImageColumn`
        that says more. ``{"mask.png": "mask"}`` writes ``<key>.mask.png``, without loss; a null is
        no member. ``"jpg"`` is another way to say `image_column`.
    max_error_fraction
        With ``on_error="quarantine"``: more bad rows than this fraction of all are an
        `ErrorFractionError`. The stage judges each batch; `ShardWriter` all rows so far, once
        there are 1,000, and at the end. None: no limit.

    Raises
    ------
    OptionError, KeywordError
        When a value is not one of the above, has no effect beside another, or an option does not
        exist.
    """

    images_per_tar: int = DEFAULT_IMAGES_PER_TAR
    remove_image_data: bool = False
    jpeg: JpegOptions = field(default_factory=JpegOptions)
    pixels: PixelOptions = field(default_factory=PixelOptions)
    image_column: str = "image_data"
    on_error: OnError = "raise"
    encode_threads: int | None = None
    members: Mapping[str, str | list[str]] = field(default_factory=dict)
    max_bytes_per_tar: int | None = None
    keys: KeyStyle = "escaped"
    checksum: ChecksumName = "xxh3_128"
    reencode: bool = False
    if_exists: IfExists = "verify"
    durability: Durability = "full"
    keep_quarantined: bool = False
    max_error_fraction: float | None = None
    keep: Sequence[KeptFormat] = ()
    images: Mapping[str, str | ImageColumn] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_values(self, _CHECKS)
        _check_members(self.members)
        # What the caller does to its own mapping later is nothing to this one.
        structs.force_setattr(self, "members", copy.deepcopy(dict(self.members)))
        structs.force_setattr(self, "keep", tuple(sorted(set(self.keep))))
        name, images = image_columns(self.image_column, self.images)
        structs.force_setattr(self, "image_column", name)
        structs.force_setattr(self, "images", images)
        check_extensions(images, self.keep, self.members)
        for name, default in (("keep_quarantined", False), ("max_error_fraction", None)):
            value = getattr(self, name)
            expected = (
                f'{default} with on_error="raise"; pass on_error="quarantine" to keep bad rows'
            )
            is_of_use = self.on_error == "quarantine" or value == default
            check_option(is_of_use, name, expected, value)

    @property
    def rules(self) -> dict[str, FormatRule]:
        """How the pictures of each column are stored, the column of all samples first."""
        first = picture_rule(self.pixels, self.jpeg, self.keep, reencode=self.reencode)
        others = {
            column.column: column_rule(it, column, self.pixels, self.jpeg, reencode=self.reencode)
            for it, column in self.images.items()
            if isinstance(column, ImageColumn)
        }
        return {self.image_column: first, **others}

    @property
    def format_version(self) -> int:
        """The least version of the format that has all that these options ask for."""
        return PICTURES_VERSION if self.keep or self.images else FORMAT_VERSION

    @property
    def keeps_images(self) -> bool:
        """Whether sidecars keep the stored pictures too: what `remove_image_data` denies."""
        return not self.remove_image_data

    @property
    def threads(self) -> int:
        """Threads that encode: as many as were said, or one for each core, up to eight.

        More wait for one another: sixteen were slower than eight, measured at 256x256.
        """
        return self.encode_threads or stated_cores() or min(usable_cores(), _MOST_THREADS)

    @property
    def max_members_nbytes(self) -> int | None:
        """Most bytes of members in one tar: `max_bytes_per_tar` less the end of the archive."""
        return (
            None if self.max_bytes_per_tar is None else self.max_bytes_per_tar - len(END_OF_ARCHIVE)
        )

    def replaced(self, changes: Mapping[str, Any]) -> WriteOptions:
        """Return options of which some are others, checked anew.

        Raises
        ------
        OptionError, KeywordError
            As when they are made.
        """
        # structs.replace checks nothing in the oldest msgspec.
        return WriteOptions(**{**structs.asdict(self), **changes})

    def recorded(self) -> dict[str, Any]:
        """Return the options that change bytes, as JSON types; what footers and names are made of.

        Left out are those that a committed shard does not depend on: threads, and what to do when
        rows are bad or files are there already.
        """
        # By way of JSON, as they will be read again: a pair would not equal the list it becomes.
        recorded = msgspec.json.decode(msgspec.json.encode(self, order="deterministic"))
        return {
            name: value
            for name, value in recorded.items()
            if name not in _NOT_RECORDED and (value or name not in _RECORDED_WHERE_USED)
        }


def _check_members(members: Mapping[str, str | list[str]]) -> None:
    for extension, columns in members.items():
        check_option(
            isinstance(extension, str) and is_extension(extension),
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


def _is_fraction(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


_CHECKS = {
    "images_per_tar": whole_number(1),
    "remove_image_data": A_BOOL,
    "jpeg": Check("JpegOptions", lambda value: isinstance(value, JpegOptions)),
    "pixels": Check("PixelOptions", lambda value: isinstance(value, PixelOptions)),
    "image_column": Check("a column name", lambda value: isinstance(value, str) and value),
    "on_error": one_of(*get_args(OnError)),
    "encode_threads": optional(whole_number(1)),
    "members": Check("a mapping", lambda value: isinstance(value, Mapping)),
    "max_bytes_per_tar": Check(
        f"an int of at least {LEAST_TAR_NBYTES:,} (one sample of two blocks), or None",
        lambda value: value is None or is_int(value, LEAST_TAR_NBYTES),
    ),
    "keys": one_of(*get_args(KeyStyle)),
    "checksum": one_of(*get_args(ChecksumName)),
    "reencode": A_BOOL,
    "if_exists": one_of(*get_args(IfExists)),
    "durability": one_of(*get_args(Durability)),
    "keep_quarantined": A_BOOL,
    "keep": Check(
        f"a list of some of {', '.join(get_args(KeptFormat))}",
        lambda value: (
            isinstance(value, list | tuple) and {*map(str, value)} <= {*get_args(KeptFormat)}
        ),
    ),
    "images": Check("a mapping", lambda value: isinstance(value, Mapping)),
    "max_error_fraction": optional(Check("a number from 0 to 1", _is_fraction)),
}
