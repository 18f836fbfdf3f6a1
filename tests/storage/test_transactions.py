"""What a transaction promises on every storage, whether it has links and locks or not."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xxhash
from storage_data import (
    OTHERS,
    PAIR,
    SINGLE,
    STORAGES,
    Files,
    commit,
    described,
    files_in,
    fingerprints,
    new_storage,
    put,
    rows_of,
)

from arrowimg._storage.base import Commit
from arrowimg._storage.commit import retry_once
from arrowimg.errors import DatasetConflictError, ShardConflictError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from arrowimg._storage.base import IfExists, Storage

EACH = pytest.mark.parametrize(
    ("files", "other"),
    [(PAIR, OTHERS[0]), (SINGLE, OTHERS[1])],
    ids=["two files", "one file"],
)


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return new_storage(request.param, tmp_path)


class TestNewFiles:
    def test_nothing_is_visible_before_publish(self, storage: Storage) -> None:
        with storage.begin("xxh3_128") as transaction:
            transaction.create("a.tar").write(b"data")
            with pytest.raises(FileNotFoundError):
                storage.stat("a.tar")
            transaction.publish()

        assert files_in(storage) == {"a.tar": b"data"}

    def test_what_is_not_published_leaves_no_trace(self, storage: Storage) -> None:
        with storage.begin("xxh3_128") as transaction:
            transaction.create("a.tar").write(b"data")

        assert files_in(storage) == {}

    def test_they_count_and_hash_what_they_are_given(self, storage: Storage) -> None:
        data = bytes(range(256)) * 9
        with storage.begin("xxh3_128") as transaction:
            file = transaction.create("a.tar")
            counts = [file.write(it) for it in (data[:100], memoryview(data)[100:1000])]
            counts.append(file.write(np.frombuffer(data[1000:], np.uint8)))
            known = (file.name, file.nbytes, file.closed, file.checksum)
            transaction.publish()

        assert counts == [100, 900, len(data) - 1000]
        assert known == ("a.tar", len(data), False, xxhash.xxh3_128_hexdigest(data))
        assert file.closed
        assert files_in(storage) == {"a.tar": data}

    def test_columns_are_written_row_by_row_and_null_is_nothing(self, storage: Storage) -> None:
        columns = rows_of([b"one", b"", None, b"five"], [b"two", b"three", b"four", None])
        with storage.begin("sha256") as transaction:
            file = transaction.create("a.tar")
            file.write(b"zero")
            file.write_rows(columns)
            file.write_rows([column.slice(1, 3) for column in columns])
            file.write_rows([column.slice(1, 0) for column in columns])
            transaction.publish()

        whole = b"zeroonetwothreefourfivethreefourfive"
        assert files_in(storage) == {"a.tar": whole}
        assert (file.nbytes, file.checksum) == (len(whole), hashlib.sha256(whole).hexdigest())

    def test_bytes_may_change_once_they_are_written(self, storage: Storage) -> None:
        data = bytearray(b"data")
        with storage.begin("xxh3_128") as transaction:
            file = transaction.create("a.tar")
            file.write(memoryview(data))
            data[:] = b"else"
            transaction.publish()

        assert files_in(storage) == {"a.tar": b"data"}


@EACH
class TestPolicies:
    @pytest.mark.parametrize("if_exists", ["verify", "skip", "overwrite", "error"])
    def test_a_free_name_is_taken_whatever_the_policy(
        self, storage: Storage, files: Files, other: Files, if_exists: IfExists
    ) -> None:
        del other

        assert commit(storage, files, if_exists) == Commit(described(files), unchanged=False)
        assert files_in(storage) == files

    @pytest.mark.parametrize("if_exists", ["verify", "skip"])
    def test_the_same_bytes_are_unchanged(
        self, storage: Storage, files: Files, other: Files, if_exists: IfExists
    ) -> None:
        del other
        commit(storage, files)
        before = fingerprints(storage)
        again = commit(storage, files, if_exists)

        assert again == Commit(described(files), unchanged=True)
        assert fingerprints(storage) == before

    @pytest.mark.parametrize("if_exists", ["verify", "skip", "error"])
    def test_other_bytes_are_a_conflict_and_stay(
        self, storage: Storage, files: Files, other: Files, if_exists: IfExists
    ) -> None:
        commit(storage, other)
        before = fingerprints(storage)

        with pytest.raises(ShardConflictError, match="already committed") as caught:
            commit(storage, files, if_exists)

        record = list(files)[-1]
        assert (caught.value.path, caught.value.committed, caught.value.offered) == (
            storage.path_of(record),
            xxhash.xxh3_128_hexdigest(other[record]),
            xxhash.xxh3_128_hexdigest(files[record]),
        )
        assert (fingerprints(storage), files_in(storage)) == (before, other)

    def test_error_refuses_the_same_bytes_too(
        self, storage: Storage, files: Files, other: Files
    ) -> None:
        del other
        commit(storage, files)
        before = fingerprints(storage)

        with pytest.raises(ShardConflictError, match="already committed"):
            commit(storage, files, "error")

        assert fingerprints(storage) == before

    def test_overwrite_replaces_other_bytes(
        self, storage: Storage, files: Files, other: Files
    ) -> None:
        commit(storage, other)
        again = commit(storage, files, "overwrite")

        assert again == Commit(described(files), unchanged=False)
        assert files_in(storage) == files

    def test_what_means_the_same_is_unchanged_and_keeps_its_bytes(
        self, storage: Storage, files: Files, other: Files
    ) -> None:
        commit(storage, other)
        before = fingerprints(storage)
        again = commit(storage, files, "verify", lambda: True)

        assert again == Commit(described(other), unchanged=True)
        assert fingerprints(storage) == before

    def test_what_does_not_mean_the_same_is_a_conflict(
        self, storage: Storage, files: Files, other: Files
    ) -> None:
        commit(storage, other)

        with pytest.raises(ShardConflictError, match="already committed"):
            commit(storage, files, "verify", lambda: False)

        assert files_in(storage) == other

    def test_meaning_is_asked_for_only_where_bytes_differ(
        self, storage: Storage, files: Files, other: Files
    ) -> None:
        del other
        asked: list[str] = []

        def is_same() -> bool:
            asked.append("once")
            return True

        statuses = [commit(storage, files, "verify", is_same).unchanged for _ in range(2)]

        assert statuses == [False, True]
        assert asked == []


class TestOrphans:
    """Data whose writer died before its record."""

    def test_one_of_the_same_bytes_is_completed(self, storage: Storage) -> None:
        put(storage, "a.tar", PAIR["a.tar"])
        before = fingerprints(storage)
        done = commit(storage, PAIR)
        after = fingerprints(storage)

        assert done == Commit(described(PAIR), unchanged=False)
        assert files_in(storage) == PAIR
        assert before.items() <= after.items()

    def test_one_of_other_bytes_is_replaced_only_where_a_lock_tells_that_its_writer_is_dead(
        self, storage: Storage
    ) -> None:
        orphan = {"a.tar": b"of a writer that died"}
        put(storage, "a.tar", orphan["a.tar"])

        if storage.promises.has_lock:
            commit(storage, PAIR)
        else:
            with pytest.raises(ShardConflictError, match=r"a\.tar"):
                commit(storage, PAIR)

        assert files_in(storage) == (PAIR if storage.promises.has_lock else orphan)

    def test_a_record_without_its_data_is_a_conflict(self, storage: Storage) -> None:
        put(storage, "a.parquet", PAIR["a.parquet"])

        with pytest.raises(ShardConflictError, match="the file is missing"):
            commit(storage, PAIR)

        assert files_in(storage) == {"a.parquet": PAIR["a.parquet"]}


class TestAtOnce:
    @pytest.mark.parametrize("others", [False, True], ids=["twins", "strangers"])
    def test_of_many_exactly_one_publishes(self, storage: Storage, *, others: bool) -> None:
        assert storage.promises.creates_atomically
        threads = 4
        together = Barrier(threads)

        def write(number: int, at: int) -> str:
            data = f"of writer {number}".encode() if others else b"of all"
            together.wait()
            try:
                found = commit(storage, {f"{at}.tar": data, f"{at}.parquet": data})
            except ShardConflictError:
                return "refused"
            return "unchanged" if found.unchanged else "published"

        with ThreadPoolExecutor(threads) as pool:
            rounds = [sorted(pool.map(write, range(threads), [at] * threads)) for at in range(10)]
        found = files_in(storage)

        outcome = "refused" if others else "unchanged"
        assert rounds == [sorted(["published", *[outcome] * (threads - 1)])] * 10
        assert all(found[f"{at}.tar"] == found[f"{at}.parquet"] for at in range(10))
        assert len(found) == 20


class TestErrors:
    @pytest.mark.parametrize(
        "error",
        [
            ShardConflictError("a.tar", "one", "other"),
            DatasetConflictError("a.parquet", ["quality: 92 there, 90 here"]),
            StorageError("elsewhere", "full", 28, 0, 0),
            ZeroDivisionError("not the storage's"),
            KeyboardInterrupt(),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_those_of_others_pass_through_as_they_are(
        self, storage: Storage, error: BaseException
    ) -> None:
        def interrupted() -> None:
            with storage.begin("xxh3_128") as transaction:
                transaction.create("a.tar").write(b"data")
                raise error

        with pytest.raises(type(error)) as caught:
            interrupted()

        assert caught.value is error
        assert files_in(storage) == {}


class TestTwice:
    @pytest.mark.parametrize("failures", [0, 1])
    def test_a_storage_that_fails_once_is_asked_again(self, failures: int) -> None:
        calls, failure = list[int](), StorageError("out", "No space left", 28, 0, 0)

        def write() -> str:
            calls.append(1)
            if len(calls) <= failures:
                raise failure
            return "written"

        assert retry_once(write) == "written"
        assert len(calls) == failures + 1

    @pytest.mark.parametrize(
        ("error", "tries"),
        [
            (StorageError("out", "Input/output error", 5, None, None), 2),
            (ShardConflictError("a.tar", "one", "other"), 1),
            (OSError("not said to be the storage's"), 1),
        ],
        ids=["storage", "conflict", "other"],
    )
    def test_one_that_goes_on_failing_is_asked_no_more(self, error: OSError, tries: int) -> None:
        calls: list[int] = []

        def write() -> None:
            calls.append(1)
            raise error

        with pytest.raises(OSError, match=r"out|a\.tar|storage") as caught:
            retry_once(write)

        assert caught.value is error
        assert len(calls) == tries
