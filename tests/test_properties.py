"""For any table: nothing dropped, order kept, tar and sidecar agree, same bytes every time."""

from __future__ import annotations

import itertools
import multiprocessing
import tarfile
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from folders import content
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import SKIMAGE
from PIL import Image

from arrowimg import FileGroupTask, ImageBatch, ImageWriterStage, ShardWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

PHOTOGRAPH = np.asarray(Image.open(SKIMAGE / "chelsea.png"))
JPEG = (SKIMAGE / "rocket.jpg").read_bytes()
PNG = (SKIMAGE / "microaneurysms.png").read_bytes()

Pictures = list["npt.NDArray[np.uint8] | None"]


def window(height: int, width: int, channels: int, at: int) -> npt.NDArray[np.uint8]:
    pixels = PHOTOGRAPH[at : at + height, 2 * at : 2 * at + width]
    return pixels[:, :, 0] if channels == 0 else pixels[:, :, :channels]


@st.composite
def tensors(draw: st.DrawFn, rows: int) -> pa.Array:
    size = draw(st.tuples(st.integers(5, 20), st.integers(5, 20), st.sampled_from([1, 3])))
    return pa.FixedShapeTensorArray.from_numpy_ndarray(
        np.stack([window(*size, at) for at in range(rows)])
    )


@st.composite
def nested_lists(draw: st.DrawFn, rows: int) -> pa.Array:
    tensor = draw(tensors(rows))
    values = tensor.storage.values
    for size in tensor.type.shape[::-1]:
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return values


@st.composite
def ragged(draw: st.DrawFn, rows: int) -> pa.Array:
    sizes = st.tuples(st.integers(0, 20), st.integers(5, 20), st.sampled_from([0, 1, 3]))
    drawn = draw(st.lists(st.none() | sizes, min_size=rows, max_size=rows))
    pictures: Pictures = [size and window(*size, at) for at, size in enumerate(drawn)]
    return ImageBatch.from_arrays(pictures).data["image_data"].combine_chunks()


@st.composite
def encoded(draw: st.DrawFn, rows: int) -> pa.Array:
    files = st.sampled_from([None, JPEG, PNG, b"", b"no picture", JPEG[:5000]])
    values = [draw(files) for _ in range(rows)]
    kind = draw(st.sampled_from([pa.binary(), pa.large_binary(), pa.binary_view(), None]))
    if kind is not None:
        return pa.array(values, kind)
    pairs = [
        None if value is None else {"bytes": value, "path": f"p{at}"}
        for at, value in enumerate(values)
    ]
    return pa.array(pairs, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


METADATA: dict[str, Callable[[int], pa.Array]] = {
    "score": lambda rows: pa.array([at / 3 if at % 4 else None for at in range(rows)]),
    "caption": lambda rows: pa.array([f"naïve {at}" for at in range(rows)]),
    "embedding": lambda rows: pa.array([[rows, 0.5]] * rows, pa.list_(pa.float32(), 2)),
    "tags": lambda rows: pa.array([["a"] * (at % 3) for at in range(rows)], pa.list_(pa.string())),
    "box": lambda rows: pa.array(
        [{"x": at, "y": None} for at in range(rows)],
        pa.struct([("x", pa.int8()), ("y", pa.float16())]),
    ),
    "when": lambda rows: pa.array(range(rows), pa.timestamp("us", "UTC")),
    "nothing": pa.nulls,
}

hostile_ids = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text("ab./\\-_%~\0 é", max_size=6),
    st.text("x", min_size=80, max_size=120),
)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Draw a table of images, perhaps sliced and in several chunks."""
    rows = draw(st.integers(1, 12))
    pictures = draw(st.one_of(tensors(rows), nested_lists(rows), ragged(rows), encoded(rows)))
    columns = {"image_data": pictures}
    if draw(st.booleans()):
        ids = draw(
            st.lists(
                hostile_ids,
                min_size=rows,
                max_size=rows,
                unique_by=lambda name: object() if name is None else name,
            )
        )
        columns["image_id"] = pa.array(ids, pa.string())
    names = draw(st.lists(st.sampled_from(sorted(METADATA)), unique=True, max_size=4))
    table = pa.table(columns | {name: METADATA[name](rows) for name in names})
    start = draw(st.integers(0, rows - 1))
    table = table.slice(start, draw(st.integers(1, rows - start)))
    cut = draw(st.integers(0, table.num_rows))
    return pa.concat_tables([table[:cut], table[cut:]])


options = st.fixed_dictionaries(
    {"images_per_tar": st.integers(1, 6), "remove_image_data": st.booleans()},
    optional={
        "max_bytes_per_tar": st.integers(2560, 40_000),
        "checksum": st.sampled_from(["xxh3_128", "sha256"]),
    },
)


def written(group: FileGroupTask) -> Iterator[tuple[list[dict[str, Any]], dict[str, bytes]]]:
    for tar_path, parquet_path in zip(group.tar_paths, group.parquet_paths, strict=True):
        with tarfile.open(tar_path) as tar:
            files = {member.name: tar.extractfile(member) for member in tar}
            members = {name: file.read() for name, file in files.items() if file is not None}
        yield pq.read_table(parquet_path).to_pylist(), members


@settings(max_examples=120)
@given(tables(), options)
def test_every_row_comes_out_once_in_order_as_a_member_or_with_an_error(
    table: pa.Table, chosen: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        group = ImageWriterStage(folder, on_error="quarantine", **chosen).process(ImageBatch(table))
        shards = list(written(group))

    rows = [row for shard_rows, _ in shards for row in shard_rows]
    members = {name: data for _, shard_members in shards for name, data in shard_members.items()}
    kept = [name for name in table.column_names if name != "image_data"]
    assert [{name: row[name] for name in kept} for row in rows] == table.select(kept).to_pylist()
    assert all((row["member_name"] is None) is (row["error"] is not None) for row in rows)
    assert [row["member_name"] for row in rows if row["error"] is None] == list(members)
    assert group.num_images == len(members)
    assert group.metadata["num_rows"] == table.num_rows
    assert group.metadata["num_images"] + group.metadata["num_errors"] == table.num_rows


@settings(max_examples=80)
@given(tables(), options)
def test_tar_and_sidecar_agree(table: pa.Table, chosen: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        group = ImageWriterStage(folder, on_error="quarantine", **chosen).process(ImageBatch(table))
        shards = list(written(group))
        tars = [Path(path).read_bytes() for path in group.tar_paths]

    for tar, (rows, members) in zip(tars, shards, strict=True):
        assert len(members) <= chosen["images_per_tar"]
        assert len(tar) <= chosen.get("max_bytes_per_tar", len(tar))
        for row in rows:
            if row["error"] is None:
                picture = members[row["member_name"]]
                assert tar[row["offset"] : row["offset"] + row["size"]] == picture
                assert len(row["checksum"]) == 32 or row["checksum"] == xxhash.xxh3_128_digest(
                    picture
                )
                assert picture[:2] == b"\xff\xd8"
                assert chosen["remove_image_data"] or row["image_data"]["bytes"] == picture
                assert row["action"] in {"encoded", "copied", "transcoded"}


@settings(max_examples=50)
@given(tables(), options)
def test_the_same_batch_gives_the_same_bytes_in_any_folder_with_any_threads(
    table: pa.Table, chosen: dict[str, Any]
) -> None:
    batch = ImageBatch(table)
    contents = []
    for threads in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            stage = ImageWriterStage(
                folder, on_error="quarantine", encode_threads=threads, **chosen
            )
            for _ in range(threads):
                stage.process(batch)
            contents.append(content(Path(folder)))

    assert contents[0] == contents[1]


@settings(max_examples=50)
@given(tables(), options, st.lists(st.integers(0, 12), max_size=4))
def test_a_dataset_does_not_depend_on_how_its_rows_were_batched(
    table: pa.Table, chosen: dict[str, Any], cuts: list[int]
) -> None:
    contents = []
    for bounds in ([0, table.num_rows], sorted({0, table.num_rows, *cuts})):
        with tempfile.TemporaryDirectory() as folder:
            with ShardWriter(folder, on_error="quarantine", **chosen) as writer:
                for start, stop in itertools.pairwise(bounds):
                    writer.write(table.slice(start, stop - start))
            contents.append(content(Path(folder)))

    assert contents[0] == contents[1]


@pytest.fixture(scope="module")
def many() -> ImageBatch:
    """More pictures than one thread takes at once."""
    pixels = np.stack([window(16, 18, 3, at) for at in range(200)])
    return ImageBatch.from_arrays(pixels, [f"id{at}" for at in range(200)], n=range(200))


def test_many_threads_give_the_bytes_of_one(tmp_path: Path, many: ImageBatch) -> None:
    for threads in (1, 2, 5):
        ImageWriterStage(tmp_path / str(threads), 90, encode_threads=threads).process(many)

    first, second, third = (content(tmp_path / str(threads)) for threads in (1, 2, 5))
    assert first == second == third
    assert len(first) == 6


def test_another_process_gives_the_same_bytes(tmp_path: Path, many: ImageBatch) -> None:
    here = ImageWriterStage(tmp_path / "here", 90)
    there = ImageWriterStage(tmp_path / "there", 90)

    here.process(many)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        group = pool.submit(there.process, many).result()

    assert len(group.paths) == 6
    assert content(tmp_path / "here") == content(tmp_path / "there")
