"""What a caller may choose about stored pictures; the rest is as it was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from arrowimg._write.options import WriteOptions, option_differences
from arrowimg.errors import ManifestError, OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arrowimg._core.checksums import ChecksumName
    from arrowimg._format.keys import KeyStyle
    from arrowimg._images.options import JpegOptions, PixelOptions
    from arrowimg._storage.base import Durability, IfExists

_MAY_DIFFER = frozenset(
    {
        "images_per_tar",
        "max_bytes_per_tar",
        "remove_image_data",
        "image_column",
        "keep_quarantined",
        "reencode",
        "keep",
    }
)
_UNUSED = {"keep_quarantined": False, "reencode": False}


class ReshardKeywords(TypedDict, total=False):
    """The keyword options of `reshard` and `merge`, see `WriteOptions`.

    What is not given is as it was recorded when the source was written. `jpeg` and `pixels` are
    recorded only: they say how pictures were encoded, of sources that do not say the same.
    """

    remove_image_data: bool
    members: Mapping[str, str | list[str]]
    max_bytes_per_tar: int | None
    keys: KeyStyle
    checksum: ChecksumName
    jpeg: JpegOptions
    pixels: PixelOptions
    if_exists: IfExists
    durability: Durability


def stored_options(
    records: list[tuple[str, dict[str, Any]]], stated: dict[str, Any]
) -> WriteOptions:
    """Return the options of the new dataset: what is stated, else what is recorded."""
    allowed = {"images_per_tar", *ReshardKeywords.__annotations__}
    for name in stated.keys() - allowed:
        expected = f"one of {', '.join(sorted(allowed))}: stored pictures are copied as they are"
        raise OptionError(name, expected, stated[name])
    first_path = records[0][0]
    # Of tars that others wrote, how their pictures were made is not known, and nothing differs.
    first = {name: it for _, record in reversed(records) for name, it in record.items()}
    differences = [
        f"{path}, {first_path}: {line}"
        for path, record in records[1:]
        for line in option_differences(first, first | record)
        if line.partition(":")[0] not in {*_MAY_DIFFER, *stated}
    ]
    if differences:
        option, expected = "sources", "datasets that were written alike, or the options stated"
        raise OptionError(option, expected, differences)
    try:
        keep = sorted({kept for _, record in records for kept in record.get("keep", [])})
        recorded = msgspec.convert({**first, **_UNUSED, "keep": keep}, WriteOptions)
    except msgspec.ValidationError as error:
        raise ManifestError(first_path, "options of this version", str(error)) from error
    return recorded.replaced(stated)
