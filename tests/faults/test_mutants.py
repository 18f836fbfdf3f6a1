"""Eight ways to break the promises, each put into a copy of the package: its unit tests must fail.

A mutation is an exact replacement of text, so that one whose text is gone fails, and is renewed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from fault_tools import say

import arrowimg

CHECK = "mutants"
TESTS = Path(__file__).parents[1]
COMMIT = "storage/test_local_commit.py"
TRANSACTIONS = "storage/test_transactions.py"
IN_ORDER = f"{COMMIT}::TestPublish::test_files_appear_in_order_each_durable_before_the_next"


class Mutant(msgspec.Struct, frozen=True):
    """One mutation and the tests that must notice it.

    Attributes
    ----------
    name
        What is broken.
    file, old, new
        Where, and how.
    tests
        Of the folder `tests`; one of them at least must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = [
    Mutant(
        "files are not synced",
        "_storage/local_file.py",
        "            wait_for_disk(lambda: os.fsync(self._file.fileno()))\n",
        "            pass\n",
        (IN_ORDER,),
    ),
    Mutant(
        "the folder is not synced after the data",
        "_storage/commit.py",
        "            target.make_durable(None if is_ours else file.name)\n",
        "",
        (IN_ORDER,),
    ),
    Mutant(
        "the folder is not synced after the record",
        "_storage/commit.py",
        "        if record.take_name():\n            target.make_durable()\n",
        "        if record.take_name():\n",
        (IN_ORDER,),
    ),
    Mutant(
        "the record is published first",
        "_storage/commit.py",
        "    *data, record = files\n    if not target.is_taken(record.name):\n",
        "    record, *data = files\n    if not target.is_taken(record.name):\n",
        (IN_ORDER,),
    ),
    Mutant(
        "links replace what is there",
        "_storage/local_file.py",
        "        try:\n            self._link(self.name)\n"
        "        except FileExistsError:\n            return False\n        return True\n",
        "        self.replace()\n        return True\n",
        (COMMIT, TRANSACTIONS),
    ),
    Mutant(
        "OpenCV's refusal is ignored",
        "_images/codec/opencv.py",
        "    if not succeeded or not encoded.size:\n",
        "    if False:\n",
        ("images/test_codec.py", "test_errors.py", "images/test_pixels.py"),
    ),
    Mutant(
        "checksums are not compared",
        "_storage/commit.py",
        "        return target.describe(file.name) == _committed(file)\n",
        "        return bool(target.describe(file.name))\n",
        (COMMIT, TRANSACTIONS),
    ),
    Mutant(
        "an error of a write is swallowed",
        "_storage/local_file.py",
        "            left = left[self._file.write(left) :]\n",
        "            with suppress(OSError):\n"
        "                self._file.write(left)\n"
        "            break\n",
        ("storage/test_local_file_writes.py::TestFailing",),
    ),
]


def copy_package(folder: Path, mutant: Mutant | None) -> None:
    package = Path(arrowimg.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, folder / "arrowimg", ignore=ignored)
    if mutant is None:
        return
    path = folder / "arrowimg" / mutant.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.name}: the text to replace is gone: renew it"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python so that it imports the copy, and from nowhere else."""
    environment = {name: value for name, value in os.environ.items() if "COV" not in name}
    environment |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def failing_tests(folder: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Run tests against the copy in a folder; returns pytest's exit status and last line."""
    imported = run_python(folder, "-c", "import arrowimg; print(arrowimg.__file__)")
    assert Path(imported.stdout.strip()).is_relative_to(folder), imported
    ran = run_python(
        folder,
        *("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not faults"),
        *("-c", str(TESTS.parent / "pyproject.toml"), "--rootdir", str(TESTS.parent)),
        *(str(TESTS / test) for test in tests),
    )
    assert ran.returncode in {0, 1}, ran.stdout[-2000:] + ran.stderr[-2000:]
    return ran.returncode, ran.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_text_of_a_mutation_is_there(mutant: Mutant, tmp_path: Path) -> None:
    copy_package(tmp_path, mutant)

    source = (tmp_path / "arrowimg" / mutant.file).read_text(encoding="utf-8")
    compile(source, mutant.file, "exec")
    assert mutant.new in source


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_every_mutant_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    survivors = []
    for at, mutant in enumerate(MUTANTS):
        copy_package(tmp_path / str(at), mutant)
        status, line = failing_tests(tmp_path / str(at), mutant.tests)
        if status == 0:
            survivors.append(f"{mutant.name}: {line}")
    copy_package(tmp_path / "control", None)
    tests = tuple(sorted({test for mutant in MUTANTS for test in mutant.tests}))
    status, line = failing_tests(tmp_path / "control", tests)

    say(
        capsys,
        f"{CHECK}: {len(MUTANTS) - len(survivors)} of {len(MUTANTS)} killed; "
        f"control: the package itself, {line}",
    )
    assert not survivors, survivors
    assert status == 0, f"the package itself fails: {line}"
