"""The package is a house of rooms: what each may import, who may open which door, how large."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "arrowimg"

MAY_IMPORT = {
    "errors": set[str](),
    "_core": {"errors"},
    "_images": {"errors", "_core"},
    "_format": {"errors", "_core"},
    "_storage": {"errors", "_core"},
    "_dataset": {"errors", "_core", "_images", "_format", "_storage"},
    "_write": {"errors", "_core", "_images", "_format", "_storage", "_dataset"},
    "_reshard": {"errors", "_core", "_images", "_format", "_storage", "_dataset", "_write"},
}
"""What a room imports beside itself. Whoever is not named here is a face, and imports anything."""

FACES = {"__init__", "__main__", "_cli", "curator", "ray"}

DOORS = {
    "cv2": ("_images/codec.py",),
    "ray": ("ray/",),
    "nemo_curator": ("curator/",),
}
"""Libraries that only some files import: a folder ends in a slash."""

MOST_ENTRIES = 14
MOST_MODULES = 13
MOST_MODULE_LINES = 330
MOST_FUNCTION_LINES = 60
MAY_BE_LONG = {"errors.py"}
"""One tree of classes, which nothing is gained by cutting."""


def imported_names(tree: ast.AST) -> set[str]:
    """Return the dotted names that a module imports, wherever in it; names of names too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            names.add("arrowimg.<relative>")
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def room_of(path: str) -> str:
    """Return the room of a file, given its path in the package."""
    return path.partition("/")[0].removesuffix(".py")


def imported_rooms(source: str) -> set[str]:
    """Return the rooms that a module imports; ``__init__`` where it loads the whole package."""
    rooms = set()
    for name in imported_names(ast.parse(source)):
        package, _, rest = name.partition(".")
        if package == "arrowimg":
            room = rest.partition(".")[0]
            is_room = room in MAY_IMPORT or room in FACES or room.startswith(("_", "<"))
            rooms.add(room if is_room and room != "__version__" else "__init__")
    return rooms


def import_problems(path: str, source: str) -> list[str]:
    """Return a sentence for each import of a file that the table forbids."""
    room = room_of(path)
    if room in FACES:
        return []
    if room not in MAY_IMPORT:
        return [f"{path} is in no room of the table"]
    return [
        f"{path} imports {imported}"
        for imported in sorted(imported_rooms(source) - MAY_IMPORT[room] - {room})
    ]


def door_problems(path: str, source: str) -> list[str]:
    """Return a sentence for each library that a file has no door to."""
    libraries = {name.partition(".")[0] for name in imported_names(ast.parse(source))}
    return [
        f"{path} imports {library}"
        for library in sorted(libraries & DOORS.keys())
        if not path.startswith(DOORS[library])
    ]


def run_time_imports(source: str) -> set[str]:
    """Return the modules that are loaded with a module: not for types, nor within functions."""
    body = [
        node
        for node in ast.parse(source).body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    loaded = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return set[str]().union(*map(imported_names, loaded))


def import_cycle(sources: dict[str, str]) -> list[str]:
    """Return modules that load one another in a circle, given their sources by dotted name."""
    graph = {
        module: {
            name if name in sources else name.rpartition(".")[0]
            for name in run_time_imports(source)
        }
        for module, source in sources.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def size_problems(path: str, source: str) -> list[str]:
    """Return a sentence for each thing in a file that is too long."""
    problems = []
    num_lines = len(source.splitlines())
    if num_lines > MOST_MODULE_LINES and path not in MAY_BE_LONG:
        problems.append(f"{path} has {num_lines} lines")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(it.lineno for it in node.decorator_list)])
            num_lines = (node.end_lineno or first) - first + 1
            docstring = node.body[0]
            if ast.get_docstring(node) is not None:
                num_lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
            if num_lines > MOST_FUNCTION_LINES:
                problems.append(f"{node.name} in {path} has {num_lines} lines")
    return problems


def sources() -> dict[str, str]:
    """Return the text of each file of the package, by its path there."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {it.relative_to(PACKAGE).as_posix(): it.read_text(encoding="utf-8") for it in paths}


def test_rooms_import_only_what_the_table_allows() -> None:
    problems = [it for path, text in sources().items() for it in import_problems(path, text)]
    assert problems == []


def test_the_table_has_no_way_back() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()


def test_only_doors_lead_to_some_libraries() -> None:
    problems = [it for path, text in sources().items() for it in door_problems(path, text)]
    assert problems == []


def test_no_modules_load_one_another_in_a_circle() -> None:
    named = {
        ".".join(["arrowimg", *Path(path).with_suffix("").parts]).removesuffix(".__init__"): text
        for path, text in sources().items()
    }
    assert import_cycle(named) == []


def test_the_package_and_its_folders_hold_few_entries() -> None:
    top = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    modules = {path.name: len(list(path.glob("*.py"))) for path in folders}

    assert len(top) <= MOST_ENTRIES
    assert {name: number for name, number in modules.items() if number > MOST_MODULES} == {}


def test_modules_and_functions_are_short() -> None:
    problems = [it for path, text in sources().items() for it in size_problems(path, text)]
    assert problems == []


@pytest.mark.parametrize("room", sorted(room for room in MAY_IMPORT if room != "errors"))
def test_a_room_says_what_it_is_for_and_hands_nothing_on(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))

    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from arrowimg._write.writer import write_shards",
        "from arrowimg import _write",
        "from arrowimg import write_shards",
        "import arrowimg",
        "import arrowimg._write.writer",
        "import os, arrowimg._write.writer as writer",
        "if TYPE_CHECKING:\n    from arrowimg._write.writer import ShardWriter",
        "def lazily():\n    from arrowimg._write.writer import write_shards",
        "from arrowimg._format.tar import BLOCK",
        "from arrowimg._storage import local",
        "from arrowimg._cli.main import main",
        "from arrowimg._unheard_of import anything",
        "from . import errors",
        "from .errors import SchemaError",
    ],
)
def test_a_planted_import_is_found(source: str) -> None:
    assert len(import_problems("_images/columns.py", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from arrowimg.errors import SchemaError",
        "from arrowimg import errors",
        "import arrowimg.errors",
        "from arrowimg._core.binary import value_bytes",
        "from arrowimg._images.pixels import check_pixels",
        "import arrowimg_of_somebody_else",
        "import pyarrow as pa",
    ],
)
def test_an_import_that_the_table_allows_is_none(source: str) -> None:
    assert import_problems("_images/columns.py", source) == []


def test_a_file_of_no_room_is_found() -> None:
    assert import_problems("_unheard_of/anything.py", "") == [
        "_unheard_of/anything.py is in no room of the table"
    ]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("_images/headers.py", "def lazily():\n    import cv2"),
        ("_write/stage.py", "from ray.data import Dataset"),
        ("_cli/main.py", "import ray"),
        ("ray/_sink.py", "import nemo_curator.stages"),
    ],
)
def test_a_planted_way_round_a_door_is_found(path: str, source: str) -> None:
    assert len(door_problems(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("_images/codec.py", "import cv2"),
        ("ray/_sink.py", "from ray.data import Datasink"),
        ("curator/_stage.py", "from nemo_curator.tasks import Task"),
        ("_cli/main.py", "from arrowimg.ray import write_shards"),
    ],
)
def test_a_way_through_a_door_is_none(path: str, source: str) -> None:
    assert door_problems(path, source) == []


def test_a_planted_circle_is_found() -> None:
    circle = {"a": "import b", "b": "from c import d", "c": "from a import e\nimport z"}
    for_types = circle | {"c": "if TYPE_CHECKING:\n    from a import e"}

    assert set(import_cycle(circle)) == {"a", "b", "c"}
    assert import_cycle(for_types) == []


def test_planted_lengths_are_found() -> None:
    function = "def long():\n" + "    x = 1\n" * MOST_FUNCTION_LINES
    described = 'def short():\n    """One.\n' + "\n" * MOST_FUNCTION_LINES + '    """\n'

    assert size_problems("_core/a.py", "\n" * (MOST_MODULE_LINES + 1)) == [
        f"_core/a.py has {MOST_MODULE_LINES + 1} lines"
    ]
    assert size_problems("errors.py", "\n" * (MOST_MODULE_LINES + 1)) == []
    assert size_problems("_core/a.py", function) == [
        f"long in _core/a.py has {MOST_FUNCTION_LINES + 1} lines"
    ]
    assert size_problems("_core/a.py", described) == []
