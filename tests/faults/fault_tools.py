"""What the checks share: writers to hurt, tools to hurt them with, and a judge of what is left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from writer_program import Ending, Job, make_batch, make_stage

import arrowimg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

HUNG_SECONDS = 30
TEMPORARY_PREFIX = ".arrowimg-"

_GOING_DOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
_NO_LOG_FLUSH = 2


def say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Print one line of figures, whatever pytest captures."""
    with capsys.disabled():
        sys.stdout.write(f"\n{line}\n")
        sys.stdout.flush()


def skip(capsys: pytest.CaptureFixture[str], check: str, reason: str) -> None:
    """Skip a check that this machine cannot run, and say so."""
    say(capsys, f"{check}: not run: {reason}")
    pytest.skip(reason)


def require_strace(capsys: pytest.CaptureFixture[str], check: str) -> None:
    """Skip where there is no strace, or where it may not trace."""
    if shutil.which("strace") is None:
        skip(capsys, check, "there is no strace")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as traced:
        command = ["strace", "-qqq", "-e", "trace=close", "-p", str(traced.pid)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as strace:
            _wait_until_traced(traced.pid, strace)
            traced.communicate()
    if strace.returncode:
        skip(capsys, check, "strace may not trace here")


def require_mounts(capsys: pytest.CaptureFixture[str], check: str, *commands: str) -> None:
    """Skip where nothing can be mounted, or where one of these commands is missing."""
    if os.geteuid():
        skip(capsys, check, "mounting needs root")
    for command in ("mount", "umount", *commands):
        if shutil.which(command) is None:
            skip(capsys, check, f"there is no {command}")
    try:
        with tempfile.TemporaryDirectory() as folder, mounted(Path(folder), "-t", "tmpfs", "tmpfs"):
            pass
    except subprocess.CalledProcessError as error:
        skip(capsys, check, f"nothing can be mounted: {error.stderr!r}")


@contextlib.contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """Mount something, and unmount it whatever happens."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments, str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        unmount(folder)


def unmount(folder: Path) -> None:
    """Unmount a folder, lazily where something still holds on to it."""
    done = subprocess.run(["umount", str(folder)], check=False, capture_output=True)
    if done.returncode and folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def cut_power(mount: Path) -> None:
    """Stop a file system where it stands: what is not on its disk yet is lost."""
    descriptor = os.open(mount, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _GOING_DOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(descriptor)


class Writers:
    """Writers in processes of their own, forked from one warm parent."""

    def __init__(self) -> None:
        if platform.system() != "Linux":
            pytest.skip("the writers need Linux")
        # Without coverage, whose own files and calls would count as the writer's.
        inherited = {name: value for name, value in os.environ.items() if "COV" not in name}
        environment = inherited | {
            "PYTHONPATH": str(Path(arrowimg.__file__).parents[1]),
            "PYTHONWARNINGS": "ignore",  # of files left open by a close that failed
            # One thread, so that a fork has all of its parent.
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "JE_ARROW_MALLOC_CONF": "background_thread:false",
        }
        self._logs = tempfile.TemporaryDirectory(prefix="faults-")
        self._log_folder = Path(self._logs.name)
        program = Path(__file__).with_name("writer_program.py")
        self._parent = subprocess.Popen(
            [sys.executable, "-B", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._parent.communicate()
        self._logs.cleanup()

    def start(self, job: Job) -> int:
        """Start a writer; returns its process id."""
        return int(self._ask({"start": job}))

    def wait(self, pid: int, seconds: float = HUNG_SECONDS) -> Ending:
        """Wait for the end of a writer; one that does not come to it is killed and fails."""
        try:
            return msgspec.convert(self._ask({"wait": pid}, seconds), Ending)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._answer(HUNG_SECONDS)
            return Ending(signal=signal.SIGKILL, error="Hung")

    def run(self, job: Job) -> Ending:
        """Start a writer and wait for its end."""
        return self.wait(self.start(job))

    def run_traced(self, job: Job, *arguments: str) -> tuple[Ending, list[str]]:
        """Run a writer under strace from its first step on; returns what was logged too."""
        pid = self.start(msgspec.structs.replace(job, stops=True))
        wait_until_stopped(pid)
        log = self._log_folder / f"{pid}.log"
        command = ["strace", "-qqq", "-o", str(log), "-p", str(pid), *arguments]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as strace:
            _wait_until_traced(pid, strace)
            os.kill(pid, signal.SIGCONT)
            ending = self.wait(pid)
            _, errors = strace.communicate()
        lines = log.read_text("utf-8", "replace").splitlines()
        log.unlink()
        assert not errors, errors
        return ending, lines

    def count_calls(self, job: Job) -> Counter[str]:
        """Return how often an undisturbed writer makes each system call."""
        ending, log = self.run_traced(job, "-e", "trace=all")
        assert ending.is_acknowledged, ending
        names = [re.match(r"([a-z0-9_]+)\(", line) for line in log]
        return Counter(name[1] for name in names if name)

    def _ask(self, order: object, seconds: float = HUNG_SECONDS) -> Any:  # noqa: ANN401  # JSON
        assert self._parent.stdin is not None
        self._parent.stdin.write(msgspec.json.encode(order) + b"\n")
        self._parent.stdin.flush()
        return self._answer(seconds)

    def _answer(self, seconds: float) -> Any:  # noqa: ANN401  # JSON
        assert self._parent.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._parent.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                raise TimeoutError
        return msgspec.json.decode(self._parent.stdout.readline())


class Fault(msgspec.Struct, frozen=True):
    """A fault as strace injects it.

    Attributes
    ----------
    call
        The system call.
    what
        ``error=EIO`` or ``signal=KILL``.
    at
        Which of the calls, counted from 1.
    last
        The last that fails too: as `at`, or ``""`` for all that follow.
    """

    call: str
    what: str
    at: int
    last: str

    def arguments(self) -> list[str]:
        """Return the arguments for strace."""
        until = f"{self.at}" if self.last == str(self.at) else f"{self.at}..{self.last}"
        when = until if self.last else f"{self.at}+"
        return ["-e", f"trace={self.call}", "-e", f"inject={self.call}:{self.what}:when={when}"]


class Shards(msgspec.Struct, frozen=True):
    """What a writer leaves that nothing disturbed: the judge of all others.

    Attributes
    ----------
    files
        Bytes by name.
    folder
        Where these stand.
    """

    files: dict[str, bytes]
    folder: Path

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return what stands in a folder."""
        return cls(content(folder), folder)

    @property
    def names(self) -> list[str]:
        """Names of the shards, without suffix."""
        return sorted(Path(name).stem for name in self.files if name.endswith(".parquet"))

    def has(self, folder: Path, name: str) -> bool:
        """Tell whether a shard stands in a folder as it should, byte for byte."""
        return all(
            (folder / file).is_file() and (folder / file).read_bytes() == self.files[file]
            for file in (f"{name}.tar", f"{name}.parquet")
        )


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, temporary ones left out."""
    if not folder.exists():
        return {}
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith(TEMPORARY_PREFIX)
    }


def temporaries(folder: Path) -> int:
    """Return how many temporary files stand in a folder."""
    return len(list(folder.glob(f"{TEMPORARY_PREFIX}*")))


def torn_shards(folder: Path) -> list[str]:
    """Return what is wrong with the shards that a reader of sidecars sees.

    Judged twice: by these lines, which know nothing of the package, and by its `verify`.
    """
    sidecars = sorted(folder.glob("*.parquet"))
    wrong = [text for sidecar in sidecars if (text := _torn(sidecar))]
    if sidecars:
        report = arrowimg.verify(folder)
        # Of a batch that is not complete, `verify` says which shards are missing: that is no tear.
        wrong += [str(it) for it in report.damages if "shards of its batch" not in it.detail]
    return wrong


def is_torn(sidecar: Path) -> bool:
    """Tell whether a sidecar is there, and its tar is not as it says."""
    return bool(_torn(sidecar))


def _torn(sidecar: Path) -> str:
    try:
        metadata = pq.read_metadata(pa.BufferReader(sidecar.read_bytes())).metadata
    except FileNotFoundError:
        return ""
    except (pa.ArrowException, OSError) as error:
        return f"{sidecar.name}: {error}"
    footer = msgspec.json.decode(metadata[b"arrowimg"])
    tar = sidecar.with_name(footer["tar_file"])
    try:
        data = tar.read_bytes()
    except FileNotFoundError:
        return f"{tar.name}: missing"
    if len(data) != footer["tar_nbytes"]:
        return f"{tar.name}: {len(data)} bytes, {footer['tar_nbytes']} stated"
    if xxhash.xxh3_128_hexdigest(data) != footer["tar_checksum"]:
        return f"{tar.name}: other bytes than stated"
    return ""


def write_reference(folder: Path, *seeds: int, **options: Any) -> Shards:  # noqa: ANN401
    """Write batches undisturbed; returns what stands there then."""
    for seed in seeds or (0,):
        make_stage(folder, **options).process(make_batch(seed))
    return Shards.of(folder)


def retry(folder: Path, shards: Shards, **options: Any) -> str:  # noqa: ANN401  # passed on
    """Write the batch of seed 0 once more, undisturbed; returns what is wrong then, or ``""``."""
    try:
        make_stage(folder, **options).process(make_batch(0))
    except Exception as error:  # noqa: BLE001  # whatever it raises is a finding
        return f"{type(error).__name__}: {error}"
    found = content(folder)
    return "" if found == shards.files else f"there are {sorted(found)}, or other bytes"


def has_not_ended(pid: int) -> bool:
    """Tell whether a process still runs; one that ended waits for its parent as a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return status.rsplit(")", 1)[1].split()[0] not in "ZX"


def wait_until_stopped(pid: int) -> None:
    """Wait until a process has stopped itself."""
    deadline = time.monotonic() + HUNG_SECONDS
    while "State:\tT" not in _status(pid):
        assert time.monotonic() < deadline, f"process {pid} does not stop"
        time.sleep(0.0005)


def _wait_until_traced(pid: int, strace: subprocess.Popen[bytes]) -> None:
    while strace.poll() is None and "TracerPid:\t0\n" in _status(pid):
        time.sleep(0.0005)


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii")
