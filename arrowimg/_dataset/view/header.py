"""The header of a page, and the sentences below its titles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arrowimg._core.display.templates import shown_text
from arrowimg._dataset.folder import read_manifest
from arrowimg._dataset.report import verdict_of
from arrowimg._dataset.sidecars import read_footer
from arrowimg._dataset.view.page import facts_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._dataset.folder import Listing
    from arrowimg._dataset.report import Report
    from arrowimg._dataset.view.figures import Figure
    from arrowimg._dataset.view.findings import Finding
    from arrowimg._dataset.view.options import ViewOptions
    from arrowimg._storage.base import Storage


_OF_ALL = "Bytes, shards and the quick verify are those of the whole dataset."


def facts_of(
    figures: Sequence[Figure], listing: Listing, report: Report, storage: Storage
) -> list[tuple[str, str]]:
    """Return labels and values of what a dataset is, in numbers."""
    num_rows, num_errors = figures[0].num_rows, figures[0].num_null
    nbytes = sum(
        storage.stat(it).nbytes for shard in listing.shards for it in (shard.parquet, shard.tar)
    )
    return [
        ("pictures", f"{num_rows - num_errors:,}"),
        ("rows", f"{num_rows:,}"),
        ("errors", f"{num_errors:,}"),
        ("on disk", facts_text(nbytes)),
        ("shards", f"{len(listing.shards):,}"),
        ("manifest", "yes" if listing.has_manifest else "none"),
        ("quick verify", verdict_of(report)),
    ]


def details_of(
    path: str, listing: Listing, storage: Storage, options: ViewOptions
) -> list[tuple[str, str]]:
    """Return labels and values of how a dataset was written, and the page made."""
    manifest = read_manifest(storage)
    writer = manifest.writer if manifest else {}
    if not writer and listing.shards:
        writer = read_footer(storage, listing.shards[0].parquet).writer
    written_by = ", ".join(f"{it} {version}" for it, version in writer.items())
    recorded = listing.records[0][1] if listing.records else {}
    shards = listing.shards
    names = f"{shards[0].tar} to {shards[-1].tar}" if shards else "none"
    said = {name: getattr(options, name) for name in options.__struct_fields__}
    return [
        ("dataset", shown_text(path, 300)),
        ("shards", shown_text(names, 300)),
        ("written by", shown_text(written_by, 300)),
        *((shown_text(name, 40), shown_text(_spelled(it), 300)) for name, it in recorded.items()),
        ("this page", shown_text(_spelled(said), 300)),
    ]


def alpha_of(listing: Listing) -> str:
    """Return over what transparency was laid, as the options say that were recorded."""
    said = {str(it.get("pixels", {}).get("alpha")) for _, it in listing.records}
    return shown_text(" or ".join(sorted(said - {"None"})) or "a colour that is not recorded")


def _spelled(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_spelled(it)}" for name, it in value.items()) or "none"
    return "none" if value is None else str(value)


def notes_of(
    findings: Sequence[Finding],
    figures: Sequence[Figure],
    grid: list[int],
    options: ViewOptions,
    listing: Listing,
    *,
    has_other: bool,
) -> dict[str, str]:
    """Return the sentences that stand below the titles of the page."""
    has_where = options.where is not None
    bad, odd = (sum(it.level == level for it in findings) for level in ("bad", "odd"))
    wrong = f"{bad} {'thing is' if bad == 1 else 'things are'} wrong" if bad else "Nothing is wrong"
    look = f"{odd} {'is' if odd == 1 else 'are'} worth a look" if odd else "nothing is odd"
    rows = f"{figures[0].num_rows:,} rows"
    chosen = f"where {shown_text(options.where, 200)}" if has_where else "of the dataset"
    whole = f"{sum(shard.num_rows for shard in listing.shards):,}"
    among = f"Of these {rows}: {wrong[0].lower()}{wrong[1:]}" if has_where else wrong
    how = (
        f"the first by {shown_text(options.sort, 60)}"
        if options.sort
        else f"drawn by lot with seed {options.seed}"
    )
    heights = " The highest bars of both are as high." if has_other else ""
    return {
        "only": f"Only rows {chosen}: {figures[0].num_rows:,} of {whole}. {_OF_ALL}"
        if has_where
        else "",
        "verdict": f"{among}, {look}. This was quick: 'arrowimg verify' compares every byte.",
        "spread": f"All {rows} {chosen}, by their sidecars.{heights}",
        "shown": f"{len(grid):,} of {rows}, {how}. A click shows every column.",
        "made": "Made by arrowimg view. This page holds all that it shows, and loads nothing.",
    }


def sql_of(where: object) -> str:
    """Return a filter as SQL; an expression of Polars has none."""
    return where if isinstance(where, str) else ""
