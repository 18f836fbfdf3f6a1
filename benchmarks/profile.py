"""Where the time of one batch goes, by timers around the steps of arrowimg.

A timer costs about a microsecond a call: steps that run once per picture are timed only where the
picture costs much more. Wall time is a step's own, without that of the steps it calls; a step that
waits for another thread has wall time but no processor time.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arrowimg import ImageBatch, ImageWriterStage
from benchmarks.figures import spread
from benchmarks.inputs import INPUTS, make_input
from benchmarks.views import read_table, touch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEPS = (
    ("the whole of process()", ("arrowimg._write.stage.ImageWriterStage.process",)),
    ("name the batch", ("arrowimg._write.batch_name.batch_digest",)),
    ("make keys", ("arrowimg._format.keys.sample_key_column",)),
    (
        "check metadata",
        ("arrowimg._format.sidecar.check_names", "arrowimg._format.column_types.written_columns"),
    ),
    ("look at the images", ("arrowimg._images.columns.image_runs",)),
    ("check the images", ("arrowimg._images.check.check_run",)),
    ("encode", ("arrowimg._images.codec.opencv.encode_jpegs",)),
    ("put together what is stored", ("arrowimg._write.encode._encode_part",)),
    (
        "lay out the tar",
        ("arrowimg._format.tar_writer.framed_members", "arrowimg._storage.local_file.join_rows"),
    ),
    ("hash members and tar", ("arrowimg._format.tar_writer.TarWriter.write_samples",)),
    ("write the tar", ("arrowimg._storage.local_file.LocalFile.write",)),
    (
        "make the sidecar",
        ("arrowimg._format.sidecar.sidecar_table", "arrowimg._format.sidecar.write_sidecar"),
    ),
    ("commit", ("arrowimg._storage.local_commit.LocalTransaction.publish",)),
)
"""Labels, and the functions of arrowimg that a step is made of."""


@dataclass
class Spent:
    """What a step took in one call of the stage, all threads together.

    Attributes
    ----------
    wall, cpu
        Seconds of its own.
    calls
        How often it ran.
    threads
        In which threads.
    """

    wall: float = 0.0
    cpu: float = 0.0
    calls: int = 0
    threads: set[int] = field(default_factory=set)


class Timers:
    """Collects what steps take, by label."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = defaultdict(Spent)
        self._lock = threading.Lock()
        self._local = threading.local()

    def wrap(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is timed; a generator at each of its steps."""
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def stepped(*arguments: Any, **keywords: Any) -> Iterator[Any]:
                values = function(*arguments, **keywords)
                end = object()
                while True:
                    with self._timed(label):
                        value = next(values, end)
                    if value is end:
                        return
                    yield value

            return stepped

        @functools.wraps(function)
        def timed(*arguments: Any, **keywords: Any) -> Any:
            with self._timed(label):
                return function(*arguments, **keywords)

        return timed

    @contextmanager
    def _timed(self, label: str) -> Iterator[None]:
        stack: list[list[float]] = self._local.__dict__.setdefault("stack", [])
        # What the steps that this one calls take: wall and processor time.
        inner = [0.0, 0.0]
        stack.append(inner)
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            stack.pop()
            if stack:
                stack[-1][0] += wall
                stack[-1][1] += cpu
            with self._lock:
                spent = self.spent[label]
                spent.wall += wall - inner[0]
                spent.cpu += cpu - inner[1]
                spent.calls += 1
                spent.threads.add(threading.get_ident())


def profile(name: str, num_rounds: int, tmpfs: Path) -> tuple[list[list[str]], int]:
    """Return the rows of a table, its head first, and how many pictures were written.

    Parameters
    ----------
    name
        Key of `INPUTS`.
    tmpfs
        A folder in memory.
    """
    description = INPUTS[name]
    folder = Path(tempfile.mkdtemp(dir=tmpfs))
    try:
        path, _ = make_input(description, description.num_rows, folder)
        table = read_table(str(path))
        touch(table)
        rounds = [
            _process(ImageBatch(table, dataset_name="benchmark"), folder / f"out-{number}")
            for number in range(num_rounds + 1)
        ]
    finally:
        shutil.rmtree(folder)
    # The first imports modules and starts threads.
    return _rows(rounds[1:]), description.num_rows


def _process(batch: ImageBatch, out: Path) -> dict[str, Spent]:
    timers = Timers()
    with _wrapped(timers):
        ImageWriterStage(out, images_per_tar=1000, remove_image_data=True).process(batch)
    shutil.rmtree(out)
    return dict(timers.spent)


def _rows(rounds: list[dict[str, Spent]]) -> list[list[str]]:
    rows = [["step", "calls", "threads", "wall, ms", "quartiles", "processor, ms", "share of it"]]
    whole = spread([sum(spent.cpu for spent in one.values()) for one in rounds]).median
    for label, _ in STEPS:
        taken = [one.get(label, Spent()) for one in rounds]
        low, wall, high = spread([spent.wall * 1000 for spent in taken])
        cpu = spread([spent.cpu for spent in taken]).median
        rows.append(
            [
                f"{label}: what is left" if label == STEPS[0][0] else label,
                f"{taken[0].calls:,}",
                str(len(taken[0].threads)),
                f"{wall:.1f}",
                f"{low:.1f} to {high:.1f}",
                f"{cpu * 1000:.1f}",
                f"{cpu / whole:.1%}",
            ]
        )
    return rows


@contextmanager
def _wrapped(timers: Timers) -> Iterator[None]:
    """Put timers around all steps, wherever arrowimg has them imported.

    Raises
    ------
    AttributeError, ModuleNotFoundError
        When a function of `STEPS` is not there any more.
    """
    with ExitStack() as undo:
        for label, names in STEPS:
            for name in names:
                owner, attribute = _resolve(name)
                function = getattr(owner, attribute)
                timed = timers.wrap(label, function)
                owners = [owner] if inspect.isclass(owner) else _importers(attribute, function)
                for place in owners:
                    setattr(place, attribute, timed)
                    undo.callback(setattr, place, attribute, function)
        yield


def _resolve(name: str) -> tuple[Any, str]:
    """Return the module or class that holds a function, and what it is called there."""
    parts = name.split(".")
    owner: Any = importlib.import_module(".".join(parts[:2]))
    for part in parts[2:-1]:
        owner = getattr(owner, part)
    return owner, parts[-1]


def _importers(attribute: str, function: object) -> list[Any]:
    return [
        module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "arrowimg" and getattr(module, attribute, None) is function
    ]
