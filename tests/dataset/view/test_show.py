"""Grids in notebooks: of scanned rows, of batches before they are written, of reports."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from PIL import Image
from view_data import ALERT, photographs, write_varied

import arrowimg
from arrowimg import errors

if TYPE_CHECKING:
    from pathlib import Path


def pictures_of(html: str) -> list[Image.Image]:
    """Return the pictures of a grid, in order."""
    found = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(it))) for it in found]


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_varied(tmp_path_factory.mktemp("varied") / "out")


def test_rows_of_scan_are_fetched(varied: Path) -> None:
    grid = arrowimg.show(arrowimg.scan(varied).sort("score", descending=True).head(4), ["score"])

    assert len(pictures_of(grid._repr_html_())) == 4
    assert repr(grid) == "Grid('4 rows')"
    assert "0.983" in grid.html


def test_rows_that_are_fetched_already_are_shown_as_they_are(varied: Path) -> None:
    rows = arrowimg.fetch_images(arrowimg.scan(varied).head(5))
    tars = list(varied.glob("*.tar"))
    for tar in tars:
        tar.rename(tar.with_suffix(".gone"))

    grid = arrowimg.show(rows)

    for tar in tars:
        tar.with_suffix(".gone").rename(tar)
    assert len(pictures_of(grid.html)) == 4
    assert "null" in grid.html
    assert "id-004" in grid.html


def test_a_batch_is_seen_before_it_is_written() -> None:
    red = np.zeros((2, 30, 40, 3), np.uint8)
    red[..., 0] = 255
    batch = arrowimg.ImageBatch.from_arrays(red, ["a", ALERT], label=["x", "y"])

    for html in (batch._repr_html_(), arrowimg.show(batch).html):
        assert html is not None
        first, _ = pictures_of(html)
        assert first.size == (40, 30)
        assert np.abs(np.asarray(first.convert("RGB"))[15, 20] - np.array([255, 0, 0])).max() < 6
        assert "<script" not in html


def test_bad_rows_say_what_is_wrong_with_them() -> None:
    images = [np.zeros((4, 4, 3), np.uint8), None, np.zeros((4, 4, 7), np.uint8)]
    html = arrowimg.show(arrowimg.ImageBatch.from_arrays(images)).html

    assert len(pictures_of(html)) == 1
    assert "missing: null" in html
    assert "a picture of shape (4, 4, 7)" in html


def test_at_most_so_many_rows_are_shown() -> None:
    batch = arrowimg.ImageBatch.from_arrays(photographs(9))
    grid = arrowimg.show(batch, most=4)

    assert len(pictures_of(grid.html)) == 4
    assert grid.title == "4 of 9 rows"


def test_a_column_that_is_not_there_is_refused(varied: Path) -> None:
    with pytest.raises(errors.OptionError, match="columns"):
        arrowimg.show(arrowimg.scan(varied), ["nothing"])


def test_a_frame_without_pictures_is_refused() -> None:
    with pytest.raises(errors.SchemaError, match=r"expected a column of arrowimg\.scan"):
        arrowimg.show(pl.DataFrame({"a": [1]}))


def test_a_batch_without_a_column_of_images_has_its_text() -> None:
    batch = arrowimg.ImageBatch.from_table(pl.DataFrame({"picture": [b"a"]}))

    assert batch._repr_html_() is None


def test_a_file_group_and_a_report_are_tables(tmp_path: Path) -> None:
    batch = arrowimg.ImageBatch.from_arrays(photographs(3))
    group = arrowimg.write_shards(batch, tmp_path / "<b>out", progress=False)
    (tmp_path / "<b>out" / "extra.txt").touch()
    report = arrowimg.verify(tmp_path / "<b>out", progress=False)

    for html in (group._repr_html_(), report._repr_html_()):
        assert html is not None
        assert "<b>out" not in html
        assert "num_images: 3" in html
    assert "images-000000.parquet" in str(group._repr_html_())
    assert "extra.txt: not ours" in str(report._repr_html_())


def test_one_damage_is_one_in_a_notebook(tmp_path: Path) -> None:
    batch = arrowimg.ImageBatch.from_arrays(photographs(2))
    arrowimg.write_shards(batch, tmp_path, 1, progress=False)

    (tmp_path / "images-000000.tar").unlink()
    one = arrowimg.verify(tmp_path)._repr_html_()
    (tmp_path / "images-000001.tar").unlink()
    two = arrowimg.verify(tmp_path)._repr_html_()

    assert (": 1 damage<" in str(one), ": 2 damages<" in str(two)) == (True, True)
