"""Plots as small SVG files beside the page."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure as Plot

from benchmarks import growth, scaling
from benchmarks.figures import spread
from benchmarks.inputs import INPUTS
from benchmarks.page import PAGE
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.results import Figure, Run

FOLDER = PAGE.parent
DECODED, FILES, GROWTH = (f"benchmarks-{name}.svg" for name in ("decoded", "files", "growth"))
_OURS, _LIMIT, _PEER = "#d1495b", "#8d99ae", "#2e6f95"
_COLUMNS = 2
_STYLE = {
    "svg.fonttype": "none",  # text stays text: small files, and they can be searched
    "svg.hashsalt": "arrowimg",  # the same plot, the same bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_run(run: Run) -> None:
    """Draw pictures per second, a panel for each workload."""
    _draw_bars(run, "pixels", DECODED)
    _draw_bars(run, "files", FILES)


def _draw_bars(run: Run, kind: str, name: str) -> None:
    panels: dict[str, list[Figure]] = defaultdict(list)
    for figure in run.figures:
        is_wanted = INPUTS[WORKLOADS[figure.workload].input].kind == kind
        if is_wanted and figure.status == "ok":
            panels[figure.workload].append(figure)
    # One bar alone compares with nothing.
    panels = {workload: figures for workload, figures in panels.items() if len(figures) > 1}
    num_rows = -(-len(panels) // _COLUMNS)
    heights = [
        max(len(figures) for figures in list(panels.values())[at * _COLUMNS : (at + 1) * _COLUMNS])
        for at in range(num_rows)
    ]

    def draw(plot: Any) -> None:
        axes = plot.subplots(
            num_rows, _COLUMNS, squeeze=False, gridspec_kw={"height_ratios": heights}
        ).flat
        for place, (workload, figures) in enumerate(panels.items()):
            _draw_panel(axes[place], workload, figures)
            # Bars as thick as those beside them.
            axes[place].set_ylim(heights[place // _COLUMNS] - 0.5, -0.5)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()

    if panels:
        _save(name, (9, 0.26 * sum(heights) + 0.75 * num_rows), draw)


def _draw_panel(axis: Any, workload: str, figures: list[Figure]) -> None:
    rates = [spread([one.num_rows / seconds for seconds in one.seconds]) for one in figures]
    medians = [rate.median for rate in rates]
    errors = [
        [rate.median - rate.low for rate in rates],
        [rate.high - rate.median for rate in rates],
    ]
    names = [figure.contender for figure in figures]
    axis.barh(names, medians, xerr=errors, color=[_colour(name) for name in names], height=0.7)
    axis.bar_label(axis.containers[-1], [f"{rate:,.0f}" for rate in medians], padding=3, fontsize=8)
    axis.set_xlim(0, max(medians) * 1.25)
    axis.xaxis.set_visible(False)
    axis.spines["bottom"].set_visible(False)
    axis.set_title(f"{workload}: pictures a second", loc="left", fontsize=9, fontweight="bold")


def _colour(contender: str) -> str:
    if contender.startswith("limit"):
        return _LIMIT
    return _OURS if contender.startswith("arrowimg") else _PEER


def draw_growth(run: Run) -> None:
    """Draw the cost per picture over pictures and over pictures per tar, a line per threads."""

    def draw(plot: Any) -> None:
        left, right = plot.subplots(1, 2)
        for threads, colour in zip(growth.THREADS, (_PEER, _OURS), strict=True):
            for axis, numbers, case_of in (
                (left, growth.NUM_PICTURES, growth.pictures_case),
                (right, growth.IMAGES_PER_TAR, growth.tars_case),
            ):
                cases = [(number, case_of(number, threads)) for number in numbers]
                points = [
                    (number, spread(growth.microseconds(figure)))
                    for number, case in cases
                    if (figure := run.figure(case.workload, case.contender.name)) is not None
                ]
                axis.plot(
                    [number for number, _ in points],
                    [cost.median for _, cost in points],
                    "o-",
                    color=colour,
                    label=f"{threads} thread{'s' * (threads > 1)}",
                )
                axis.fill_between(
                    [number for number, _ in points],
                    [cost.low for _, cost in points],
                    [cost.high for _, cost in points],
                    color=colour,
                    alpha=0.2,
                )
        for axis, label in ((left, "pictures, 1,000 to a tar"), (right, "pictures to a tar")):
            axis.set_xscale("log")
            axis.set_xlabel(label)
            axis.set_ylim(bottom=0)
            axis.grid(axis="y", alpha=0.3)
        left.set_ylabel("microseconds a picture")
        left.legend(frameon=False)

    _save(GROWTH, (9, 3), draw)


def scaling_plot(run: Run) -> str:
    """Return the name of the plot of a run: one for each number of cores of the machine."""
    return f"benchmarks-{scaling.kept_as(run)}.svg"


def draw_scaling(run: Run) -> None:
    """Draw pictures per second over cores, a panel for each size, a line for each contender."""
    names = scaling.names_of(run)
    lines = {
        scaling.LIMIT: (_LIMIT, "--"),
        scaling.THREADS: (_OURS, ":"),
        scaling.PROCESSES: (_OURS, "-"),
        scaling.PEER: (_PEER, "-"),
    }

    def draw(plot: Any) -> None:
        for axis, name in zip(plot.subplots(1, len(names), squeeze=False).flat, names, strict=True):
            for contender, (colour, style) in lines.items():
                found = {
                    cores: rates
                    for cores in scaling.cores_of(run)
                    if (rates := scaling.rates(run, name, cores, contender))
                }
                medians = [spread(rates).median for rates in found.values()]
                axis.plot(list(found), medians, f"o{style}", color=colour, label=contender)
            axis.set_xscale("log", base=2)
            axis.set_xticks(scaling.cores_of(run), map(str, scaling.cores_of(run)))
            axis.set_ylim(bottom=0)
            axis.grid(axis="y", alpha=0.3)
            axis.set_title(f"{name}: pictures a second", loc="left", fontsize=9, fontweight="bold")
            axis.set_xlabel("cores")
        plot.axes[0].legend(frameon=False, fontsize=8)
        plot.suptitle(f"{run.machine['processor']}, {run.machine['cores']} cores", fontsize=9)

    if names:
        _save(scaling_plot(run), (3 * len(names), 3), draw)


def _save(name: str, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    with mpl.rc_context(_STYLE):
        plot = Plot(figsize=size, layout="constrained")
        draw(plot)
        plot.savefig(FOLDER / name, metadata={"Date": None})
