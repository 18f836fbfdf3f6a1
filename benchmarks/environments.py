"""The virtual environments of the contenders, in ``.benchmarks/`` of the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.contenders import ENVIRONMENTS, Environment

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".benchmarks"

_STAND_IN = '''"""Stands in for a module that is imported but not called."""


class Anything:
    pass


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Anything
'''


def python_of(name: str | None) -> str | None:
    """Return the interpreter of an environment, None where it is not installed."""
    if name is None:
        return sys.executable
    python = FOLDER / name / "bin" / "python"
    return str(python) if (FOLDER / name / "installed").exists() else None


def install(name: str) -> None:
    """Make an environment anew.

    Raises
    ------
    subprocess.CalledProcessError
        When pip fails. The environment then counts as not installed.
    """
    environment, folder = ENVIRONMENTS[name], FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    _install_packages(folder / "bin" / "python", environment)
    for module in environment.stand_ins:
        _install_stand_in(folder / "bin" / "python", module)
    (folder / "installed").touch()


def _install_packages(python: Path, environment: Environment) -> None:
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if environment.without_dependencies:
        subprocess.run([*pip, "--no-deps", *environment.without_dependencies], check=True)
    subprocess.run([*pip, *environment.requires], check=True)


def _install_stand_in(python: Path, module: str) -> None:
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(
        subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip()
    )
    folder = packages.joinpath(*module.split("."))
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(_STAND_IN, encoding="utf-8")
