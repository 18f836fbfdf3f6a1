"""From a folder to all that its page shows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import polars as pl
from msgspec import Struct

from arrowimg._core.display.templates import shown_text
from arrowimg._dataset.folder import Listing, read_listing
from arrowimg._dataset.report import Report
from arrowimg._dataset.scan import scan
from arrowimg._dataset.verify import verify
from arrowimg._dataset.view.charts import measure_text
from arrowimg._dataset.view.columns import columns_of, comparable_kind, user_columns, with_keys
from arrowimg._dataset.view.compare import Side, compare
from arrowimg._dataset.view.figures import figures_of
from arrowimg._dataset.view.findings import findings_of
from arrowimg._dataset.view.header import alpha_of, details_of, facts_of, notes_of, sql_of
from arrowimg._dataset.view.page import Contents, Strip
from arrowimg._dataset.view.pictures import extreme_rows, read_pictures, sampled_rows
from arrowimg._storage.adopted import Adopted
from arrowimg._storage.base import Storage
from arrowimg._storage.open import is_in_store, open_storage, place_as_text
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._dataset.view.columns import Column, ColumnKind
    from arrowimg._dataset.view.figures import Figure
    from arrowimg._dataset.view.options import ViewOptions
    from arrowimg._storage.base import Place, StorageOptions

_MOST_STRIPS = 12


def contents_of(
    output_dir: Place,
    options: ViewOptions,
    against: Place | None,
    storage_options: StorageOptions | None,
) -> Contents:
    """Return all that the page of a dataset shows."""
    dataset = _dataset(output_dir, options, storage_options)
    side, columns = dataset.side, [figure.column for figure in dataset.side.figures]
    rows, figures = side.rows, side.figures
    findings = findings_of(rows, figures, dataset.report, alpha_of(dataset.listing))
    sort, down = _order(options.sort, columns)
    num_rows = figures[0].num_rows
    grid = sampled_rows(rows, num_rows, options.sample, options.seed, sort, down=down)
    strips = _strips(rows, figures)
    first, *others = _described()
    of_user = ((it.name, comparable_kind(it), it.values) for it in user_columns(columns))
    shown = [first, *of_user, *others]
    wanted = [*grid, *(number for finding in findings for number in finding.examples)]
    wanted += [number for strip in strips for number, _ in (*strip.least, *strip.most)]
    named = [(name, values) for name, _, values in shown]
    pictures = read_pictures(rows, wanted, named, options.thumbnail, side.told)
    comparison = None
    if against is not None:
        other = _dataset(against, options, storage_options).side
        figures, comparison = compare(side, other, options.thumbnail)
    return Contents(
        title=side.title,
        path=dataset.path,
        where=sql_of(options.where),
        facts=side.facts,
        details=details_of(dataset.path, dataset.listing, dataset.storage, options),
        findings=findings,
        figures=figures,
        strips=strips,
        columns=[(name, kind) for name, kind, _ in shown],
        sort=(options.sort or "").removeprefix("-" if down else ""),
        num_rows=num_rows,
        grid=grid,
        pictures=pictures,
        notes=notes_of(
            findings, figures, grid, options, dataset.listing, has_other=against is not None
        ),
        against=comparison,
    )


class _Dataset(Struct, frozen=True):
    """A dataset that was looked into."""

    path: str
    side: Side
    storage: Storage
    listing: Listing
    report: Report


def _dataset(
    output_dir: Place, options: ViewOptions, storage_options: StorageOptions | None
) -> _Dataset:
    of_stores = None if isinstance(output_dir, str | os.PathLike | Adopted) else output_dir
    is_ready = of_stores is not None
    told = None if is_ready or not is_in_store(output_dir) else storage_options
    storage = open_storage(output_dir, told)
    listing = read_listing(storage)
    scanned = scan(output_dir, storage_options=told)
    schema = scanned.collect_schema()
    rows = with_keys(_filtered(scanned, options.where), schema)
    figures = _computed(rows, columns_of(schema), options)
    report = verify(output_dir, "quick", progress=False, storage_options=told)
    path = place_as_text(output_dir, storage)
    title = shown_text(path.rstrip("/").rpartition("/")[2] or path)
    facts = facts_of(figures, listing, report, storage)
    side = Side(title, rows, figures, facts, listing.has_sha256, of_stores or told)
    return _Dataset(path, side, storage, listing, report)


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
    measured = [it for it in figures if it.least is not None and it.least != it.most]
    return [
        Strip(it.column, *(_labelled(it, ends) for ends in extreme_rows(rows, it.column)))
        for it in measured[:_MOST_STRIPS]
    ]


def _labelled(figure: Figure, ends: Sequence[tuple[int, float]]) -> list[tuple[int, str]]:
    column = figure.column
    unit = f" {column.measured}" if column.measured and not column.is_ours else ""
    return [(number, f"{measure_text(figure, value)}{unit}") for number, value in ends]


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
