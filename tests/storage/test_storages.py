"""What every storage does with files that are there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from storage_data import STORAGES, commit, files_in, new_storage, put

from arrowimg._storage import local, memory
from arrowimg._storage.base import CommittedFile
from arrowimg._storage.object_store import storage as objects

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arrowimg._storage.base import Storage

KINDS = pytest.mark.parametrize("kind", STORAGES)
NAMES = ["b.tar", ".hidden", "a.parquet", "a b+ü%.txt"]


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return new_storage(request.param, tmp_path)


def read(storage: Storage, name: str, ranges: list[tuple[int, int]]) -> list[bytes]:
    """Return byte ranges of a file, given where each starts and its bytes."""
    starts, sizes = np.array(ranges, np.int64).reshape(-1, 2).T
    into = [memoryview(bytearray(size)) for size in sizes.tolist()]
    storage.read_ranges(name, starts, sizes, into)
    return [bytes(view) for view in into]


class TestListing:
    def test_names_are_those_of_files_of_this_place_sorted(self, storage: Storage) -> None:
        for name in NAMES:
            put(storage, name, b"")
        put(storage.at("folder"), "below", b"")

        assert storage.names() == sorted(NAMES)
        assert storage.names_below() == sorted([*NAMES, "folder/below"])

    def test_a_place_where_nothing_was_written_has_no_names(self, storage: Storage) -> None:
        assert storage.names() == []
        assert list(storage.pages()) == []

    def test_pages_tell_sizes_and_times(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (local, memory, objects):
            monkeypatch.setattr(module, "_FILES_A_PAGE", 3)
        before = time.time()
        for size, name in enumerate(NAMES):
            put(storage, name, bytes(size))
        pages = list(storage.pages())
        files = [file for page in pages for file in page]

        assert [len(page) for page in pages] == [3, 1]
        assert [file.name for file in files] == sorted(NAMES)
        assert {file.name: file.nbytes for file in files} == {
            name: size for size, name in enumerate(NAMES)
        }
        # A second for file systems whose clock is coarse.
        assert all(before - 1 <= file.modified_at <= time.time() + 1 for file in files)
        assert files == [storage.stat(file.name) for file in files]


class TestReading:
    def test_a_file_is_opened_at_any_position(self, storage: Storage) -> None:
        put(storage, "a.tar", b"data")
        with storage.open("a.tar") as file:
            file.seek(2)
            tail = file.read()
            nbytes = file.seek(0, 2)

        assert (tail, nbytes) == (b"ta", 4)

    @pytest.mark.parametrize("size", [0, 4, 3 * 2**20])
    def test_a_file_is_described(self, storage: Storage, size: int) -> None:
        data = bytes(size)
        put(storage, "a.tar", data)

        expected = CommittedFile("a.tar", size, xxhash.xxh3_128_hexdigest(data))
        assert storage.describe("a.tar", "xxh3_128") == expected

    @pytest.mark.parametrize("method", ["open", "describe", "stat", "read"])
    @pytest.mark.parametrize("is_empty", [True, False])
    def test_a_file_that_is_not_there_is_not_found(
        self, storage: Storage, method: str, *, is_empty: bool
    ) -> None:
        if not is_empty:
            put(storage, "b.tar", b"data")

        calls: dict[str, Callable[[], object]] = {
            "open": lambda: storage.open("a.tar"),
            "describe": lambda: storage.describe("a.tar", "sha256"),
            "stat": lambda: storage.stat("a.tar"),
            "read": lambda: read(storage, "a.tar", [(0, 1)]),
        }

        with pytest.raises(FileNotFoundError, match=r"a\.tar"):
            calls[method]()


class TestRanges:
    @KINDS
    @given(data=st.data())
    def test_any_ranges_are_those_of_the_file(
        self, kind: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        storage = new_storage(kind, tmp_path_factory.getbasetemp() / "any-ranges")
        whole = np.random.default_rng(7).bytes(20_000)
        put(storage, "a.tar", whole)
        bounds = st.integers(0, 20_000)
        pairs = data.draw(st.lists(st.tuples(bounds, bounds).map(sorted), max_size=30))
        ranges = sorted((start, stop - start) for start, stop in pairs)

        assert read(storage, "a.tar", ranges) == [
            whole[start : start + size] for start, size in ranges
        ]

    @pytest.mark.parametrize(
        "ranges", [[(0, 5)], [(4, 1)], [(9, 0)], [(0, 9), (1, 1)], [(0, 1), (2, 3)]]
    )
    def test_a_range_that_the_file_does_not_hold_is_refused_with_its_size(
        self, storage: Storage, ranges: list[tuple[int, int]]
    ) -> None:
        put(storage, "a.tar", b"data")

        with pytest.raises(EOFError) as caught:
            read(storage, "a.tar", ranges)

        assert caught.value.args == (4,)

    def test_no_ranges_are_nothing(self, storage: Storage) -> None:
        put(storage, "a.tar", b"data")

        assert read(storage, "a.tar", []) == []


class TestRemoving:
    def test_files_go_and_those_that_are_not_there_do_not_matter(self, storage: Storage) -> None:
        commit(storage, {"a.tar": b"1", "b.tar": b"2", "a.parquet": b"3"})
        storage.remove(["a.parquet", "nothing", "a.tar"])
        storage.remove([])

        assert files_in(storage) == {"b.tar": b"2"}

    def test_a_name_is_free_again(self, storage: Storage) -> None:
        put(storage, "a.tar", b"old")
        storage.remove(["a.tar"])
        again = commit(storage, {"a.tar": b"new"}, "error")

        assert not again.unchanged
        assert files_in(storage) == {"a.tar": b"new"}

    def test_a_place_is_cleared_with_those_below_it_and_no_other(self, storage: Storage) -> None:
        for place in (storage, storage.at("one"), storage.at("one/two"), storage.at("one-more")):
            put(place, "a.tar", b"data")
        storage.at("one").clear()

        assert storage.names() == ["a.tar"]
        assert storage.at("one").names() == storage.at("one").at("two").names() == []
        assert files_in(storage.at("one-more")) == {"a.tar": b"data"}

    def test_clearing_what_was_never_written_is_nothing(self, storage: Storage) -> None:
        storage.at("nowhere").clear()

        assert storage.names() == []


class TestPlaces:
    def test_files_below_are_found_from_above_and_from_there(self, storage: Storage) -> None:
        put(storage.at(".nv-meta"), "index", b"data")

        assert files_in(storage.at(".nv-meta")) == {"index": b"data"}
        assert storage.names() == []
        assert storage.at(".nv-meta").path_of("index") == storage.path_of(".nv-meta/index")
        with storage.open(".nv-meta/index") as file:
            assert file.read() == b"data"

    def test_storages_of_one_place_are_equal(self, storage: Storage) -> None:
        below, path = storage.at("below"), cast("object", storage.path_of(""))

        assert storage.at("") == storage
        assert storage.at("below") == below
        assert below != storage
        assert storage.at("other") != below
        assert len({storage, storage.at(""), below, storage.at("below")}) == 2
        assert storage != path

    def test_a_place_has_a_path_without_an_end(self, storage: Storage) -> None:
        assert storage.path_of("a.tar") == f"{storage.path_of('')}/a.tar"


class TestLock:
    def test_it_is_had_only_where_there_is_one(self, storage: Storage) -> None:
        with storage.lock() as is_alone:
            pass
        put(storage, "a.tar", b"data")
        with storage.lock() as is_alone_again:
            pass

        assert is_alone == is_alone_again == storage.promises.has_lock
