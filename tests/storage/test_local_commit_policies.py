from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import xxhash
from folders import content

from arrowimg._storage.base import Commit, CommittedFile
from arrowimg._storage.local import LocalStorage
from arrowimg.errors import ShardConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

IfExists = Literal["verify", "skip", "overwrite", "error"]
Files = dict[str, bytes]

PAIR = {"a.tar": b"tar" * 1000, "a.parquet": b"parquet"}
SINGLE = {"manifest.json": b"{}"}
OTHERS: list[Files] = [
    {"a.tar": b"other" * 1000, "a.parquet": b"other parquet"},
    {"manifest.json": b"[]"},
]
EACH = pytest.mark.parametrize(
    ("files", "other"),
    [(PAIR, OTHERS[0]), (SINGLE, OTHERS[1])],
    ids=["two files", "one file"],
)


def commit(
    folder: Path,
    files: Files,
    if_exists: IfExists = "verify",
    is_same: Callable[[], bool] | None = None,
) -> Commit:
    with LocalStorage(folder).begin("xxh3_128") as transaction:
        for name, data in files.items():
            transaction.create(name).write(data)
        return transaction.publish(if_exists, is_same)


def described(files: Files) -> list[CommittedFile]:
    return [
        CommittedFile(name, len(data), xxhash.xxh3_128_hexdigest(data))
        for name, data in files.items()
    ]


def inodes(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


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


@EACH
class TestPolicies:
    @pytest.mark.parametrize("if_exists", ["verify", "skip", "overwrite", "error"])
    def test_a_free_name_is_taken_whatever_the_policy(
        self, tmp_path: Path, files: Files, other: Files, if_exists: IfExists
    ) -> None:
        del other

        assert commit(tmp_path, files, if_exists) == Commit(described(files), unchanged=False)
        assert content(tmp_path) == files

    @pytest.mark.parametrize("if_exists", ["verify", "skip"])
    def test_the_same_bytes_are_unchanged(
        self, tmp_path: Path, files: Files, other: Files, if_exists: IfExists
    ) -> None:
        del other
        commit(tmp_path, files)
        before = inodes(tmp_path)
        again = commit(tmp_path, files, if_exists)

        assert again == Commit(described(files), unchanged=True)
        assert inodes(tmp_path) == before

    @pytest.mark.parametrize("if_exists", ["verify", "skip", "error"])
    def test_other_bytes_are_a_conflict_and_stay(
        self, tmp_path: Path, files: Files, other: Files, if_exists: IfExists
    ) -> None:
        commit(tmp_path, other)
        before = inodes(tmp_path)

        with pytest.raises(ShardConflictError) as caught:
            commit(tmp_path, files, if_exists)

        record = list(files)[-1]
        assert (caught.value.path, caught.value.committed, caught.value.offered) == (
            str(tmp_path / record),
            xxhash.xxh3_128_hexdigest(other[record]),
            xxhash.xxh3_128_hexdigest(files[record]),
        )
        assert (inodes(tmp_path), content(tmp_path)) == (before, other)

    def test_error_refuses_the_same_bytes_too(
        self, tmp_path: Path, files: Files, other: Files
    ) -> None:
        del other
        commit(tmp_path, files)
        before = inodes(tmp_path)

        with pytest.raises(ShardConflictError, match="already committed"):
            commit(tmp_path, files, "error")

        assert inodes(tmp_path) == before

    def test_overwrite_replaces_other_bytes(
        self, tmp_path: Path, files: Files, other: Files
    ) -> None:
        commit(tmp_path, other)
        again = commit(tmp_path, files, "overwrite")

        assert again == Commit(described(files), unchanged=False)
        assert content(tmp_path) == files

    def test_what_means_the_same_is_unchanged_and_keeps_its_bytes(
        self, tmp_path: Path, files: Files, other: Files
    ) -> None:
        commit(tmp_path, other)
        before = inodes(tmp_path)
        again = commit(tmp_path, files, "verify", lambda: True)

        assert again == Commit(described(other), unchanged=True)
        assert inodes(tmp_path) == before

    def test_what_does_not_mean_the_same_is_a_conflict(
        self, tmp_path: Path, files: Files, other: Files
    ) -> None:
        commit(tmp_path, other)

        with pytest.raises(ShardConflictError, match="already committed"):
            commit(tmp_path, files, "verify", lambda: False)

        assert content(tmp_path) == other

    def test_meaning_is_asked_for_only_where_bytes_differ(
        self, tmp_path: Path, files: Files, other: Files
    ) -> None:
        del other
        asked: list[str] = []

        def is_same() -> bool:
            asked.append("once")
            return True

        statuses = [commit(tmp_path, files, "verify", is_same).unchanged for _ in range(2)]

        assert statuses == [False, True]
        assert asked == []


class TestOrder:
    def test_overwriting_takes_the_record_away_first_and_brings_it_back_last(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit(tmp_path, OTHERS[0])
        steps = record_steps(monkeypatch, tmp_path)
        commit(tmp_path, PAIR, "overwrite")

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
        commit(tmp_path, PAIR)
        steps = record_steps(monkeypatch, tmp_path)
        commit(tmp_path, PAIR)

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
        commit(tmp_path, PAIR)

        assert steps[2:] == ["sync a.tar", "sync folder", "link a.parquet", "sync folder"]

    def test_an_orphan_between_two_files_of_ours_leaves_no_temporary_name(
        self, tmp_path: Path
    ) -> None:
        files = {"a.tar": b"tar", "quarantine-a.tar": b"bad", "a.parquet": b"record"}
        (tmp_path / "quarantine-a.tar").write_bytes(b"of a writer that died")
        done = commit(tmp_path, files)

        assert done == Commit(described(files), unchanged=False)
        assert content(tmp_path) == files


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
        assert content(tmp_path) == {
            f"{at}.{kind}": PAIR[f"a.{kind}"] for at in range(20) for kind in ("tar", "parquet")
        }
