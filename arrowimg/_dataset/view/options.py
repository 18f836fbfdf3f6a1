"""What a caller may choose about a page, checked when it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from msgspec import Struct

from arrowimg._core.option_checks import (
    Check,
    OptionsMeta,
    check_values,
    is_int,
    optional,
    whole_number,
)

if TYPE_CHECKING:
    import polars as pl

LEAST_NBYTES = 500_000


class ViewKeywords(TypedDict, total=False):
    """The options of a page; `view` describes them."""

    where: pl.Expr | str | None
    sort: str | None
    sample: int
    seed: int
    thumbnail: int
    max_bytes: int


class ViewOptions(
    Struct, metaclass=OptionsMeta, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """What a page shows, see `view`."""

    where: object = None
    sort: str | None = None
    sample: int = 200
    seed: int = 0
    thumbnail: int = 160
    max_bytes: int = 8_000_000

    def __post_init__(self) -> None:
        check_values(self, _CHECKS)


_CHECKS = {
    "sort": optional(Check("the name of a column", lambda it: isinstance(it, str) and it)),
    "sample": whole_number(0, 100_000),
    "seed": whole_number(0),
    "thumbnail": whole_number(16, 1024),
    "max_bytes": Check(f"an int of at least {LEAST_NBYTES:,}", lambda it: is_int(it, LEAST_NBYTES)),
}
