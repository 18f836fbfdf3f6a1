"""Findings: what is wrong with a dataset, or odd, each with rows that show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from msgspec import Struct

from arrowimg._core.display.templates import shown_text
from arrowimg._dataset.view.columns import ROW_NUMBER, user_columns

if TYPE_CHECKING:
    from arrowimg._dataset.report import Report
    from arrowimg._dataset.view.figures import Figure

_EXAMPLES = 6
_LISTED = 10
_HEADER_NBYTES = 640
_LEAST_NBYTES_A_PIXEL = 0.02
_MOST_ASPECT = 4
_LEAST_SIDE = 32


class Finding(Struct, frozen=True):
    """Something that was looked for.

    Attributes
    ----------
    level
        ``"bad"``: something is wrong. ``"odd"``: worth a look. ``"good"``: nothing was found.
    title
        What was found, in a line.
    lines
        More about it.
    examples
        Numbers of rows that show it.
    where
        The rows that show it, as SQL; empty where no expression says so.
    """

    level: Literal["bad", "odd", "good"]
    title: str
    lines: Sequence[str] = ()
    examples: Sequence[int] = ()
    where: str = ""


def sql_name(name: str) -> str:
    """Return the name of a column as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def findings_of(rows: pl.LazyFrame, figures: Sequence[Figure], report: Report) -> list[Finding]:
    """Return what is wrong first, then what is odd, then what was found to be well.

    Parameters
    ----------
    rows
        Of `with_keys`, with their numbers.
    figures
        Of all columns.
    report
        Of `verify`.
    """
    found = [
        _files(report),
        *_errors(rows),
        _duplicates(rows),
        *_missing(rows, figures),
        *_odd(rows),
    ]
    order = {"bad": 0, "odd": 1, "good": 2}
    return sorted(found, key=lambda finding: order[finding.level])


def _files(report: Report) -> Finding:
    notices = [f"notice: {shown_text(notice, 200)}" for notice in report.notices[:_LISTED]]
    if report.is_sound:
        title = "Files: every shard has its size and counts, by a quick look that read no tar"
        return Finding("odd" if notices else "good", title, notices)
    lines = [shown_text(damage, 300) for damage in report.damages[:_LISTED]]
    more = len(report.damages) - len(lines)
    lines += [f"and {more:,} more"] if more else []
    return Finding("bad", f"Files: {len(report.damages):,} damages", [*lines, *notices])


def _errors(rows: pl.LazyFrame) -> list[Finding]:
    counted = rows.filter(pl.col("error").is_not_null()).group_by("error").len("count")
    codes = counted.collect().sort(["count", "error"], descending=[True, False])
    if not len(codes):
        return [Finding("good", "Errors: every row has its picture")]
    return [
        Finding(
            "bad",
            f"Error {shown_text(code, 40)}: {count:,} without a picture",
            _lines_of(rows, pl.col("error") == code),
            _first(rows, pl.col("error") == code),
            f"error = '{code.replace(chr(39), chr(39) * 2)}'",
        )
        for code, count in codes.head(_LISTED).iter_rows()
    ]


def _lines_of(rows: pl.LazyFrame, condition: pl.Expr) -> list[str]:
    shown = rows.filter(condition).select("image_id", "original_path").head(_EXAMPLES).collect()
    return [
        f"{shown_text(image_id)}, from {shown_text(path)}" if path else shown_text(image_id)
        for image_id, path in shown.iter_rows()
    ]


def _duplicates(rows: pl.LazyFrame) -> Finding:
    present = rows.filter(pl.col("checksum").is_not_null())
    # Of each picture 12 bytes: checksums are hashes already.
    hashed = present.select(ROW_NUMBER, hash=pl.col("checksum").hash())
    found = hashed.collect(engine="streaming")
    hashes, numbers = found["hash"].to_numpy(), found[ROW_NUMBER].to_numpy()
    order = np.lexsort((numbers, hashes))
    is_again = hashes[order][1:] == hashes[order][:-1]
    if not is_again.any():
        return Finding("good", "Duplicates: no two pictures have the same bytes")
    again = np.flatnonzero(is_again) + 1
    starts = again[np.concatenate([[True], np.diff(again) > 1])] - 1
    pairs = [
        int(numbers[order[at]]) for start in starts[: _EXAMPLES // 2] for at in (start, start + 1)
    ]
    title = f"Duplicates: {len(again):,} pictures have the very bytes of another"
    detail = f"{len(starts):,} different pictures are there more than once; two of each are shown"
    return Finding("odd", title, [detail], pairs)


def _missing(rows: pl.LazyFrame, figures: Sequence[Figure]) -> list[Finding]:
    columns = {column.name for column in user_columns([figure.column for figure in figures])}
    of_user = [it for it in figures if it.column.name in columns and not it.column.is_ours]
    found = []
    for figure in of_user:
        column, missing = figure.column, figure.num_null + figure.num_empty
        if not missing:
            continue
        name, values = sql_name(column.name), column.values
        condition, where = values.is_null(), f"{name} IS NULL"
        if figure.num_empty:
            condition |= values.cast(pl.String).str.strip_chars() == ""
            where = f"{where} OR TRIM({name}) = ''"
        title = (
            f"Column {shown_text(column.name, 60)}: {missing:,} of {figure.num_rows:,} rows lack it"
        )
        counts = f"{figure.num_null:,} null, {figure.num_empty:,} without a letter"
        found.append(Finding("odd", title, [counts], _first(rows, condition), where))
    if not found and of_user:
        return [Finding("good", "Columns: every row has a value in each")]
    return found


def _odd(rows: pl.LazyFrame) -> list[Finding]:
    width, height, size = (pl.col(name).cast(pl.Float64) for name in ("width", "height", "size"))
    of_pixels = (size - _HEADER_NBYTES) / (width * height)
    aspect = pl.max_horizontal(width / height, height / width)
    kinds = [
        (
            "Blank pictures",
            of_pixels < _LEAST_NBYTES_A_PIXEL,
            "so few bytes for their pixels that they may show nothing",
            f"(size - {_HEADER_NBYTES}.0) / (width * height) < {_LEAST_NBYTES_A_PIXEL}",
        ),
        (
            "Long pictures",
            aspect > _MOST_ASPECT,
            f"more than {_MOST_ASPECT} times as long as wide, or the other way round",
            f"width > {_MOST_ASPECT} * height OR height > {_MOST_ASPECT} * width",
        ),
        (
            "Small pictures",
            pl.min_horizontal(width, height) < _LEAST_SIDE,
            f"a side of less than {_LEAST_SIDE} pixels",
            f"width < {_LEAST_SIDE} OR height < {_LEAST_SIDE}",
        ),
    ]
    counts = rows.select([condition.sum().alias(name) for name, condition, *_ in kinds]).collect()
    return [
        Finding("odd", f"{name}: {count:,}", [detail], _first(rows, condition), where)
        if (count := counts[name][0])
        else Finding("good", f"{name}: none")
        for name, condition, detail, where in kinds
    ]


def _first(rows: pl.LazyFrame, condition: pl.Expr) -> list[int]:
    found = rows.filter(condition).select(ROW_NUMBER).head(_EXAMPLES).collect()
    return [int(number) for number in found[ROW_NUMBER]]
