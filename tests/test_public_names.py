from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import arrowimg
from arrowimg import errors

HEAVY = {"PIL", "datasets", "pandas", "polars", "ray", "tqdm"}
LINE = {"cv2", "numpy", "pyarrow"}


@pytest.mark.parametrize("module", [arrowimg, errors], ids=["arrowimg", "errors"])
def test_names_are_sorted_and_importable(module: object) -> None:
    names: list[str] = module.__all__  # type: ignore[attr-defined]

    assert names == sorted(names)
    assert all(hasattr(module, name) for name in names)


def test_all_lists_every_public_name() -> None:
    found = {name for name in arrowimg.__all__ if getattr(arrowimg, name) is not None}
    namespace: dict[str, object] = {}
    exec("from arrowimg import *", namespace)  # noqa: S102  # what a user may type

    assert found == set(dir(arrowimg)) == {*namespace} - {"__builtins__"}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'arrowimg' has no attribute 'write_shard'"):
        arrowimg.write_shard  # type: ignore[attr-defined]  # noqa: B018  # the point


def test_all_lists_every_error() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__ and name[0] != "_"
    }

    assert defined == set(errors.__all__)


def test_every_error_is_an_arrowimg_error() -> None:
    exceptions = [
        value
        for name in errors.__all__
        if issubclass(value := getattr(errors, name), BaseException)
    ]

    assert all(issubclass(kind, errors.ArrowimgError) for kind in exceptions)
    assert len(exceptions) == len(errors.__all__) - 3  # the rest: ErrorCode, Problem, RowProblem


@pytest.mark.parametrize("name", arrowimg.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(arrowimg, name)

    assert isinstance(value, str) or inspect.getdoc(value)


def test_the_package_is_typed() -> None:
    assert files("arrowimg").joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    ("code", "needed", "unneeded"),
    [
        ("import arrowimg", {"arrowimg"}, LINE | HEAVY),
        ("import arrowimg; arrowimg.write_shards", LINE, HEAVY),
        ("import arrowimg; arrowimg.ImageWriterStage", LINE, HEAVY),
        ("import arrowimg; arrowimg.reshard", {"numpy", "pyarrow"}, {"cv2"} | HEAVY),
        (
            "from arrowimg._cli.parser import build_parser; build_parser()",
            {"argparse"},
            LINE | HEAVY,
        ),
    ],
)
def test_nothing_is_imported_before_it_is_needed(
    code: str, needed: set[str], unneeded: set[str]
) -> None:
    shown = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    package = Path(arrowimg.__file__).parents[1]

    fresh = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}; {shown}"],
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=True,
    )

    imported = set(fresh.stdout.split())
    assert needed <= imported
    assert imported.isdisjoint(unneeded)


def test_nothing_but_the_dependencies_is_needed(tmp_path: Path) -> None:
    others = ["pandas", "datasets", "duckdb", "fsspec", "skimage", "sklearn", "webdataset"]
    program = f"""
import sys

class Absent:
    @staticmethod
    def find_spec(name, *_):
        if name.partition(".")[0] in {others}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent)

import numpy as np
import polars as pl

import arrowimg

pixels = np.arange(3 * 12 * 16 * 3, dtype=np.uint8).reshape(3, 12, 16, 3)
batch = arrowimg.ImageBatch.from_arrays(pixels, ["a", "b", "c"], score=[1.0, 2.0, 3.0])
arrowimg.ImageWriterStage("stage").process(batch)
arrowimg.write_shards(batch, "out", 2, members={{"json": ["score"]}}, checksum="sha256")
formats = ["webdataset", "wids", "dali", "energon", "hf", "croissant", "fsspec", "sizes"]
arrowimg.export_index("out", formats)
arrowimg.reshard("out", "new", "score > 1")
arrowimg.merge(["out"], "merged")
assert arrowimg.verify("new", "decode").is_sound
assert len(arrowimg.fetch_images(arrowimg.scan("new"), decode=True)) == 2
assert sum(batch.num_items for batch in arrowimg.read_batches("merged")) == 3
"""
    package = Path(arrowimg.__file__).parents[1]

    subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(package)},
        cwd=tmp_path,
        check=True,
    )

    assert (tmp_path / "new" / "manifest.json").exists()
