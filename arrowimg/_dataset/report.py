"""Damages, and the report that lists them."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Depth: TypeAlias = Literal["quick", "checksums", "decode"]


class DamageKind(StrEnum):
    """What is wrong with a file."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    SIZE = "size"
    CHECKSUM = "checksum"
    COUNT = "count"
    NAME = "name"
    TAR = "tar"
    MEMBER = "member"
    PICTURE = "picture"
    DUPLICATE_ID = "duplicate_id"
    MORE = "more"


class Damage(Struct, frozen=True):
    """One thing that is not as it was written.

    Attributes
    ----------
    file
        Name of the file, without folder.
    member
        Name of the member, where the damage is known to be in one.
    kind
        What is wrong.
    detail
        What was expected and what was found.
    """

    file: str
    member: str | None
    kind: DamageKind
    detail: str

    def __str__(self) -> str:
        place = self.file if self.member is None else f"{self.file}: {self.member}"
        return f"{place}: {self.kind}: {self.detail}"


MOST_LISTED = 100
"""Damages of a file that are listed, each; the rest is counted."""


def bounded(damages: Iterable[Damage]) -> Iterator[Damage]:
    """Yield at most `MOST_LISTED` damages of each file, and then how many more it has."""
    counts = Counter[str]()
    for damage in damages:
        counts[damage.file] += 1
        if counts[damage.file] <= MOST_LISTED:
            yield damage
    for file, count in counts.items():
        if count > MOST_LISTED:
            more = f"and {count - MOST_LISTED:,} more in this file, which are not listed"
            yield Damage(file, None, DamageKind.MORE, more)


class Report(Struct, frozen=True):
    """What `verify` found.

    Attributes
    ----------
    path
        The folder.
    depth
        How closely was looked.
    num_shards, num_images, num_rows
        What the sidecars that could be read say.
    damages
        What is not as it was written. Empty: all is well. Of a file, at most 100, and one that
        says how many more there are.
    notices
        A line for each file that no shard needs: its name and what it is, a temporary file, a tar
        without a sidecar, of a shard that the manifest does not list, of others.
    """

    path: str
    depth: Depth
    num_shards: int
    num_images: int
    num_rows: int
    damages: list[Damage]
    notices: list[str]

    def _repr_html_(self) -> str | None:
        """Return the verdict and the damages for a notebook; None, for `repr`, without Jinja2."""
        from arrowimg._core.display.tables import table_html  # noqa: PLC0415  # only in a notebook

        counts = {name: getattr(self, name) for name in ("num_shards", "num_images", "num_rows")}
        counts |= {"depth": self.depth, "notices": len(self.notices)}
        names = ["file", "member", "kind", "detail"]
        rows = [{name: getattr(damage, name) for name in names} for damage in self.damages]
        rows += [{"file": "notice", "detail": notice} for notice in self.notices]
        return table_html(f"{self.path}: {verdict_of(self)}", counts, names, rows)

    @property
    def is_sound(self) -> bool:
        """True where nothing is damaged."""
        return not self.damages


def verdict_of(report: Report) -> str:
    """Return in a word whether all is well, and how many damages there are where it is not."""
    count = len(report.damages)
    return {0: "sound", 1: "1 damage"}.get(count, f"{count:,} damages")
