"""A notebook is run: its outputs hold grids, tables and bars, and nothing warns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from view_data import write_varied

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.browser

CELLS = [
    "import arrowimg, polars as pl",
    "batch = next(arrowimg.read_batches('out', 10)); batch",
    "arrowimg.write_shards(batch, 'new', on_error='quarantine')",
    "arrowimg.verify('new')",
    "arrowimg.show(arrowimg.scan('out').filter(pl.col('score') < 0.2), ['score'])",
    "arrowimg.view('out', sample=5)",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """Return what each cell put out."""
    nbclient = pytest.importorskip("nbclient", reason="not run: no nbclient")
    nbformat = pytest.importorskip("nbformat", reason="not run: no nbformat")
    pytest.importorskip("ipykernel", reason="not run: no ipykernel")
    folder: Path = tmp_path_factory.mktemp("notebook")
    write_varied(folder / "out")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(it) for it in CELLS])
    resources = {"metadata": {"path": str(folder)}}
    options = {"timeout": 120, "kernel_name": "python3", "resources": resources}
    nbclient.NotebookClient(notebook, **options).execute()
    return [list(cell["outputs"]) for cell in notebook.cells]


def html_of(outputs: list[dict[str, Any]]) -> str:
    """Return the HTML of a cell's result."""
    return "".join(it["data"].get("text/html", "") for it in outputs if "data" in it)


def errors_of(outputs: list[dict[str, Any]]) -> str:
    """Return what a cell wrote to stderr."""
    return "".join(it["text"] for it in outputs if it.get("name") == "stderr")


def test_grids_are_in_the_outputs(outputs: list[list[dict[str, Any]]]) -> None:
    batch, shown = html_of(outputs[1]), html_of(outputs[4])

    assert batch.count("data:image/jpeg;base64,") == 9
    assert shown.count("data:image/jpeg;base64,") == 11
    assert html_of(outputs[5]).startswith("<iframe srcdoc=")


def test_tables_and_bars_are_in_the_outputs(outputs: list[list[dict[str, Any]]]) -> None:
    assert "images-000000.tar" in html_of(outputs[2])
    assert "new: sound" in html_of(outputs[3])
    assert "10/10" in errors_of(outputs[2])
    assert "100%" in errors_of(outputs[3])


def test_nothing_warns(outputs: list[list[dict[str, Any]]]) -> None:
    said = "".join(map(errors_of, outputs))

    assert "Warning" not in said
    assert "ipywidgets" not in said
