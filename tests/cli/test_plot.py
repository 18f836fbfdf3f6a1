from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from view_data import write_varied

from arrowimg._cli.main import main
from arrowimg._cli.plot import histogram_text
from arrowimg._cli.text import closing_text

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("counts", "text"),
    [([0, 1, 50, 100], " ▁▄█"), ([0, 0], "  "), ([], ""), ([7, 7], "██")],
)
def test_counts_are_blocks_of_their_heights(counts: list[int], text: str) -> None:
    assert histogram_text(counts) == text


def test_a_plot_has_a_line_for_each_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_varied(tmp_path / "out")

    assert main(["inspect", str(tmp_path / "out"), "--plot"]) == 0

    lines = capsys.readouterr().out.splitlines()
    plot = lines[lines.index("how they are spread:") :]
    by_name = {line.split()[0]: line for line in plot[1 : plot.index("")]}
    assert "0 to 0.9833" in by_name["score"]
    assert "3 null; 1 without a letter" in by_name["caption"]
    assert "cat 20, dog 20, owl 20" in by_name["label"]


@pytest.mark.parametrize("options", [[], ["--no-plot"]])
def test_there_is_none_where_nobody_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    write_varied(tmp_path / "out")

    main(["inspect", str(tmp_path / "out"), *options])

    assert "spread" not in capsys.readouterr().out


def test_the_closing_line_says_how_fast_it_was_and_what_comes_next() -> None:
    text = closing_text("3,000 images", 60_000_000, 2.0, ["view", "verify", "index"], "my out")

    assert text == (
        "3,000 images in 2.0 s, 1,500 images/s, 30.0 MB/s; next: arrowimg view 'my out', "
        "arrowimg verify 'my out', arrowimg index 'my out'"
    )
