from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_data import STORAGES, new_storage, put
from writer_data import dataset

import arrowimg
from arrowimg._storage import local_ranges, ranges
from arrowimg._storage.memory import MemoryStorage
from arrowimg._storage.open import open_storage
from arrowimg._storage.ranges import Places, read_pictures
from arrowimg.errors import ChecksumError

if TYPE_CHECKING:
    from pathlib import Path

    from arrowimg._storage.base import Storage


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    captions = ["x" * (50 * row) for row in range(100)]
    arrowimg.write_shards(dataset(100, caption=captions), folder, 30, members={"txt": "caption"})
    return folder


@pytest.fixture(scope="module")
def members(out: Path) -> list[tuple[int, int, int, bytes]]:
    """Return tar, offset, size and data of each picture, as tarfile finds them."""
    found = []
    for number, path in enumerate(sorted(out.glob("*.tar"))):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    data = tar.extractfile(member)
                    assert data is not None
                    found.append((number, member.offset_data, member.size, data.read()))
    return found


@pytest.fixture(scope="module", params=STORAGES)
def storage(request: pytest.FixtureRequest, out: Path) -> Storage:
    """Return a storage that holds the tars."""
    if request.param == "local":
        return open_storage(out)
    storage = MemoryStorage()
    for path in out.glob("*.tar"):
        put(storage, path.name, path.read_bytes())
    return storage


def places_of(storage: Storage, rows: list[tuple[int, int, int, bytes] | None]) -> Places:
    known = [(-1, 0, 0) if row is None else row[:3] for row in rows]
    tars, offsets, sizes = np.array(known, np.int64).reshape(-1, 3).T
    files = [(storage, name) for name in storage.names() if name.endswith(".tar")]
    return Places(files, tars, offsets, sizes, "row {}".format)


@given(st.data())
def test_any_rows_in_any_order_are_read(
    storage: Storage, members: list[tuple[int, int, int, bytes]], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.none() | st.sampled_from(members), max_size=60))
    pictures = read_pictures(places_of(storage, list(rows)), None)

    assert pictures.to_pylist() == [None if row is None else row[3] for row in rows]
    pictures.validate(full=True)


def test_every_bad_picture_is_named(
    storage: Storage, members: list[tuple[int, int, int, bytes]]
) -> None:
    places = places_of(storage, [*members[28:32]])

    with pytest.raises(ChecksumError) as caught:
        read_pictures(places, [bytes(16), None, bytes(32), b""])
    assert [place.partition(" in ")[0] for place in caught.value.places] == [
        "row 0",
        "row 1",
        "row 2",
        "row 3",
    ]


def test_a_tar_that_ends_before_a_picture_does_is_named_with_both_sizes(
    tmp_path: Path, members: list[tuple[int, int, int, bytes]]
) -> None:
    rows = [member for member in members if member[0] == 0]
    stop = rows[3][1] + rows[3][2]
    for kind in STORAGES:
        storage = new_storage(kind, tmp_path)
        put(storage, "a.tar", bytes(stop - 1))

        with pytest.raises(ChecksumError) as caught:
            read_pictures(places_of(storage, [*rows[:4]]), None)

        place = f"row 3 in {storage.path_of('a.tar')}"
        sizes = f"which ends at byte {stop - 1:,} instead of {stop:,}"
        assert caught.value.places == (f"{place}, {sizes}",)


class TestReadsOfLocalFiles:
    @pytest.fixture
    def read(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Return the bytes of each read."""
        sizes: list[int] = []
        preadv = os.preadv

        def counting(descriptor: int, buffers: list[memoryview], at: int) -> int:
            sizes.append(preadv(descriptor, buffers, at))
            return sizes[-1]

        monkeypatch.setattr(os, "preadv", counting)
        return sizes

    def test_neighbours_are_read_in_one_go(
        self, out: Path, members: list[tuple[int, int, int, bytes]], read: list[int]
    ) -> None:
        read_pictures(places_of(open_storage(out), [*members[:20][::-1]]), None)

        assert len(read) == 1

    def test_little_more_is_read_than_was_asked_for(
        self, out: Path, members: list[tuple[int, int, int, bytes]], read: list[int]
    ) -> None:
        wanted = members[::10]
        read_pictures(places_of(open_storage(out), [*wanted]), None)

        assert len(read) == 10
        assert sum(read) == sum(size for _, _, size, _ in wanted)

    def test_no_gap_is_larger_than_it_may_be(
        self, out: Path, members: list[tuple[int, int, int, bytes]], read: list[int]
    ) -> None:
        read_pictures(places_of(open_storage(out), [*members]), None)
        wanted = sum(size for _, _, size, _ in members)

        assert sum(read) <= wanted + 100 * local_ranges.GAP_NBYTES
        assert 4 < len(read) < 60

    @pytest.mark.parametrize("vectors", [1, 2, 7])
    def test_a_read_has_no_more_pieces_than_it_may_have(
        self,
        out: Path,
        members: list[tuple[int, int, int, bytes]],
        monkeypatch: pytest.MonkeyPatch,
        vectors: int,
    ) -> None:
        monkeypatch.setattr(local_ranges, "_VECTORS_AT_ONCE", vectors)
        monkeypatch.setattr(ranges, "_READ_NBYTES", 4000)
        pictures = read_pictures(places_of(open_storage(out), [*members]), None)

        assert pictures.to_pylist() == [data for *_, data in members]

    @pytest.mark.parametrize("nbytes", [1, 100, 513])
    def test_a_read_that_comes_up_short_goes_on(
        self,
        out: Path,
        members: list[tuple[int, int, int, bytes]],
        monkeypatch: pytest.MonkeyPatch,
        nbytes: int,
    ) -> None:
        def short(descriptor: int, buffers: list[memoryview], at: int) -> int:
            buffer = next(buffer for buffer in buffers if len(buffer))[:nbytes]
            buffer[:] = os.pread(descriptor, len(buffer), at)
            return len(buffer)

        monkeypatch.setattr(os, "preadv", short)
        pictures = read_pictures(places_of(open_storage(out), [*members[:5]]), None)

        assert pictures.to_pylist() == [data for *_, data in members[:5]]

    def test_a_tar_that_is_cut_while_it_is_read_is_an_error(
        self,
        out: Path,
        members: list[tuple[int, int, int, bytes]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(os, "preadv", lambda *_: 0)

        with pytest.raises(OSError, match="became shorter"):
            read_pictures(places_of(open_storage(out), [*members[:5]]), None)
