"""For which share of the time the interpreter's lock is held, sampled by py-spy.

A process writes the same pictures again and again. Each moment has one stack of its main thread
where py-spy counts those that wait as well (``--idle``), and at most one of the thread that holds
the lock (``--gil``). Moments at which written files are removed do not count.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.environments import ROOT
from benchmarks.inputs import INPUTS, make_input
from benchmarks.scaling import SIZES

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECONDS = 2
_RATE = 250
_SHARDS = 8


def py_spy() -> str | None:
    """Return the command beside this Python or on the path, None where there is none."""
    return shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")


def table(names: Iterable[str], cores: int, tmpfs: Path) -> list[list[str]]:
    """Return the shares for one thread and for as many as cores: a table, its head first.

    Raises
    ------
    subprocess.CalledProcessError
        When py-spy fails: where it may not look into other processes, for one.
    """
    counts = sorted({1, cores})
    head = [f"{count} thread{'s' * (count > 1)}" for count in counts]
    rows = [["lock held, share of the time", *head]]
    for name in names:
        shares = [share(SIZES[name].input, count, tmpfs) for count in counts]
        rows.append([name, *(f"{found:.0%}" for found in shares)])
    return rows


def share(source: str, threads: int, tmpfs: Path) -> float:
    """Return the share while pictures of `INPUTS` are written by so many threads."""
    folder = Path(tempfile.mkdtemp(dir=tmpfs))
    try:
        num_rows = INPUTS[source].quick_rows
        path, _ = make_input(INPUTS[source], num_rows, folder)
        options = {"encode_threads": threads, "images_per_tar": -(-num_rows // _SHARDS)}
        order = json.dumps({"path": str(path), "out": str(folder / "out"), "options": options})
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.lock", order], cwd=ROOT, stdout=subprocess.PIPE
        ) as writer:
            try:
                if writer.stdout is None or not writer.stdout.readline():
                    raise RuntimeError("the process that writes ended")
                held, moments = (
                    _record(writer.pid, which, folder / which) for which in ("gil", "idle")
                )
            finally:
                writer.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return num_held(held) / num_moments(moments)


def _record(process: int, which: str, path: Path) -> str:
    command = [str(py_spy()), "record", f"--{which}", "--pid", str(process), "--format", "raw"]
    settings = ["--duration", str(_SECONDS), "--rate", str(_RATE), "--output", str(path)]
    subprocess.run([*command, *settings], check=True, capture_output=True)
    return path.read_text(encoding="utf-8")


def num_held(stacks: str) -> int:
    """Return at how many moments some thread held the lock, of py-spy's raw lines."""
    return sum(count for stack, count in _counted(stacks) if "rmtree" not in stack)


def num_moments(stacks: str) -> int:
    """Return how many moments there are, of py-spy's raw lines: stacks of the main thread."""
    return sum(
        count
        for stack, count in _counted(stacks)
        if "write_again" in stack and "rmtree" not in stack
    )


def _counted(stacks: str) -> list[tuple[str, int]]:
    # A line is frames, outermost first, separated by semicolons, and how often they were seen.
    parts = [line.rpartition(" ") for line in stacks.splitlines()]
    return [(stack, int(count)) for stack, _, count in parts]


def write_again(path: str, out: str, options: dict[str, Any]) -> None:
    """Write an Arrow file until the process is ended; says so when it has done so once."""
    import arrowimg  # noqa: PLC0415  # before the first sample, but only in this process

    is_first = True
    while True:
        arrowimg.write_shards(Path(path), out, progress=False, workers=1, **options)
        shutil.rmtree(out)
        if is_first:
            print("ready", flush=True)
            is_first = False


if __name__ == "__main__":
    write_again(**json.loads(sys.argv[1]))
