"""View: one self-contained page that shows a dataset, what is wrong with it first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn, Unpack

import polars as pl
from msgspec import Struct

from arrowimg._core.html.templates import shown_text
from arrowimg._core.threads import check_polars_threads
from arrowimg._dataset.folder import Listing, read_listing, read_manifest
from arrowimg._dataset.report import Report
from arrowimg._dataset.scan import scan
from arrowimg._dataset.sidecars import read_footer
from arrowimg._dataset.verify import verify
from arrowimg._dataset.view.columns import columns_of, comparable_kind, user_columns, with_keys
from arrowimg._dataset.view.compare import Side, compare
from arrowimg._dataset.view.figures import figures_of
from arrowimg._dataset.view.findings import findings_of
from arrowimg._dataset.view.options import ViewKeywords, ViewOptions
from arrowimg._dataset.view.page import Contents, Strip, facts_text, page_html
from arrowimg._dataset.view.pictures import extreme_rows, read_pictures, sampled_rows
from arrowimg._storage.base import Storage
from arrowimg._storage.open import open_storage
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._dataset.view.columns import Column, ColumnKind
    from arrowimg._dataset.view.figures import Figure
    from arrowimg._dataset.view.findings import Finding
    from arrowimg._storage.base import Place

_MOST_STRIPS = 12


class Page(Struct, frozen=True):
    """A page that shows a dataset. A notebook shows it, too.

    Attributes
    ----------
    html
        The page: all of it, with its pictures.
    path
        Where it was written; None where it was not.
    num_pictures
        Rows that it shows.
    """

    html: str
    path: str | None
    num_pictures: int

    def __repr__(self) -> str:
        return f"Page(path={self.path!r}, num_pictures={self.num_pictures})"

    def _repr_html_(self) -> str:
        from html import escape  # noqa: PLC0415  # only where there is a notebook

        # A document of its own, which can neither see nor change the notebook.
        attributes = 'width="100%" height="720" sandbox="allow-scripts" title="arrowimg"'
        return f'<iframe srcdoc="{escape(self.html)}" {attributes}></iframe>'


def view(
    output_dir: Place,
    page: Place | None = None,
    *,
    against: Place | None = None,
    **keywords: Unpack[ViewKeywords],
) -> Page:
    """Return a page that shows a dataset: what is wrong, how it is spread, and pictures.

    The page is one HTML file. It loads nothing, and runs nothing but its own script; whatever the
    dataset holds is shown as text. Figures are computed of the sidecars; of the tars, only the
    pictures that are shown are read.

    Parameters
    ----------
    output_dir
        Folder of the shards.
    page
        The file to write, in place of one that is there; it is there as a whole or not at all.
        None: nothing is written.
    against
        Another dataset, to be shown side by side.
    **keywords
        - ``where``: which rows, as a `polars.Expr` or SQL text. All, unless it is said.
        - ``sort``: a column; the grid shows the first rows in its order, ``-`` before its name
          turns it round. Rows are drawn by lot, unless it is said.
        - ``sample``: rows of the grid, 200.
        - ``seed``: of the lot, 0.
        - ``thumbnail``: pixels of a picture's longer side, 160.
        - ``max_bytes``: most bytes of the page, 8,000,000; fewer pictures are shown where they
          would be more.

    Raises
    ------
    OptionError, KeywordError
        When an option has a value that it cannot have, or does not exist.
    ManifestError, SchemaError
        See `scan`.
    MissingDependencyError
        When the extra ``view`` is not installed.
    StorageError
        When the page cannot be written.

    Examples
    --------
    >>> arrowimg.view("out", "out.html", where="score < 0.1")  # doctest: +SKIP
    """
    options = ViewOptions(**keywords)
    check_polars_threads()
    contents = contents_of(output_dir, options, against)
    html = page_html(contents, options.max_bytes)
    path = None if page is None else _write(page, html)
    return Page(html, path, len(contents.pictures))


def contents_of(output_dir: Place, options: ViewOptions, against: Place | None = None) -> Contents:
    """Return all that the page of a dataset shows."""
    dataset = _dataset(output_dir, options)
    side, columns = dataset.side, [figure.column for figure in dataset.side.figures]
    rows, figures = side.rows, side.figures
    findings = findings_of(rows, figures, dataset.report)
    sort, down = _order(options.sort, columns)
    num_rows = figures[0].num_rows
    grid = sampled_rows(rows, num_rows, options.sample, options.seed, sort, down=down)
    strips = _strips(rows, figures)
    shown = [
        *_described(),
        *((it.name, comparable_kind(it), it.values) for it in user_columns(columns)),
    ]
    wanted = [*grid, *(number for finding in findings for number in finding.examples)]
    wanted += [number for strip in strips for number in (*strip.least, *strip.most)]
    named = [(name, values) for name, _, values in shown]
    pictures = read_pictures(rows, wanted, named, options.thumbnail)
    comparison = None
    if against is not None:
        other = _dataset(against, options).side
        figures, comparison = compare(side, other, options.thumbnail)
    return Contents(
        title=side.title,
        path=os.fspath(output_dir),
        where=_sql(options.where),
        facts=side.facts,
        details=_details(os.fspath(output_dir), dataset.listing, dataset.storage, options),
        findings=findings,
        figures=figures,
        strips=strips,
        columns=[(name, kind) for name, kind, _ in shown],
        grid=grid,
        pictures=pictures,
        notes=_notes(findings, figures, grid, options),
        against=comparison,
    )


class _Dataset(Struct, frozen=True):
    """A dataset that was looked into."""

    side: Side
    storage: Storage
    listing: Listing
    report: Report


def _dataset(output_dir: Place, options: ViewOptions) -> _Dataset:
    storage = open_storage(output_dir)
    listing = read_listing(storage)
    scanned = scan(output_dir)
    schema = scanned.collect_schema()
    rows = with_keys(_filtered(scanned, options.where), schema)
    figures = _computed(rows, columns_of(schema), options)
    report = verify(output_dir, "quick", progress=False)
    name = os.fspath(output_dir).rstrip("/")
    title = shown_text(name.rpartition("/")[2] or name)
    facts = _facts(figures, listing, report, storage)
    side = Side(title, rows, figures, facts, listing.has_sha256)
    return _Dataset(side, storage, listing, report)


def _filtered(rows: pl.LazyFrame, where: object) -> pl.LazyFrame:
    if where is None:
        return rows
    if not isinstance(where, str | pl.Expr):
        _refuse(where, type(where).__qualname__)
    try:
        condition = pl.sql_expr(where) if isinstance(where, str) else where
        kind = rows.select(wanted=condition).collect_schema()["wanted"]
    except pl.exceptions.PolarsError as error:
        _refuse(where, str(error).splitlines()[0], error)
    if kind not in {pl.Boolean, pl.Null}:
        _refuse(where, f"values of type {kind}")
    return rows.filter(condition)


def _refuse(where: object, found: str, cause: Exception | None = None) -> NoReturn:
    option, expected = "where", "an expression over the columns that is true or false for each row"
    raise OptionError(option, expected, f"{where}: {found}") from cause


def _computed(rows: pl.LazyFrame, columns: Sequence[Column], options: ViewOptions) -> list[Figure]:
    """Return the figures; an expression may turn out to fail only when it is computed."""
    try:
        return figures_of(rows, columns)
    except pl.exceptions.PolarsError as error:
        if options.where is None:
            raise
        _refuse(options.where, str(error).splitlines()[0], error)


def _order(sort: str | None, columns: Sequence[Column]) -> tuple[pl.Expr | None, bool]:
    """Return what the grid is sorted by, and whether the largest come first."""
    if sort is None:
        return None, False
    by_name = {it.name: it.values for it in columns} | {
        name: values for name, _, values in _described()
    }
    down = sort not in by_name and sort.startswith("-")
    name = sort[1:] if down else sort
    if name not in by_name:
        option, columns_there = "sort", ", ".join(shown_text(it, 40) for it in by_name)
        raise OptionError(option, f"a column: {columns_there}", sort)
    return by_name[name], down


def _strips(rows: pl.LazyFrame, figures: Sequence[Figure]) -> list[Strip]:
    measured = [it.column for it in figures if it.least is not None and it.least != it.most]
    return [Strip(it, *extreme_rows(rows, it)) for it in measured[:_MOST_STRIPS]]


def _described() -> list[tuple[str, ColumnKind, pl.Expr]]:
    """Return what every sidecar says of a row, as it is shown."""
    kinds: list[tuple[str, ColumnKind]] = [
        ("image_id", "text"),
        ("error", "text"),
        ("width", "number"),
        ("height", "number"),
        ("channels", "number"),
        ("size", "number"),
        ("action", "text"),
        ("tar_file", "text"),
        ("member_name", "text"),
        ("original_path", "text"),
    ]
    return [(name, kind, pl.col(name)) for name, kind in kinds]


def _facts(
    figures: Sequence[Figure], listing: Listing, report: Report, storage: Storage
) -> list[tuple[str, str]]:
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
        ("quick verify", "sound" if report.is_sound else f"{len(report.damages):,} damages"),
    ]


def _details(
    path: str, listing: Listing, storage: Storage, options: ViewOptions
) -> list[tuple[str, str]]:
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


def _spelled(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_spelled(it)}" for name, it in value.items()) or "none"
    return "none" if value is None else str(value)


def _notes(
    findings: Sequence[Finding], figures: Sequence[Figure], grid: list[int], options: ViewOptions
) -> dict[str, str]:
    bad, odd = (sum(it.level == level for it in findings) for level in ("bad", "odd"))
    wrong = f"{bad} {'thing is' if bad == 1 else 'things are'} wrong" if bad else "Nothing is wrong"
    look = f"{odd} {'is' if odd == 1 else 'are'} worth a look" if odd else "nothing is odd"
    rows = f"{figures[0].num_rows:,} rows"
    chosen = f"where {_sql(options.where)}" if options.where is not None else "of the dataset"
    how = (
        f"the first by {shown_text(options.sort, 60)}"
        if options.sort
        else f"drawn by lot with seed {options.seed}"
    )
    return {
        "verdict": f"{wrong}, {look}. This was quick: 'arrowimg verify' compares every byte.",
        "spread": f"All {rows} {shown_text(chosen, 200)}, by their sidecars.",
        "shown": f"{len(grid):,} of {rows}, {how}. A click shows every column.",
        "made": "Made by arrowimg view. This page holds all that it shows, and loads nothing.",
    }


def _sql(where: object) -> str:
    """Return a filter as SQL; an expression of Polars has none."""
    return where if isinstance(where, str) else ""


def _write(page: Place, html: str) -> str:
    """Write a page as a whole, or not at all; returns its path."""
    folder, slash, name = os.fspath(page).rpartition("/")
    storage = open_storage(folder or slash or ".", argument="page")
    with storage.begin("xxh3_128") as transaction:
        transaction.create(name).write(html.encode())
        transaction.publish("overwrite")
    return os.fspath(page)
