"""Two datasets side by side: counts, columns, ids of one only, pictures whose bytes differ."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from arrowimg._core.display.templates import shown_text
from arrowimg._dataset.view.columns import ROW_NUMBER, user_columns
from arrowimg._dataset.view.figures import Figure, with_steps
from arrowimg._dataset.view.pictures import read_pictures
from arrowimg._storage.base import ReadyStore, StorageOptions

_IDS = 12
_PAIRS = 8
_ID = "image_id"


class Side(Struct, frozen=True):
    """One of two datasets.

    Attributes
    ----------
    title
        What it is called.
    rows
        Of `with_keys`, after any filter.
    figures
        Of all columns.
    facts
        Labels and values of the header.
    has_sha256
        Of which kind its checksums are.
    told
        What the object store is told that it is in.
    """

    title: str
    rows: pl.LazyFrame
    figures: list[Figure]
    facts: list[tuple[str, str]]
    has_sha256: bool
    told: StorageOptions | ReadyStore | None


class Pair(Struct, frozen=True):
    """The pictures that two datasets have for one id, as addresses that hold them."""

    image_id: str
    ours: str
    theirs: str


class Difference(Struct, frozen=True):
    """Rows that are not the same in both."""

    title: str
    ids: list[str]
    pairs: list[Pair]


class Comparison(Struct, frozen=True):
    """What a page tells of the other dataset.

    Attributes
    ----------
    title
        What it is called.
    counts
        Labels, and values of both.
    lists
        Ids in one only, and pictures that differ.
    figures
        Of the other, for each column of this one; None where it lacks it.
    """

    title: str
    counts: list[tuple[str, str, str]]
    lists: list[Difference]
    figures: list[Figure | None]


def compare(ours: Side, theirs: Side, side: int) -> tuple[list[Figure], Comparison]:
    """Return the figures of this dataset by steps that both share, and the comparison.

    Parameters
    ----------
    side
        Pixels of the longer side of thumbnails.
    """
    by_name = {_key(it): it for it in theirs.figures}
    others = [by_name.get(_key(it)) for it in ours.figures]
    extents = [_extent(figure, other) for figure, other in zip(ours.figures, others, strict=True)]
    figures = with_steps(ours.rows, ours.figures, extents)
    present = [it for it in others if it is not None]
    steps = [extent for extent, it in zip(extents, others, strict=True) if it is not None]
    placed = iter(with_steps(theirs.rows, present, steps))
    aligned = [None if it is None else next(placed) for it in others]
    return figures, Comparison(
        theirs.title, _counts(ours, theirs), _differences(ours, theirs, side), aligned
    )


def _key(figure: Figure) -> tuple[str, str, bool]:
    return figure.column.name, figure.column.kind, figure.column.is_ours


def _extent(figure: Figure, other: Figure | None) -> tuple[float, float] | None:
    found = [it for it in (figure, other) if it is not None]
    leasts = [it.least for it in found if it.least is not None]
    mosts = [it.most for it in found if it.most is not None]
    return (min(leasts), max(mosts)) if leasts and mosts else None


def _counts(ours: Side, theirs: Side) -> list[tuple[str, str, str]]:
    facts = [
        (label, value, other)
        for (label, value), (_, other) in zip(ours.facts, theirs.facts, strict=True)
    ]
    types = [
        {it.name: it.dtype for it in user_columns([figure.column for figure in side.figures])}
        for side in (ours, theirs)
    ]
    columns = [
        (
            f"column {shown_text(name, 80)}",
            shown_text(types[0].get(name, "none"), 80),
            shown_text(types[1].get(name, "none"), 80),
        )
        for name in dict.fromkeys([*types[0], *types[1]])
    ]
    return [*facts, *columns]


def _differences(ours: Side, theirs: Side, side: int) -> list[Difference]:
    first, second = (
        it.rows.drop_nulls(_ID)
        .select(_ID, number=pl.col(ROW_NUMBER), hash=pl.col("checksum").hash())
        .unique(_ID, keep="first")
        for it in (ours, theirs)
    )
    joined = first.join(second, on=_ID, how="full", coalesce=True).collect()
    only_ours = joined.filter(pl.col("number_right").is_null())
    only_theirs = joined.filter(pl.col("number").is_null())
    found = [
        _only(f"Ids only in {ours.title}", only_ours),
        _only(f"Ids only in {theirs.title}", only_theirs),
    ]
    if ours.has_sha256 != theirs.has_sha256:
        title = "Pictures of the same id: not compared, since their checksums are of two kinds"
        return [*found, Difference(title, [], [])]
    both = joined.drop_nulls(["number", "number_right"])
    differs = both.filter(pl.col("hash").ne_missing(pl.col("hash_right"))).sort("number")
    title = f"Pictures of the same id whose bytes differ: {len(differs):,} of {len(both):,}"
    return [*found, Difference(title, [], _pairs(ours, theirs, differs.head(_PAIRS), side))]


def _only(title: str, rows: pl.DataFrame) -> Difference:
    ids = rows[_ID].sort().head(_IDS).to_list()
    return Difference(f"{title}: {len(rows):,}", [shown_text(it) for it in ids], [])


def _pairs(ours: Side, theirs: Side, rows: pl.DataFrame, side: int) -> list[Pair]:
    numbers = [[int(it) for it in rows[name]] for name in ("number", "number_right")]
    first, second = (
        read_pictures(it.rows, wanted, [], side, it.told)
        for it, wanted in zip((ours, theirs), numbers, strict=True)
    )
    return [
        Pair(first[here].image_id, first[here].thumbnail, second[there].thumbnail)
        for here, there in zip(*numbers, strict=True)
    ]
