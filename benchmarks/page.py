"""The page ``docs/explanation/benchmarks.md``: its tables, put between markers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import CONTENDERS, ENVIRONMENTS
from benchmarks.environments import ROOT
from benchmarks.figures import ratios, spread
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.results import Figure, Run

PAGE = ROOT / "docs" / "explanation" / "benchmarks.md"


def splice(text: str, sections: Mapping[str, str]) -> str:
    """Return a page with the text between each section's markers replaced.

    The markers of a section are ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``.

    Raises
    ------
    ValueError
        When the page lacks the markers of a section, or has them twice.
    """
    for name, section in sections.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"one {begin!r} and one {end!r} are expected")
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{section.strip()}\n\n{end}{after}"
    return text


def refresh(sections: Mapping[str, str], page: Path = PAGE) -> None:
    """Replace sections of the page."""
    page.write_text(splice(page.read_text(encoding="utf-8"), sections), encoding="utf-8")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first row is its head."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def when(run: Run) -> str:
    """Return when a run was, and how quiet the machine was, in sentences."""
    kind = "A quick run, which says little" if run.quick else "A full run"
    return (
        f"{kind}, {run.date}, {run.num_rounds} rounds.\n"
        f"Others disturbed {run.redone} rounds of a block, which were measured again, and "
        f"{run.disturbed} measurements that count nevertheless."
    )


def where(run: Run) -> str:
    """Return on which machine a run was, in a sentence."""
    cores, memory = run.machine["cores"], run.machine["memory"]
    return f"On {run.machine['processor']} with {cores} cores and {memory} of memory."


def machine(run: Run) -> str:
    """Return where and when a run was."""
    return f"{when(run)}\n\n{markdown([['', ''], *map(list, run.machine.items())])}"


def contenders(run: Run) -> str:
    """Return who took part, in which version, and what each writes."""
    rows = [["contender", "version", "writes"]]
    for contender in CONTENDERS.values():
        figures = [figure for figure in run.figures if figure.contender == contender.name]
        rows.append([contender.name, _version(contender.environment, figures), contender.writes])
    return markdown(rows)


def _version(environment: str | None, figures: list[Figure]) -> str:
    for figure in figures:
        if figure.status in {"failed", "wrong output"}:
            return f"{figure.status}: {figure.reason}"
        if figure.status == "not installed":
            return figure.status
        if environment is not None:
            return figure.versions.get(_package(environment), "?")
    return ""


def _package(environment: str) -> str:
    needs = ENVIRONMENTS[environment]
    return next(
        requirement.partition("=")[0].partition("[")[0]
        for requirement in (*needs.without_dependencies, *needs.requires)
    )


def results(run: Run) -> str:
    """Return a table for each workload."""
    parts = []
    for workload in WORKLOADS.values():
        figures = [figure for figure in run.figures if figure.workload == workload.name]
        if figures:
            head = f"**{workload.name}** ({figures[0].num_rows:,} pictures): {workload.isolates}."
            parts.append(f"{head}\n\n{markdown(rates(figures))}")
    return "\n\n".join(parts)


def rates(figures: Sequence[Figure]) -> list[list[str]]:
    """Return the rows of the table of one workload, its head first."""
    rows = [
        [
            "contender",
            "pictures a second",
            "quartiles",
            "time, arrowimg's = 1",
            "cores used",
            "peak memory, MiB",
            "content",
        ]
    ]
    ours = next((one for one in figures if one.contender.startswith("arrowimg")), None)
    for figure in figures:
        if figure.status != "ok":
            rows.append([figure.contender, figure.status, "", "", "", "", figure.reason])
            continue
        low, median, high = spread([figure.num_rows / seconds for seconds in figure.seconds])
        cores = spread([one.cpu_seconds / one.seconds for one in figure.rounds]).median
        rows.append(
            [
                figure.contender,
                f"{median:,.0f}",
                f"{low:,.0f} to {high:,.0f}",
                _relative(figure, ours),
                f"{cores:.2f}",
                f"{spread(figure.peaks).median / 2**20:,.0f}" if figure.peaks else "not known",
                figure.content,
            ]
        )
    return rows


def _relative(figure: Figure, ours: Figure | None) -> str:
    if ours is None or ours.status != "ok":
        return ""
    ratio = ratios(figure.seconds, ours.seconds)
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
