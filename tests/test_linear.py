"""Work grows with the columns, the conditions and the damages, not with their squares."""

from __future__ import annotations

import io
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from PIL import Image

import arrowimg
from arrowimg._dataset.inspect import inspect_dataset
from arrowimg._dataset.report import MOST_LISTED, Damage, DamageKind, bounded
from arrowimg._write.sources.partitions import partitions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BUFFER = io.BytesIO()
Image.new("RGB", (8, 8)).save(BUFFER, "JPEG")
ONCE_FOR_ALL_COLUMNS = {
    *("append_column", "add_column", "set_column", "remove_column", "drop_columns"),
    *("Selection.schema", "Selection.metadata_names", "check_same_columns", "canonical_table"),
}
"""What goes through all columns, and so must not be called for each of them."""
FEW, MANY = 40, 160


def table(columns: int) -> pa.Table:
    extra = {f"c{number}": pa.array(["a", "b", "c"]) for number in range(columns)}
    ids = ["x", "y", "z"]
    return pa.table({"image_id": ids, "image_data": [BUFFER.getvalue()] * 3, **extra})


def calls(work: Callable[[], object]) -> Counter[str]:
    """Return how often each function was called, by name."""
    counts = Counter[str]()

    def count(frame: Any, event: str, function: Any) -> None:  # noqa: ANN401
        if event == "call":
            counts[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            counts[function.__name__] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counts


def metadata(columns: int) -> pa.Table:
    extra = {f"m{number}": pa.array([1, 2, 3]) for number in range(columns)}
    return pa.table({"image_id": ["x", "y", "z"], **extra})


OPERATIONS: dict[str, Callable[[Path, Path, int], object]] = {
    "write": lambda _, new, size: arrowimg.write_shards(table(size), new, progress=False),
    "join": lambda _, new, size: arrowimg.write_shards(
        table(1), new, metadata=metadata(size), progress=False
    ),
    "scan": lambda old, _, __: arrowimg.scan(old).collect(),
    "verify": lambda old, _, __: arrowimg.verify(old),
    "inspect": lambda old, _, __: inspect_dataset(old),
    "read": lambda old, _, __: list(arrowimg.read_batches(old)),
    "index": lambda old, _, __: arrowimg.export_index(old, ["dali"]),
    "reshard": lambda old, new, _: arrowimg.reshard(old, new, progress=False),
    "new columns": lambda old, new, size: arrowimg.reshard(
        old, new, metadata=metadata(size), progress=False
    ),
    "where": lambda old, new, size: arrowimg.reshard(
        old, new, " OR ".join(f"c{number} = 'a'" for number in range(size)), progress=False
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_calls_grow_with_the_columns_and_no_faster(
    operation: Callable[[Path, Path, int], object], tmp_path: Path
) -> None:
    counted = {}
    # Once before, so that what is done once a process is done.
    for size in (FEW, FEW + 1, MANY):
        old, new = tmp_path / f"old-{size}", tmp_path / f"new-{size}"
        arrowimg.write_shards(table(size), old, progress=False)
        counted[size] = calls(lambda: operation(old, new, size))  # noqa: B023  # called at once

    few, many = counted[FEW + 1], counted[MANY]
    assert sum(many.values()) < MANY / FEW * sum(few.values()) * 1.1
    for name in ONCE_FOR_ALL_COLUMNS:
        assert many[name] == few[name], name


def test_values_in_the_names_of_folders_are_gone_through_once() -> None:
    names = [f"date={number}/{number}.parquet" for number in range(MANY)]

    few, many = (calls(lambda: partitions_of(names[:size])) for size in (FEW, MANY))  # noqa: B023

    assert sum(many.values()) < MANY / FEW * sum(few.values()) * 1.1


def test_the_damages_of_a_file_are_counted_once_there_are_many() -> None:
    def damages() -> Iterator[Damage]:
        for number in range(1000):
            yield Damage("a.tar", f"{number}.jpg", DamageKind.CHECKSUM, "not the bytes")
            if number < MOST_LISTED:
                yield Damage("b.tar", f"{number}.jpg", DamageKind.CHECKSUM, "not the bytes")

    found = list(bounded(damages()))

    assert Counter(damage.file for damage in found) == {
        "a.tar": MOST_LISTED + 1,
        "b.tar": MOST_LISTED,
    }
    assert found[-1].member is None
    assert "and 900 more in this file" in str(found[-1])


def test_a_tar_of_other_bytes_is_reported_in_few_lines(tmp_path: Path) -> None:
    ids = [f"id{number}" for number in range(3 * MOST_LISTED)]
    images = pa.table({"image_id": ids, "image_data": [BUFFER.getvalue()] * len(ids)})
    group = arrowimg.write_shards(images, tmp_path, progress=False)
    tar = tmp_path / "images-000000.tar"
    assert group.tar_paths == [str(tar)]
    tar.write_bytes(bytes(tar.stat().st_size))

    report = arrowimg.verify(tmp_path)

    assert not report.is_sound
    assert len(report.damages) == MOST_LISTED + 1
    assert "more in this file" in str(report.damages[-1])
