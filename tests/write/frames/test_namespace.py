"""Polars frames have our methods, whichever library was imported first."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from file_data import JPEG

import arrowimg
from arrowimg._write.frames.namespace import FrameKeywords, FrameMethods
from arrowimg.errors import OptionError

FRAME = pl.DataFrame(
    {"image_id": ["a", "b", "c"], "image_data": [JPEG] * 3, "score": [0.1, 0.9, 0.5]}
)


@pytest.mark.parametrize("frame", [FRAME, FRAME.lazy()], ids=["frame", "lazy"])
def test_a_frame_writes_what_the_function_writes(
    tmp_path: Path, frame: pl.DataFrame | pl.LazyFrame
) -> None:
    theirs = arrowimg.write_shards(FRAME, tmp_path / "function", 2, members={"txt": "score"})
    methods: FrameMethods[pl.DataFrame] = frame.arrowimg  # type: ignore[union-attr]  # registered

    ours = methods.write_shards(tmp_path / "method", 2, members={"txt": "score"})

    assert [Path(it).name for it in ours.paths] == [Path(it).name for it in theirs.paths]
    for one, other in zip(ours.paths, theirs.paths, strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()


def test_a_query_is_streamed(tmp_path: Path) -> None:
    query = FRAME.lazy().filter(pl.col("score") > 0.3).with_columns(caption=pl.lit("x"))

    query.arrowimg.write_shards(  # type: ignore[attr-defined]  # registered
        tmp_path, drop=["score"], split={"train": 1.0}
    )

    found = arrowimg.scan(tmp_path / "train").select("image_id", "caption").collect()
    assert found.rows() == [("b", "x"), ("c", "x")]


def test_rows_of_a_scan_fetch_their_pictures(tmp_path: Path) -> None:
    arrowimg.write_shards(FRAME, tmp_path)
    rows = arrowimg.scan(tmp_path).filter(pl.col("score") > 0.3)

    for frame in (rows, rows.collect()):
        fetched = frame.arrowimg.fetch()  # type: ignore[union-attr]  # registered
        assert fetched["image_data"].to_list() == [JPEG, JPEG]
    decoded = rows.arrowimg.fetch(decode=True)  # type: ignore[attr-defined]  # registered
    assert decoded.schema["image_data"] != pl.Binary


def test_it_fetches_further_pictures(tmp_path: Path) -> None:
    pictures = FRAME.with_columns(mask=pl.lit(JPEG))
    arrowimg.write_shards(pictures, tmp_path, images={"jpg": "image_data", "mask.jpg": "mask"})
    rows = arrowimg.scan(tmp_path)

    found = rows.arrowimg.fetch(images=["mask"])  # type: ignore[attr-defined]  # registered

    assert found["mask"].to_list() == [JPEG] * 3


def test_fetch_has_the_keywords_of_the_function() -> None:
    theirs = inspect.signature(arrowimg.fetch_images).parameters
    ours = inspect.signature(FrameMethods.fetch).parameters

    assert [*ours][1:] == [*theirs][1:]


def test_errors_are_those_of_the_functions(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="images_per_tar"):
        FRAME.arrowimg.write_shards(tmp_path, 0)  # type: ignore[attr-defined]  # registered


def test_its_keywords_are_those_of_the_function() -> None:
    keywords = set(inspect.signature(arrowimg.write_shards).parameters)
    of_files = {"captions", "labels", "options"}
    positional = {"source", "output_dir", "images_per_tar", "metadata", "remove_image_data"}

    assert FrameKeywords.__annotations__.keys() >= keywords - positional - of_files


@pytest.mark.parametrize(
    "code",
    [
        "import arrowimg; import polars as pl",
        "import polars as pl; import arrowimg",
        "import arrowimg; from polars import DataFrame; import polars as pl",
        "import arrowimg, importlib.util as u; u.find_spec('polars'); import polars as pl",
        "import arrowimg; arrowimg.scan; import polars as pl",
        "import arrowimg._core.version; import polars as pl; import arrowimg",
        "import arrowimg, importlib; importlib.reload(arrowimg); import polars as pl",
    ],
)
def test_the_order_of_imports_does_not_matter(code: str) -> None:
    program = f"""
import sys
before = list(sys.meta_path)
{code}
assert pl.DataFrame({{"a": [1]}}).arrowimg.write_shards
assert pl.LazyFrame({{"a": [1]}}).arrowimg.fetch
assert sys.meta_path == before, sys.meta_path
assert type(pl.__spec__.loader).__module__ == "_frozen_importlib_external"
import inspect, importlib.resources
assert "DataFrame" in inspect.getsource(pl)
assert importlib.resources.files("polars").joinpath("py.typed").is_file()
"""
    package = Path(arrowimg.__file__).parents[1]

    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"PYTHONPATH": str(package)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_polars_nothing_is_wrong() -> None:
    program = """
import sys

class Absent:
    @staticmethod
    def find_spec(name, *_):
        if name == "polars":
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent)
import arrowimg
try:
    import polars
except ModuleNotFoundError:
    print("absent")
"""
    package = Path(arrowimg.__file__).parents[1]

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"PYTHONPATH": str(package)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "absent\n"
