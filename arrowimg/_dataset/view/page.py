"""The page: what was found, as HTML that needs nothing else and runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from arrowimg._core.display.templates import render, shown_text, source_text
from arrowimg._core.version import __version__
from arrowimg._dataset.view.charts import histogram, number_text, shares
from arrowimg._dataset.view.columns import Column, ColumnKind
from arrowimg._dataset.view.compare import Comparison
from arrowimg._dataset.view.figures import TOP_LETTERS, Figure
from arrowimg._dataset.view.findings import Finding, sql_name
from arrowimg._dataset.view.options import ViewOptions
from arrowimg._dataset.view.pictures import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence


_PACKAGE = "arrowimg._dataset.view"
_NAME_LETTERS = 200
_EXACT = 100
_SAMPLE = ViewOptions().sample
_MOST_SAMPLE = 1000


class Strip(Struct, frozen=True):
    """The rows of the least and of the largest values of a column, with these values."""

    column: Column
    least: list[tuple[int, str]]
    most: list[tuple[int, str]]


class Contents(Struct, frozen=True):
    """All that a page shows.

    Attributes
    ----------
    title, path
        What the dataset is called, and how a caller said it.
    where
        The filter of the rows, as SQL; empty: all rows.
    facts, details
        Labels and values of the header.
    findings, figures
        What is wrong, and how columns are spread.
    strips
        Extremes.
    columns
        Name, SQL and kind of each column that a row is shown with.
    sort
        The column that the grid is in the order of; empty: drawn by lot.
    num_rows
        All rows, of which some are shown.
    grid
        Numbers of the rows of the sample, in order.
    pictures
        All rows that are shown, by number.
    notes
        Sentences: verdict, what is spread, what is shown, how it was made.
    against
        The other dataset, if any.
    """

    title: str
    path: str
    where: str
    facts: list[tuple[str, str]]
    details: list[tuple[str, str]]
    findings: list[Finding]
    figures: list[Figure]
    strips: list[Strip]
    columns: list[tuple[str, ColumnKind]]
    sort: str
    num_rows: int
    grid: list[int]
    pictures: dict[int, Picture]
    notes: Mapping[str, str]
    against: Comparison | None = None


def page_html(contents: Contents, max_bytes: int) -> str:
    """Return the page, in at most `max_bytes` of UTF-8: it has fewer pictures where it must."""
    numbers = _in_order(contents)
    while True:
        html = _html(contents, numbers)
        nbytes = len(html.encode())
        if nbytes <= max_bytes or not numbers:
            return html
        # Those that matter most come first.
        numbers = numbers[: int(len(numbers) * min(0.95, 0.97 * max_bytes / nbytes))]


def _in_order(contents: Contents) -> list[int]:
    """Return the rows of examples and the sample, then those of the strips."""
    of_findings = [number for finding in contents.findings for number in finding.examples]
    of_strips = [number for it in contents.strips for number, _ in (*it.least, *it.most)]
    wanted = dict.fromkeys([*of_findings[:60], *contents.grid, *of_findings, *of_strips])
    return [number for number in wanted if number in contents.pictures]


def _html(contents: Contents, numbers: Sequence[int]) -> str:
    style, script = (source_text(_PACKAGE, name) for name in ("page.css", "page.js"))
    there = set(numbers)
    grid = [number for number in contents.grid if number in there]
    extra = sorted(there.difference(grid))
    notes = dict(contents.notes)
    left_out = len(contents.pictures) - len(numbers)
    if left_out:
        notes["shown"] += f" {left_out:,} more are left out, so that the page is not too large."
    return render(
        _PACKAGE,
        "page.html",
        {
            "version": __version__,
            "policy": _policy(style, script),
            "style": style,
            "script": script,
            "title": contents.title,
            "facts": [_tile(label, value, contents.findings) for label, value in contents.facts],
            "details": contents.details,
            "findings": [_finding(it, contents, there) for it in contents.findings],
            "cards": _cards(contents),
            "strips": [_strip(it, there) for it in contents.strips],
            "pictures": [
                *(_figure(contents, number, is_extra=False) for number in grid),
                *(_figure(contents, number, is_extra=True) for number in extra),
            ],
            "against": contents.against,
            "sort": contents.sort,
            "data": _data(contents, [*grid, *extra]),
            **notes,
        },
    )


def _policy(style: str, script: str) -> str:
    """Return a policy that forbids all but pictures within the page, its style and its script."""
    of_style, of_script = (
        base64.b64encode(hashlib.sha256(it.encode()).digest()).decode() for it in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{of_style}'; "
        f"script-src 'sha256-{of_script}'; base-uri 'none'; form-action 'none'"
    )


def _tile(label: str, value: str, findings: Sequence[Finding]) -> dict[str, str]:
    """Return a fact of the head, with a link to what is wrong with it."""
    about = {"errors": "error ", "quick verify": "files"}.get(label, "none")
    levels = {at: it.level for at, it in enumerate(findings) if it.about.startswith(about)}
    bad = [at for at, level in levels.items() if level == "bad"]
    is_good = "good" in levels.values() and not bad
    level, link = ("bad", f"#finding-{bad[0]}") if bad else ("good" if is_good else "", "")
    return {"label": label, "value": value, "level": level, "link": link}


def _finding(finding: Finding, contents: Contents, there: set[int]) -> dict[str, Any]:
    is_said = (
        finding.where and len(finding.where) <= 2 * _NAME_LETTERS and finding.where.isprintable()
    )
    where = finding.where if is_said else ""
    both = f"({contents.where}) AND ({where})" if contents.where and where else where
    page = _file_name(f"{contents.title} {finding.about}")
    command = ["arrowimg", "view", contents.path, "--where", both, "-o", page]
    is_bounded = finding.num_rows > _MOST_SAMPLE
    if finding.num_rows > _SAMPLE:
        command += ["--sample", str(_MOST_SAMPLE if is_bounded else finding.num_rows)]
    return {
        "level": finding.level,
        "title": finding.title,
        "lines": finding.lines,
        "examples": [number for number in finding.examples if number in there],
        "says": f"{_MOST_SAMPLE:,} of them:" if is_bounded else "All of them:",
        "command": " ".join(map(_quoted, command)) if where else "",
    }


def _quoted(words: str) -> str:
    """Return words as a shell takes them; between double quotes where that reads better."""
    is_plain = "'" in words and not set(words) & set('"$`\\!')
    return f'"{words}"' if is_plain else shlex.quote(words)


def _file_name(words: str) -> str:
    """Return the name of a page about something, of letters that no system minds."""
    return f"{re.sub(r'[^a-z0-9]+', '-', words[:80].lower()).strip('-')}.html"


def _cards(contents: Contents) -> list[dict[str, Any]]:
    others = contents.against.figures if contents.against else [None] * len(contents.figures)
    return [_card(figure, other) for figure, other in zip(contents.figures, others, strict=True)]


def _card(figure: Figure, other: Figure | None) -> dict[str, Any]:
    column, tops = figure.column, dict(other.top) if other else {}
    most = max([count for _, count in figure.top] + [*tops.values()], default=0)
    rows = figure.num_rows or 1
    about = "about " if figure.is_rounded and figure.num_distinct > _EXACT else ""
    notes = [f"{about}{figure.num_distinct:,} different values"] if figure.num_distinct > 1 else []
    if figure.num_null:
        notes.append(f"{figure.num_null:,} null ({100 * figure.num_null / rows:.3g} %)")
    if figure.num_empty:
        notes.append(f"{figure.num_empty:,} without a letter")
    if figure.is_top_of_some and figure.top:
        notes.append("most frequent of the first 100,000 rows")
    return {
        "name": shown_text(column.name, 80),
        "dtype": column.measured if column.is_ours else _of(column),
        "chart": histogram(figure, other),
        "notes": [" · ".join(notes)] if notes else [],
        "top": [
            {
                "value": _plain_number(shown_text(value, 80)),
                "count": f"{count:,}",
                "bars": shares([count, *([tops.get(value, 0)] if other else [])], most),
            }
            for value, count in figure.top
        ],
    }


def _of(column: Column) -> str:
    dtype = shown_text(re.sub(r"\w+=|'", "", column.dtype), 40)
    return f"{dtype}, by {column.measured}" if column.measured else dtype


def _plain_number(text: str) -> str:
    return text.removesuffix(".0") if text.removesuffix(".0").isdecimal() else text or "(empty)"


def _strip(strip: Strip, there: set[int]) -> dict[str, Any]:
    column = strip.column
    name = shown_text(column.name, 60)
    return {
        "name": f"{name}: {column.measured}" if column.measured and not column.is_ours else name,
        "measured": f"{column.measured} of {name}"
        if column.measured and not column.is_ours
        else name,
        "least": [(number, label) for number, label in strip.least if number in there],
        "most": [(number, label) for number, label in strip.most if number in there],
    }


def _figure(contents: Contents, number: int, *, is_extra: bool) -> dict[str, Any]:
    picture = contents.pictures[number]
    return {
        **{name: getattr(picture, name) for name in picture.__struct_fields__ if name != "values"},
        "caption": _caption(contents, picture),
        "is_extra": is_extra,
    }


def _caption(contents: Contents, picture: Picture) -> str:
    """Return the text of a picture: the column of that name, or else the user's first text."""
    texts = [at for at, (_, kind) in enumerate(contents.columns) if kind == "text"]
    named = [at for at in texts if contents.columns[at][0].lower() in {"caption", "text", "txt"}]
    ours = {"image_id", "error", "action", "tar_file", "member_name", "original_path"}
    for at in [*named, *(at for at in texts if contents.columns[at][0] not in ours)][:1]:
        value = picture.values[at]
        return "(no caption)" if value is None else shown_text(value, 160)
    return ""


def _data(contents: Contents, numbers: Sequence[int]) -> str:
    """Return what the script knows, as JSON that no HTML parser takes for anything else."""
    figures = {it.column.name: it for it in contents.figures if not it.column.is_ours}
    columns = [
        {
            "name": shown_text(name, 80),
            "kind": kind,
            "sql": sql_name(name) if len(name) <= _NAME_LETTERS and name.isprintable() else "",
            "nulls": figures[name].num_null if name in figures else None,
            "counts": _counts(figures[name]) if name in figures else {},
        }
        for name, kind in contents.columns
    ]
    names = [name for name, _ in contents.columns]
    rows = {str(number): contents.pictures[number].values for number in numbers}
    document = {
        "path": contents.path,
        "where": contents.where,
        "file": _file_name(f"{contents.title} filter"),
        "sort": names.index(contents.sort) if contents.sort in names else None,
        "total": contents.num_rows,
        "sample": _MOST_SAMPLE,
        "columns": columns,
        "rows": rows,
    }
    encoded = msgspec.json.encode(document).decode()
    for letter in "<>&\u2028\u2029":
        encoded = encoded.replace(letter, f"\\u{ord(letter):04x}")
    return encoded


def _counts(figure: Figure) -> dict[str, int]:
    """Return how many rows have each of the values whose rows were all counted."""
    return (
        {}
        if figure.is_top_of_some
        else {it: count for it, count in figure.top if len(it) < TOP_LETTERS}
    )


def facts_text(value: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{number_text(value)} {unit}" if unit == "bytes" else f"{value:.3g} {unit}"
        value /= 1000
    return ""
