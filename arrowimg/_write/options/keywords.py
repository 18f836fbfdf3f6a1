"""Options as keywords of a call, and beside them ``options=``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from arrowimg._core.option_checks import check_keywords, check_option
from arrowimg._write.options.write import DEFAULT_IMAGES_PER_TAR, OnError, WriteOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from arrowimg._core.checksums import ChecksumName
    from arrowimg._format.keys import KeyStyle
    from arrowimg._images.options import JpegOptions, PixelOptions
    from arrowimg._images.rules import ImageColumn, KeptFormat
    from arrowimg._storage.base import Durability, IfExists, StorageOptions


class WriteKeywords(TypedDict, total=False):
    """The keyword options that the stage, `ShardWriter` and `write_shards` share.

    They are described in `WriteOptions`. ``options`` takes all of these at once; keywords
    beside it override it.
    """

    options: WriteOptions
    jpeg: JpegOptions
    pixels: PixelOptions
    image_column: str
    on_error: OnError
    encode_threads: int | None
    members: Mapping[str, str | list[str]]
    max_bytes_per_tar: int | None
    keys: KeyStyle
    checksum: ChecksumName
    reencode: bool
    if_exists: IfExists
    durability: Durability
    keep_quarantined: bool
    keep: Sequence[KeptFormat]
    images: Mapping[str, str | ImageColumn]
    max_error_fraction: float | None


class StageKeywords(WriteKeywords, total=False):
    """The same, and what an object store is told, which no file ever says."""

    storage_options: StorageOptions | None


def write_options(
    keywords: WriteKeywords,
    images_per_tar: int,
    *,
    remove_image_data: bool,
    removed_by_default: bool,
    others: Iterable[str],
) -> WriteOptions:
    """Return what a caller chose: ``options=``, overridden by the keywords beside it.

    Parameters
    ----------
    keywords
        The keyword options of the call.
    images_per_tar, remove_image_data
        Of the call. Beside ``options=`` they count where they are not the default.
    removed_by_default
        The default of `remove_image_data` in the call.
    others
        Names of the other parameters, which a misspelt keyword may have meant.

    Raises
    ------
    OptionError, KeywordError
        When an option has a value that it cannot have, or does not exist.
    """
    check_keywords(keywords, WriteOptions, ("options", *others))
    given: dict[str, Any] = dict(keywords)
    options: WriteOptions | None = given.pop("options", None)
    if options is None:
        given |= {"images_per_tar": images_per_tar, "remove_image_data": remove_image_data}
        return WriteOptions(**given)
    check_option(isinstance(options, WriteOptions), "options", "WriteOptions", options)
    if images_per_tar != DEFAULT_IMAGES_PER_TAR:
        given["images_per_tar"] = images_per_tar
    if remove_image_data is not removed_by_default:
        given["remove_image_data"] = remove_image_data
    return options.replaced(given)
