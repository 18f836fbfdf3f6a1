"""In which order a commit on a local file system changes names, and what is durable when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage_data import OTHERS, PAIR, commit, described, files_in

from arrowimg._storage.base import Commit
from arrowimg._storage.local import LocalStorage

if TYPE_CHECKING:
    import pytest


def record_steps(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Return a list that grows by each change of names and each fsync, in order."""
    steps: list[str] = []
    link, replace, unlink, fsync = os.link, os.replace, os.unlink, os.fsync

    def shown(name: str) -> str:
        return "(temporary)" if name.startswith(".arrowimg-") else name

    def recording_link(source: str, target: str, **options: Any) -> None:  # noqa: ANN401  # passed on
        link(source, target, **options)
        steps.append(f"link {shown(target)}")

    def recording_replace(source: str, target: str, **options: Any) -> None:  # noqa: ANN401
        replace(source, target, **options)
        steps.append(f"replace {shown(target)}")

    def recording_unlink(name: str, **options: Any) -> None:  # noqa: ANN401
        unlink(name, **options)
        steps.append(f"unlink {shown(name)}")

    def recording_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        fsync(descriptor)
        is_staged = "#" in path.name or path.name.startswith(".arrowimg-")
        steps.append(f"sync {'folder' if path == folder else 'staged' if is_staged else path.name}")

    for function in (recording_link, recording_replace, recording_unlink, recording_fsync):
        monkeypatch.setattr(os, function.__name__.removeprefix("recording_"), function)
    return steps


class TestOrder:
    def test_overwriting_takes_the_record_away_first_and_brings_it_back_last(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit(LocalStorage(tmp_path), OTHERS[0])
        steps = record_steps(monkeypatch, tmp_path)
        commit(LocalStorage(tmp_path), PAIR, "overwrite")

        names = [step for step in steps if "(temporary)" not in step]
        assert names == [
            "sync staged",
            "sync staged",
            "unlink a.parquet",
            "sync folder",
            "replace a.tar",
            "sync folder",
            "replace a.parquet",
            "sync folder",
        ]

    def test_what_was_there_unchanged_is_made_durable_all_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit(LocalStorage(tmp_path), PAIR)
        steps = record_steps(monkeypatch, tmp_path)
        commit(LocalStorage(tmp_path), PAIR)

        assert [step for step in steps if step != "sync staged"] == [
            "sync a.tar",
            "sync folder",
            "sync a.parquet",
            "sync folder",
        ]

    def test_an_adopted_tar_is_made_durable_before_the_record_names_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a.tar").write_bytes(PAIR["a.tar"])
        steps = record_steps(monkeypatch, tmp_path)
        commit(LocalStorage(tmp_path), PAIR)

        assert steps[2:] == ["sync a.tar", "sync folder", "link a.parquet", "sync folder"]

    def test_an_orphan_between_two_files_of_ours_leaves_no_temporary_name(
        self, tmp_path: Path
    ) -> None:
        files = {"a.tar": b"tar", "quarantine-a.tar": b"bad", "a.parquet": b"record"}
        (tmp_path / "quarantine-a.tar").write_bytes(b"of a writer that died")
        done = commit(LocalStorage(tmp_path), files)

        assert done == Commit(described(files), unchanged=False)
        assert files_in(LocalStorage(tmp_path)) == files


# Commits the same two files under another name for each line it is sent.
PROGRAM = """
import sys
from arrowimg._storage.local import LocalStorage
print("ready", flush=True)
for at in sys.stdin:
    with LocalStorage(sys.argv[1]).begin("xxh3_128") as transaction:
        transaction.create(f"{at.strip()}.tar").write(b"tar" * 1000)
        transaction.create(f"{at.strip()}.parquet").write(b"parquet")
        print(transaction.publish().unchanged, flush=True)
"""


class TestAtOnce:
    def test_of_two_processes_exactly_one_publishes(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        with (
            subprocess.Popen(command, **pipes) as one,  # type: ignore[call-overload]
            subprocess.Popen(command, **pipes) as other,  # type: ignore[call-overload]
        ):
            twins = (one, other)
            ready = [twin.stdout.readline() for twin in twins]
            found = []
            for at in range(20):
                for twin in twins:
                    twin.stdin.write(f"{at}\n")
                found.append(sorted(twin.stdout.readline() for twin in twins))
            for twin in twins:
                twin.stdin.close()

        assert ready == ["ready\n"] * 2
        assert found == [["False\n", "True\n"]] * 20
        assert [twin.returncode for twin in twins] == [0, 0]
        assert files_in(LocalStorage(tmp_path)) == {
            f"{at}.{kind}": PAIR[f"a.{kind}"] for at in range(20) for kind in ("tar", "parquet")
        }
