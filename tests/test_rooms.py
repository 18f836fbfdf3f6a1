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
    "cv2": ("_images/codec/",),
    "PIL": ("_images/codec/",),
    "obstore": ("_storage/object_store/",),
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

READ_FILES = (
    "_core/threads.py",
    "_core/frames/polars_threads.py",
    "_core/processes/shared_file.py",
    "_storage/",
    "_cli/",
    "_images/files.py",
    "_write/sources/",
    "_write/distributed/worker_metadata.py",
)
"""Who opens files: the storage those of a dataset, and the readers of sources those of a caller.

Of the threads of a process, only the system's own files tell. Memory that processes share is a file
without a name.
"""

SCANS = "_dataset/scan.py"
"""Polars opens the sidecars by itself, once a frame is collected."""

FILE_MODULES = {"fcntl", "fileinput", "glob", "mmap", "shutil"}


def words(text: str) -> set[str]:
    return set(text.split())


FILE_FUNCTIONS = {
    "os": words(
        "access chmod close fdatasync fdopen fstat fsync ftruncate link listdir lstat makedirs "
        "mkdir open posix_fallocate pread preadv pwrite pwritev read readlink readv remove rename "
        "renames replace rmdir scandir sendfile stat statvfs symlink sync truncate unlink utime "
        "walk write writev"
    ),
    "path": words("exists getmtime getsize isdir isfile islink lexists realpath samefile"),
}
"""Of the modules `os` and `os.path`."""

PATH_METHODS = words(
    "chmod exists glob hardlink_to is_dir is_file is_symlink iterdir lstat mkdir read_bytes "
    "read_text readlink resolve rglob rmdir samefile symlink_to touch unlink write_bytes write_text"
)
"""Those that touch files, but for `STORAGE_METHODS`, which storages have too."""

STORAGE_METHODS = {"open", "stat"}

OF_PATHS = {"OSFile", "dataset", "input_stream", "memory_map", "read_parquet", "scan_parquet"}
"""Functions of PyArrow and Polars that open files by their path."""

OF_FILES = {
    **dict.fromkeys(("ParquetFile", "ParquetWriter", "read_metadata", "read_schema"), 0),
    **dict.fromkeys(("open_file", "open_stream", "read_table"), 0),
    "write_table": 1,
}
"""Functions of PyArrow that take a path or an open file, and which of their arguments that is."""

OF_PYARROW = {"", "feather", "ipc", "parquet", "pq"}
"""What these are called on: a module, or nothing where the function itself was imported."""

OPENERS = {
    "BufferOutputStream",
    "BufferReader",
    "BufferedOutputStream",
    "PythonFile",
    "open",
    "py_buffer",
}
"""What makes an open file, or memory that is read like one."""


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


def last_name(node: ast.expr) -> str:
    """Return the name of a variable, an attribute, or of what is called."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    return getattr(node, "id", getattr(node, "attr", ""))


def open_files(tree: ast.AST) -> set[str]:
    """Return the names of variables that are open files, and not paths."""
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.withitem) and last_name(node.context_expr) in OPENERS:
            names.add(last_name(node.optional_vars or node.context_expr))
        elif isinstance(node, ast.Assign) and last_name(node.value) in OPENERS:
            names.update(map(last_name, node.targets))
        elif isinstance(node, ast.arg) and node.annotation:
            names.update({node.arg} if "IO[bytes]" in ast.unparse(node.annotation) else ())
    return names


def touches_files(node: ast.AST, opened: set[str]) -> bool:
    """Tell whether a part of a program opens, lists, changes or maps files by their paths."""
    if isinstance(node, ast.ImportFrom):
        names = {alias.name for alias in node.names}
        of_module = FILE_FUNCTIONS.get((node.module or "").rpartition(".")[2], set())
        return bool(names & (of_module | OF_PATHS))
    if isinstance(node, ast.Call):
        name, at = last_name(node.func), OF_FILES.get(last_name(node.func), 0)
        is_open = len(node.args) > at and last_name(node.args[at]) in opened | OPENERS
        owner = last_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        is_of_pyarrow = name in OF_FILES and owner in OF_PYARROW
        return (owner, name) == ("", "open") or (is_of_pyarrow and not is_open)
    if not isinstance(node, ast.Attribute):
        return False
    owner = last_name(node.value)
    if node.attr in STORAGE_METHODS and owner.endswith("storage"):
        return False
    is_function = node.attr in FILE_FUNCTIONS.get(owner, set()) or node.attr in OF_PATHS
    return is_function or node.attr in PATH_METHODS | STORAGE_METHODS


def file_problems(path: str, source: str) -> list[str]:
    """Return each place of a file that touches other files, unless it is there for that."""
    if path.startswith(READ_FILES):
        return []
    tree = ast.parse(source)
    opened = open_files(tree)
    found = [ast.unparse(node) for node in ast.walk(tree) if touches_files(node, opened)]
    modules = {name.partition(".")[0] for name in imported_names(tree)} & FILE_MODULES
    is_allowed = {"pl.scan_parquet"} if path == SCANS else set[str]()
    return [f"{path}: {it}" for it in [*found, *sorted(modules)] if it not in is_allowed]


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
    # Raises where rooms import one another in a circle.
    order = list(TopologicalSorter(MAY_IMPORT).static_order())

    assert order[0] == "errors"
    assert {*order} == MAY_IMPORT.keys()


def test_only_doors_lead_to_some_libraries() -> None:
    problems = [it for path, text in sources().items() for it in door_problems(path, text)]
    assert problems == []


def test_only_storages_and_readers_of_sources_touch_files() -> None:
    problems = [it for path, text in sources().items() for it in file_problems(path, text)]
    assert problems == []


def test_a_local_storage_is_constructed_in_one_place() -> None:
    lines = [
        (path, line)
        for path, text in sources().items()
        for line in text.splitlines()
        if "LocalStorage(" in line
    ]
    assert [path for path, _ in lines] == ["_storage/open.py"]


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
        ("_images/formats/png.py", "from PIL import Image"),
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
        ("_images/codec/opencv.py", "import cv2"),
        ("_images/codec/decode.py", "def lazily():\n    from PIL import Image"),
        ("ray/_sink.py", "from ray.data import Datasink"),
        ("curator/_stage.py", "from nemo_curator.tasks import Task"),
        ("_cli/main.py", "from arrowimg.ray import write_shards"),
    ],
)
def test_a_way_through_a_door_is_none(path: str, source: str) -> None:
    assert door_problems(path, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "open('a.tar', 'rb')",
        "with open(path) as file: file.read()",
        "import os\nos.unlink(path)",
        "import os\nos.open(path, os.O_RDONLY)",
        "import os\nremove = os.remove",
        "import os\nos.path.exists(path)",
        "from os import scandir",
        "from os.path import getsize",
        "import shutil",
        "def lazily():\n    import mmap",
        "from fcntl import flock",
        "Path(folder).glob('*.tar')",
        "(folder / 'a.tar').read_bytes()",
        "path.open('rb')",
        "path.stat()",
        "if folder.exists(): pass",
        "map(Path.unlink, paths)",
        "import io\nio.open(path)",
        "pa.memory_map(str(path))",
        "pa.OSFile(path)",
        "from pyarrow import memory_map",
        "pl.scan_parquet(path)",
        "pads.dataset(path)",
        "pq.read_table(path)",
        "pq.read_table(source=path)",
        "pq.ParquetFile(str(path))",
        "pq.read_metadata(storage.path_of(name))",
        "pq.write_table(table, path)",
        "with pa.ipc.open_file(path) as file: pass",
        "def read(file: str): return pq.read_table(file)",
    ],
)
def test_a_planted_way_to_a_file_is_found(source: str) -> None:
    assert len(file_problems("_dataset/verify.py", source)) == 1
    assert file_problems("_storage/local.py", source) == []


@pytest.mark.parametrize(
    "source",
    [
        "with storage.open(name) as file: pq.read_table(file)",
        "with self.storage.open(name) as source, pq.ParquetFile(source) as file: file.read()",
        "nbytes = self._storage.stat(name).nbytes",
        "pq.read_table(pa.BufferReader(data))",
        "sink = pa.BufferOutputStream()\npq.write_table(table, sink)",
        "def read(file: IO[bytes]): return pq.read_metadata(file)",
        "import os\nos.cpu_count()\nos.fspath(place)\nos.environ.get('A')",
        "name.replace('a', 'b').partition('.')",
        "Path(name).stem",
    ],
)
def test_a_way_through_a_storage_is_none(source: str) -> None:
    assert file_problems("_dataset/verify.py", source) == []


def test_polars_scans_in_one_file() -> None:
    assert file_problems(SCANS, "pl.scan_parquet(paths)") == []
    assert len(file_problems(SCANS, "pl.scan_parquet(paths)\npath.unlink()")) == 1


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
