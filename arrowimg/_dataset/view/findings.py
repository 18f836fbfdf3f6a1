"""Findings: what is wrong with a dataset, or odd, each with rows that show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from msgspec import Struct

from arrowimg._core.display.templates import shown_text
from arrowimg._dataset.report import verdict_of
from arrowimg._dataset.view.columns import ROW_NUMBER, user_columns, with_numbers

if TYPE_CHECKING:
    from arrowimg._dataset.report import Report
    from arrowimg._dataset.view.figures import Figure

_EXAMPLES = 6
_LISTED = 10
_COPIES = 8
_COMPARED = 1000
_HEADER_NBYTES = 640
_LEAST_NBYTES_A_PIXEL = 0.02
_MOST_ASPECT = 4
_LEAST_SIDE = 32


class Finding(Struct, frozen=True):
    """Something that was looked for.

    Attributes
    ----------
    level
        ``"bad"``: something is wrong. ``"odd"``: worth a look. ``"note"``: good to know.
        ``"good"``: nothing was found.
    about
        What was looked for, in a word or two.
    title
        What was found, in a line.
    lines
        More about it.
    examples
        Numbers of rows that show it.
    where
        The rows that show it, as SQL; empty where no expression says so.
    num_rows
        How many rows show it; 0 where that is not about rows.
    """

    level: Literal["bad", "odd", "note", "good"]
    about: str
    title: str
    lines: Sequence[str] = ()
    examples: Sequence[int] = ()
    where: str = ""
    num_rows: int = 0


def sql_name(name: str) -> str:
    """Return the name of a column as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def findings_of(
    rows: pl.LazyFrame, figures: Sequence[Figure], report: Report, alpha: str
) -> list[Finding]:
    """Return what is wrong first, then what is odd, what is good to know, and what is well.

    Parameters
    ----------
    rows
        Of `with_keys`, with their numbers.
    figures
        Of all columns.
    report
        Of `verify`.
    alpha
        Over what transparency was laid, as it was recorded.
    """
    found = [
        _files(report),
        *_errors(rows),
        _duplicates(rows, figures),
        *_missing(rows, figures),
        *_odd(rows),
        *_transcoded(rows, alpha),
    ]
    order = {"bad": 0, "odd": 1, "note": 2, "good": 3}
    return sorted(found, key=lambda finding: order[finding.level])


def _files(report: Report) -> Finding:
    notices = [f"notice: {shown_text(notice, 200)}" for notice in report.notices[:_LISTED]]
    if report.is_sound:
        title = "Files: every shard has its size and counts, by a quick look that read no tar"
        return Finding("odd" if notices else "good", "files", title, notices)
    lines = [shown_text(damage, 300) for damage in report.damages[:_LISTED]]
    more = len(report.damages) - len(lines)
    lines += [f"and {more:,} more"] if more else []
    return Finding("bad", "files", f"Files: {verdict_of(report)}", [*lines, *notices])


def _errors(rows: pl.LazyFrame) -> list[Finding]:
    counted = rows.filter(pl.col("error").is_not_null()).group_by("error").len("count")
    codes = counted.collect().sort(["count", "error"], descending=[True, False])
    if not len(codes):
        return [Finding("good", "errors", "Errors: every row has its picture")]
    return [
        Finding(
            "bad",
            f"error {shown_text(code, 40)}",
            f"Error {shown_text(code, 40)}: {count:,} without a picture",
            _lines_of(rows, pl.col("error") == code),
            _first(rows, pl.col("error") == code),
            f"error = '{code.replace(chr(39), chr(39) * 2)}'",
            count,
        )
        for code, count in codes.head(_LISTED).iter_rows()
    ]


def _lines_of(rows: pl.LazyFrame, condition: pl.Expr) -> list[str]:
    shown = rows.filter(condition).select("image_id", "original_path").head(_EXAMPLES).collect()
    return [
        f"{shown_text(image_id)}, from {shown_text(path)}" if path else shown_text(image_id)
        for image_id, path in shown.iter_rows()
    ]


def _duplicates(rows: pl.LazyFrame, figures: Sequence[Figure]) -> Finding:
    copies = _copies(rows)
    if not copies.counts:
        return Finding("good", "duplicates", "Duplicates: no two pictures have the same bytes")
    num_pictures, num_rows = len(copies.counts), sum(copies.counts)
    title = (
        f"Duplicates: 1 picture is there {num_rows:,} times"
        if num_pictures == 1
        else f"Duplicates: {num_pictures:,} pictures are there more than once, in {num_rows:,} rows"
    )
    lines = _lines_of_copies(rows, figures, copies)
    more = num_pictures - len(copies.rows)
    lines += [f"and {more:,} more"] if more else []
    examples = [number for group in copies.rows for number in group[:_COPIES]][:_COPIES]
    where = 'COUNT("checksum") OVER (PARTITION BY "checksum") > 1'
    return Finding("odd", "duplicates", title, lines, examples, where, num_rows)


class _Copies(Struct, frozen=True):
    """How often each picture is there that is there more than once, and the first rows of some."""

    counts: list[int]
    rows: list[list[int]]


def _copies(rows: pl.LazyFrame) -> _Copies:
    """Return the pictures that are there more than once, those first that are there most often."""
    present = rows.filter(pl.col("checksum").is_not_null())
    # Of each picture 12 bytes: checksums are hashes already.
    hashed = present.select(ROW_NUMBER, hash=pl.col("checksum").hash())
    found = hashed.collect(engine="streaming")
    hashes, numbers = found["hash"].to_numpy(), found[ROW_NUMBER].to_numpy()
    order = np.lexsort((numbers, hashes))
    is_first = np.concatenate([[True], hashes[order][1:] != hashes[order][:-1]])[: len(order)]
    starts = np.flatnonzero(is_first)
    counts = np.diff(starts, append=len(order))
    starts, counts = starts[counts > 1], counts[counts > 1]
    ranked = np.lexsort((numbers[order[starts]], -counts))
    most = [slice(starts[at], starts[at] + min(counts[at], _COMPARED)) for at in ranked[:_LISTED]]
    return _Copies(counts[ranked].tolist(), [numbers[order[it]].tolist() for it in most])


def _lines_of_copies(rows: pl.LazyFrame, figures: Sequence[Figure], copies: _Copies) -> list[str]:
    """Return the ids of equal pictures, and the user's columns in which their rows differ."""
    columns = user_columns([figure.column for figure in figures])
    compared = [it for it in columns if it.kind in {"number", "flag", "text", "time"}]
    hashed = [it.values.hash().alias(str(at)) for at, it in enumerate(compared)]
    chosen = with_numbers(rows, [number for group in copies.rows for number in group])
    found = chosen.select(ROW_NUMBER, "image_id", *hashed).collect(engine="streaming")
    lines = []
    for count, group in zip(copies.counts, copies.rows, strict=False):
        equal = found.filter(pl.col(ROW_NUMBER).is_in(group)).sort(ROW_NUMBER)
        ids = ", ".join(shown_text(it, 60) for it in equal["image_id"].head(_COPIES))
        more = f", and {count - _COPIES:,} more" if count > _COPIES else ""
        differing = [it.name for at, it in enumerate(compared) if equal[str(at)].n_unique() > 1]
        names = ", ".join(shown_text(name, 40) for name in differing[:_COPIES])
        differ = f"; they differ in {names}" if names else ""
        lines.append(f"{count:,} times: {ids}{more}{differ}")
    return lines


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
        about, examples = f"no {shown_text(column.name, 40)}", _first(rows, condition)
        found.append(Finding("odd", about, title, [counts], examples, where, missing))
    if not found and of_user:
        return [Finding("good", "columns", "Columns: every row has a value in each")]
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
        Finding("odd", name, f"{name}: {count:,}", [detail], _first(rows, condition), where, count)
        if (count := counts[name][0])
        else Finding("good", name, f"{name}: none")
        for name, condition, detail, where in kinds
    ]


def _transcoded(rows: pl.LazyFrame, alpha: str) -> list[Finding]:
    condition = pl.col("action") == "transcoded"
    count = rows.select(condition.sum()).collect().item()
    if not count:
        return []
    title = f"Transcoded: {count:,} {'picture' if count == 1 else 'pictures'} became JPEG"
    detail = (
        "none of them had alpha, which was refused"
        if alpha == "error"
        else f"alpha was laid over {alpha}; which of them had it, the sidecars do not say"
    )
    examples, where = _first(rows, condition), "action = 'transcoded'"
    return [Finding("note", "transcoded", title, [detail], examples, where, count)]


def _first(rows: pl.LazyFrame, condition: pl.Expr) -> list[int]:
    found = rows.filter(condition).select(ROW_NUMBER).head(_EXAMPLES).collect()
    return [int(number) for number in found[ROW_NUMBER]]
