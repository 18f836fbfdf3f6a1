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

HEAVY = ("PIL", "datasets", "pandas", "polars", "ray", "tqdm")


@pytest.mark.parametrize("module", [arrowimg, errors], ids=["arrowimg", "errors"])
def test_names_are_sorted_and_importable(module: object) -> None:
    names: list[str] = module.__all__  # type: ignore[attr-defined]

    assert names == sorted(names)
    assert all(hasattr(module, name) for name in names)


def test_all_lists_every_public_name() -> None:
    public = {
        name
        for name, value in vars(arrowimg).items()
        if not name.startswith("_") and name != "annotations" and not inspect.ismodule(value)
    }

    assert public | {"__version__", "errors"} == set(arrowimg.__all__)


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


def test_importing_it_imports_nothing_that_the_line_does_not_need() -> None:
    code = "import sys, arrowimg; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    package = Path(arrowimg.__file__).parents[1]

    fresh = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=True,
    )

    imported = set(fresh.stdout.split())
    assert {"arrowimg", "cv2", "pyarrow"} <= imported
    assert imported.isdisjoint(HEAVY)
