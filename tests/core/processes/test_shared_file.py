from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowimg._core.processes.shared_file import Region, SharedFile, open_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = mmap.ALLOCATIONGRANULARITY


@pytest.fixture
def file() -> Iterator[SharedFile]:
    made = SharedFile(3, open_memory())
    yield made
    made.close()


def table(number: int, nbytes: int = 10) -> pa.Table:
    return pa.table({"data": [bytes([number]) * nbytes]})


def test_tables_come_back_one_by_one(file: SharedFile) -> None:
    tables = [table(1), table(2), table(3)[:0], table(4)]

    region = file.put(tables[0].schema, tables)

    assert region.file == 3
    assert [it.to_pylist() for it in file.get(region) if it.num_rows] == [
        it.to_pylist() for it in tables if it.num_rows
    ]


def test_what_was_read_outlives_the_file() -> None:
    file = SharedFile(0, open_memory())
    read = file.get(file.put(table(7).schema, [table(7, 10_000)]))
    file.close()

    assert read[0].to_pylist() == table(7, 10_000).to_pylist()


def test_memory_that_was_released_is_used_again(file: SharedFile) -> None:
    regions = [file.put(table(1).schema, [table(1, 3 * PAGE)]) for _ in range(3)]
    file.release(regions[1])
    file.release(regions[0])

    assert file.put(table(1).schema, [table(1, 6 * PAGE)]).start == 0
    assert file.put(table(1).schema, [table(1, 3 * PAGE)]).start > regions[2].start


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5 * PAGE)), max_size=30))
def test_no_region_is_in_another(steps: list[tuple[bool, int]]) -> None:
    file = SharedFile(0, open_memory())
    there = dict[int, tuple[Region, int]]()
    for number, (is_released, nbytes) in enumerate(steps):
        if is_released and there:
            file.release(there.pop(next(iter(there)))[0])
        put = table(number, nbytes)
        there[number] = file.put(put.schema, [put]), nbytes
    for number, (region, nbytes) in there.items():
        assert file.get(region)[0].to_pylist() == table(number, nbytes).to_pylist()
    file.close()


def test_where_the_system_has_no_files_in_memory_they_have_no_name_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("os.memfd_create")
    file = SharedFile(0, open_memory())

    assert file.get(file.put(table(1).schema, [table(1)]))[0].to_pylist() == table(1).to_pylist()
    file.close()
