"""Modules import only modules of the layers above them, and none of their own layer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "arrowimg"

LAYERS = (
    ("errors", "_version"),
    (
        "_arrays",
        "_checksums",
        "_cli_help",
        "_damage",
        "_duplicates",
        "_files",
        "_headers",
        "_image_options",
        "_index_names",
        "_members",
        "_plain_tables",
        "_plan",
        "_threads",
    ),
    (
        "_binary_columns",
        "_codec",
        "_jpeg_headers",
        "_manifest",
        "_options",
        "_parquet",
        "_pixels",
        "_staging",
    ),
    ("_columns", "_commit", "_keys", "_sidecar", "_tar"),
    ("_check", "_identity", "_metadata", "_samples", "_storage", "_tar_reader", "_tasks"),
    ("_digest", "_encode", "_lookup", "_parts", "_sources", "_tar_writer"),
    ("_batches", "_shards"),
    ("_dataset", "_resume"),
    (
        "_garbage",
        "_gather",
        "_layout",
        "_listing",
        "_spools",
        "_stage",
        "_verify",
        "_writer",
    ),
    ("_demo", "_index_formats", "_inspect", "_worker", "curator"),
    ("_croissant", "_energon", "_hugging_face"),
    ("_index",),
    ("_cli", "ray"),
    ("__init__", "__main__"),
)
PACKAGES = ("ray",)
"""Modules that are folders: one layer each, within which modules import one another."""

LAYER_OF = {module: layer for layer, modules in enumerate(LAYERS) for module in modules}


def imported_modules(source: str) -> set[str]:
    """Return the modules of the package that a source imports, wherever in it the import stands."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = ["arrowimg.<relative>"]
        elif isinstance(node, ast.ImportFrom) and node.module == "arrowimg":
            names = [f"arrowimg.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "arrowimg":
                module = rest.partition(".")[0]
                # `from arrowimg import ImageBatch` and `import arrowimg` load the whole package.
                is_module = module in LAYER_OF or module.startswith(("_", "<"))
                modules.add(module if is_module and module != "__version__" else "__init__")
    return modules


def module_of(path: Path) -> str:
    """Return the name of a file's module, that of its folder where this is a layer of its own."""
    parts = path.with_suffix("").parts
    return parts[0] if parts[0] in PACKAGES else ".".join(parts)


def layer_problems(module: str, source: str) -> list[str]:
    """Return a sentence for each import of a module that the layers forbid."""
    if module not in LAYER_OF:
        return [f"{module} has no layer: enter it in LAYERS"]
    problems = []
    for imported in sorted(imported_modules(source) - {module if module in PACKAGES else ""}):
        if imported not in LAYER_OF:
            problems.append(f"{module} imports {imported}, which has no layer")
        elif LAYER_OF[imported] >= LAYER_OF[module]:
            problems.append(
                f"{module} (layer {LAYER_OF[module]}) imports {imported} "
                f"(layer {LAYER_OF[imported]})"
            )
    return problems


def test_no_module_imports_against_the_layers() -> None:
    problems = [
        problem
        for path in sorted(PACKAGE.rglob("*.py"))
        for problem in layer_problems(
            module_of(path.relative_to(PACKAGE)),
            path.read_text(encoding="utf-8"),
        )
    ]

    assert problems == []


def test_no_module_has_two_layers() -> None:
    assert len(LAYER_OF) == sum(len(modules) for modules in LAYERS)


@pytest.mark.parametrize(
    "source",
    [
        "from arrowimg._writer import write_shards",
        "from arrowimg import _writer",
        "from arrowimg import write_shards",
        "import arrowimg",
        "import arrowimg._writer",
        "import os, arrowimg._writer as writer",
        "if TYPE_CHECKING:\n    from arrowimg._writer import ShardWriter",
        "def lazily():\n    from arrowimg._writer import write_shards",
        "from arrowimg._columns import image_views",
        "from arrowimg._keys import sample_key",
        "from arrowimg._unheard_of import anything",
        "from . import errors",
        "from .errors import SchemaError",
    ],
)
def test_a_planted_import_is_found(source: str) -> None:
    assert len(layer_problems("_columns", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from arrowimg.errors import SchemaError",
        "from arrowimg import errors",
        "import arrowimg.errors",
        "import arrowimg_of_somebody_else",
        "import pyarrow as pa",
    ],
)
def test_an_import_from_a_layer_above_is_allowed(source: str) -> None:
    assert layer_problems("_columns", source) == []


def test_a_module_without_a_layer_is_found() -> None:
    assert layer_problems("_unheard_of", "") == ["_unheard_of has no layer: enter it in LAYERS"]
