"""A warm parent that forks one writer per job: orders in, results out, one JSON document a line.

Orders are ``{"start": job}``, answered with the process id at once, and ``{"wait": pid}``, answered
when the process has ended. What a writer acknowledges goes through shared memory, so that telling
takes no system call that could be counted, fail, or come too late.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from arrowimg import ImageBatch, ImageWriterStage, ShardWriter, reshard
from arrowimg._storage import local_commit as _commit

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED_NBYTES = 2**16
ACKNOWLEDGED_AT_MOST = 2**12
WRITTEN, UNCHANGED = 1, 2
_PR_SET_PDEATHSIG = 1
_COUNTED = ("open", "fsync", "link", "unlink", "mkdir", "replace")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one writer does.

    Attributes
    ----------
    folder
        Where it writes.
    writer
        ``"stage"`` processes the batches of `seeds`, in order; ``"dataset"`` writes them as one
        dataset; ``"reshard"`` writes the dataset in `source` anew, its rows shuffled; ``"naive"``
        copies the files of `source` to their final names, as most writers write theirs.
    seeds
        One batch each: what its ids and pictures are made of.
    pictures
        What its pictures alone are made of; ids stay. None: the seed.
    is_named
        True: as on a file system without unnamed files.
    syncs
        False: as if every fsync had been forgotten.
    stops
        True: stop before the first batch, until SIGCONT.
    pauses_at_link
        Stop before this call of `os.link`, counted from 1.
    kill_at
        Die by SIGKILL at this call of the functions of `os` that change a folder.
    file_nbytes
        No file may grow beyond.
    headroom_nbytes
        How much more memory than now it may write to. Lifted for a second try.
    lock_seconds
        How long it waits for other writers.
    """

    folder: str
    writer: Literal["stage", "dataset", "reshard", "naive"] = "stage"
    source: str = ""
    seeds: tuple[int, ...] = (0,)
    pictures: int | None = None
    num_images: int = 6
    side: int = 32
    images_per_tar: int = 1000
    options: dict[str, Any] = {}
    is_named: bool = False
    syncs: bool = True
    stops: bool = False
    pauses_at_link: int | None = None
    kill_at: int | None = None
    file_nbytes: int | None = None
    headroom_nbytes: int | None = None
    lock_seconds: float = 60


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a writer ended.

    Attributes
    ----------
    signal
        What it was killed by, else 0.
    acknowledged
        For each batch `WRITTEN`, `UNCHANGED` or 0; of a dataset, the first tells of the whole.
    error
        Name of the exception that ended it, or ``""``.
    is_storage_error, is_memory_error
        Whether it is an instance of these.
    message, path, free_nbytes, free_inodes
        Of the exception.
    calls
        How often it changed a folder.
    """

    signal: int
    acknowledged: list[int] = []
    error: str = ""
    is_storage_error: bool = False
    is_memory_error: bool = False
    message: str = ""
    path: str = ""
    free_nbytes: int | None = None
    free_inodes: int | None = None
    calls: int = 0

    @property
    def is_acknowledged(self) -> bool:
        """True where every batch was."""
        return bool(self.acknowledged) and all(self.acknowledged)


def make_batch(
    seed: int, num_images: int = 6, side: int = 32, pictures: int | None = None
) -> ImageBatch:
    """Return the batch of a seed: noise, since noise compresses least."""
    generator = np.random.default_rng(seed if pictures is None else pictures)
    pixels = generator.integers(0, 256, (num_images, side, side, 3), np.uint8)
    ids = [f"{seed}-{at}" for at in range(num_images)]
    return ImageBatch.from_arrays(pixels, ids, label=[seed * 1000 + at for at in range(num_images)])


def make_stage(folder: str | Path, **options: Any) -> ImageWriterStage:  # noqa: ANN401  # passed on
    """Return a stage that does all its work in one thread."""
    return ImageWriterStage(folder, **{"encode_threads": 1, **options})


def write_naively(source: Path, folder: Path) -> None:
    """Copy shards as most writers write them: to their final names, piece by piece."""
    folder.mkdir(exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for tar in sorted(source.glob("*.tar")):
        sidecar = tar.with_suffix(".parquet")
        with (
            os.fdopen(os.open(folder / tar.name, flags), "wb") as tar_file,
            os.fdopen(os.open(folder / sidecar.name, flags), "wb") as sidecar_file,
        ):
            for data, file in (
                (tar.read_bytes(), tar_file),
                (sidecar.read_bytes(), sidecar_file),
            ):
                for at in range(0, len(data), 4096):
                    file.write(data[at : at + 4096])


def _run(job: Job, shared: mmap.mmap) -> None:
    batches = [make_batch(seed, job.num_images, job.side, job.pictures) for seed in job.seeds]
    _prepare(job, shared)
    if job.stops:
        os.kill(os.getpid(), signal.SIGSTOP)
    if job.headroom_nbytes is None:
        _write(job, batches, shared)
        return
    try:
        limit = _writable_nbytes() + job.headroom_nbytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
        _write(job, batches, shared)
    except BaseException:
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)
        again = msgspec.structs.replace(job, folder=f"{job.folder}-again", headroom_nbytes=None)
        _write(again, batches, shared)
        raise


def _writable_nbytes() -> int:
    """Return how much memory this process may write to.

    Address space would tell nothing: an allocator that has reserved some makes it writable later,
    below any limit. And a stack that may not grow is a crash.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmData:")[2].split()[0]) * 1024


def _write(job: Job, batches: list[ImageBatch], shared: mmap.mmap) -> None:
    if job.writer == "naive":
        write_naively(Path(job.source), Path(job.folder))
        shared[0] = WRITTEN
        return
    if job.writer == "reshard":
        reshard(
            job.source,
            job.folder,
            images_per_tar=job.images_per_tar,
            shuffle_seed=0,
            progress=False,
            **job.options,
        )
        shared[0] = WRITTEN
        return
    options = {"encode_threads": 1, **job.options}
    if job.writer == "dataset":
        with ShardWriter(job.folder, job.images_per_tar, **options) as writer:
            for batch in batches:
                writer.write(batch)
        shared[0] = WRITTEN
        return
    stage = make_stage(job.folder, images_per_tar=job.images_per_tar, **options)
    for at, batch in enumerate(batches):
        group = stage.process(batch)
        shared[at] = UNCHANGED if group.metadata["num_unchanged"] else WRITTEN


def _prepare(job: Job, shared: mmap.mmap) -> None:
    _commit._LOCK_SECONDS = job.lock_seconds  # type: ignore[assignment]
    if job.is_named:
        del os.O_TMPFILE
    if not job.syncs:
        os.fsync = lambda fd: None  # noqa: ARG005
    if job.file_nbytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.file_nbytes,) * 2)
    if job.pauses_at_link is not None:
        _before("link", job.pauses_at_link, signal.SIGSTOP, [0], shared)
    count = [0]
    for name in _COUNTED:
        _before(name, job.kill_at or 0, signal.SIGKILL, count, shared)


def _before(
    name: str, at_call: int, number: signal.Signals, count: list[int], shared: mmap.mmap
) -> None:
    """Have this process send itself a signal before a certain call of a function of `os`."""
    genuine: Callable[..., Any] = getattr(os, name)

    def counting(*args: object, **options: object) -> object:
        count[0] += 1
        shared[ACKNOWLEDGED_AT_MOST : ACKNOWLEDGED_AT_MOST + 4] = count[0].to_bytes(4, "little")
        if count[0] == at_call:
            os.kill(os.getpid(), number)
        return genuine(*args, **options)

    setattr(os, name, counting)


def _tell(error: BaseException, shared: mmap.mmap) -> None:
    told = {
        "error": type(error).__name__,
        "is_storage_error": type(error).__name__ == "StorageError",
        "is_memory_error": isinstance(error, MemoryError),
        "message": str(error)[:2000],
        "path": str(getattr(error, "path", None) or ""),
        "free_nbytes": getattr(error, "free_nbytes", None),
        "free_inodes": getattr(error, "free_inodes", None),
    }
    text = msgspec.json.encode(told)
    start = ACKNOWLEDGED_AT_MOST + 8
    shared[start - 4 : start] = len(text).to_bytes(4, "little")
    shared[start : start + len(text)] = text


def _start(job: Job) -> tuple[int, mmap.mmap]:
    shared = mmap.mmap(-1, SHARED_NBYTES)
    pid = os.fork()
    if pid:
        return pid, shared
    code = 0
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _run(job, shared)
    except BaseException as error:  # noqa: BLE001  # told, then the process ends
        _tell(error, shared)
        code = 1
    os._exit(code)


def _ending(job: Job, shared: mmap.mmap, status: int) -> Ending:
    start = ACKNOWLEDGED_AT_MOST + 8
    nbytes = int.from_bytes(shared[start - 4 : start], "little")
    told: dict[str, Any] = msgspec.json.decode(shared[start : start + nbytes]) if nbytes else {}
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    num_batches = len(job.seeds) if job.writer == "stage" else 1
    calls = int.from_bytes(shared[start - 8 : start - 4], "little")
    return Ending(signal=number, acknowledged=list(shared[:num_batches]), calls=calls, **told)


def _warm_up() -> None:
    """Import and allocate what the first batch needs, once for all writers."""
    with tempfile.TemporaryDirectory() as folder:
        names: tuple[Literal["stage", "dataset"], ...] = ("stage", "dataset")
        for name in names:
            for _ in range(2):
                path = str(Path(folder, name))
                with mmap.mmap(-1, SHARED_NBYTES) as shared:
                    _write(Job(folder=path, writer=name), [make_batch(0)], shared)


def main() -> None:
    """Serve until the orders end."""
    _warm_up()
    running: dict[int, tuple[Job, mmap.mmap]] = {}
    for line in sys.stdin:
        order = msgspec.json.decode(line)
        if "start" in order:
            job = msgspec.convert(order["start"], Job)
            pid, shared = _start(job)
            running[pid] = (job, shared)
            answer: object = pid
        else:
            job, shared = running.pop(order["wait"])
            _, status = os.waitpid(order["wait"], 0)
            answer = _ending(job, shared, status)
            shared.close()
        sys.stdout.write(f"{msgspec.json.encode(answer).decode()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
