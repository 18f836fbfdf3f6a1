"""What a caller may choose about tars that others wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from msgspec import Struct

from arrowimg._core.checksums import ChecksumName
from arrowimg._core.option_checks import check_option

if TYPE_CHECKING:
    from collections.abc import Sequence

IdsOf: TypeAlias = Literal["key", "path"]
Clashes: TypeAlias = Literal["raise", "text"]
IfAdopted: TypeAlias = Literal["skip", "overwrite", "error"]

DEFAULT_MEMBERS = ("json", "txt", "cls")
"""Extensions of members that are columns unless something else is said."""

PICTURES = frozenset(
    "jpg jpeg jpe jfif png webp gif bmp tif tiff avif heic jp2 ppm".split()  # noqa: SIM905  # one line
)
"""Last parts of the extensions of pictures. What they are, their first bytes tell."""


class TarOptions(Struct, frozen=True):
    """How the members of tars become rows.

    Attributes
    ----------
    members
        Extensions whose members are columns.
    ids
        What the ids are made of.
    clashes
        What becomes of a column whose values have no type in common.
    checksum
        How tars and pictures are hashed.
    """

    members: tuple[str, ...] = DEFAULT_MEMBERS
    ids: IdsOf = "key"
    clashes: Clashes = "raise"
    checksum: ChecksumName = "xxh3_128"


def tar_options(
    members: Sequence[str] | None, ids: str, clashes: str, checksum: ChecksumName
) -> TarOptions:
    """Return what a caller chose, checked.

    Raises
    ------
    OptionError
        When an option has a value that it cannot have.
    """
    are_texts = members is None or (
        not isinstance(members, str)
        and all(isinstance(it, str) and it and it == it.lower() for it in members)
    )
    expected = 'a list of extensions in lower case, without the first dot: ["json", "txt"]'
    check_option(are_texts, "members", expected, members)
    _check(ids, "ids", IdsOf)
    _check(clashes, "clashes", Clashes)
    _check(checksum, "checksum", ChecksumName)
    chosen = DEFAULT_MEMBERS if members is None else tuple(dict.fromkeys(members))
    return TarOptions(
        chosen,
        "path" if ids == "path" else "key",
        "text" if clashes == "text" else "raise",
        checksum,
    )


def _check(value: object, option: str, kind: object) -> None:
    known = get_args(kind)
    check_option(value in known, option, " or ".join(map(repr, known)), value)
