from __future__ import annotations

import io
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import TORN_GIF
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import SKIMAGE
from PIL import Image

from arrowimg import (
    FileGroupTask,
    ImageBatch,
    ImageWriterStage,
    PixelOptions,
    ShardWriter,
    verify,
    write_shards,
)
from arrowimg.errors import ErrorFractionError

if TYPE_CHECKING:
    from collections.abc import Sequence

PHOTOGRAPH = SKIMAGE / "coffee.png"


def picture(at: int = 0, format_name: str = "JPEG") -> bytes:
    """Return a window of a photograph as an image file."""
    sink = io.BytesIO()
    window = Image.open(PHOTOGRAPH).convert("RGB").crop((at, at, at + 16, at + 12))
    window.save(sink, format_name)
    return sink.getvalue()


GOOD = picture()
# What a row may hold, and the code that it then gets.
FILES: list[tuple[bytes | None, str | None]] = [
    (GOOD, None),
    (picture(3, "PNG"), None),
    (None, "missing"),
    (b"", "unknown_format"),
    (b"<html>", "unknown_format"),
    (GOOD[:300], "truncated"),
    (b"\xff\xd8\xff\xe0\x00\x00" + bytes(100), "corrupt"),
    (TORN_GIF, "decode_failed"),
]


def table_of(images: Sequence[bytes | None]) -> pa.Table:
    column = pa.array(images, pa.large_binary())
    return pa.table({"image_id": [f"r{at}" for at in range(len(images))], "image_data": column})


def rows_of(group: FileGroupTask) -> list[dict[str, Any]]:
    return [row for path in group.parquet_paths for row in pq.read_table(path).to_pylist()]


def members_of(path: str | Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in files.items() if file is not None}


def write_by(how: str, table: pa.Table, folder: Path, **options: Any) -> FileGroupTask:  # noqa: ANN401
    chosen: dict[str, Any] = {"on_error": "quarantine", "images_per_tar": 2} | options
    if how == "stage":
        return ImageWriterStage(folder, **chosen).process(ImageBatch(table))
    return write_shards(table, folder, **chosen)


@pytest.mark.parametrize("how", ["stage", "writer"])
class TestCodes:
    def test_each_bad_row_has_its_code_and_no_member(self, tmp_path: Path, how: str) -> None:
        group = write_by(how, table_of([image for image, _ in FILES]), tmp_path)

        rows = rows_of(group)
        members = [name for path in group.tar_paths for name in members_of(path)]
        codes = [row["error"] for row in rows]
        expected = [code for _, code in FILES]
        assert [row["image_id"] for row in rows] == [f"r{at}" for at in range(len(FILES))]
        assert codes == expected
        assert members == ["r0.jpg", "r1.jpg"]
        assert [row["member_name"] for row in rows if row["error"] is None] == members
        assert group.metadata["num_errors"] == 6

    def test_files_are_kept_as_they_are(self, tmp_path: Path, how: str) -> None:
        group = write_by(
            how, table_of([image for image, _ in FILES]), tmp_path, keep_quarantined=True
        )

        kept = [
            members_of(path) for path in sorted(tmp_path.glob("quarantine-images-*-000000.tar"))
        ] or [members_of(tmp_path / "quarantine-images-000000.tar")]
        codes = {row["image_id"]: row["error"] for row in rows_of(group)}
        assert kept == [
            {
                f"r{at}.{codes[f'r{at}']}": image
                for at, (image, code) in enumerate(FILES)
                if code is not None and image is not None
            }
        ]
        assert verify(tmp_path, "decode").is_sound

    def test_pixels_are_kept_as_arrays_that_numpy_reads(self, tmp_path: Path, how: str) -> None:
        pixels = np.linspace(0, 1, 4 * 6 * 5 * 3, dtype=np.float32).reshape(4, 6, 5, 3)
        pixels[1, 0, 0, 0] = np.nan
        pixels[2, 5, 4, 2] = 1.5
        batch = ImageBatch.from_arrays(pixels, list("abcd"))
        options = {"keep_quarantined": True, "pixels": PixelOptions(float_range=(0, 1))}
        write_by(how, batch.data, tmp_path, **options)

        (path,) = tmp_path.glob("quarantine-*.tar")
        kept = {
            name: np.load(io.BytesIO(data), allow_pickle=False)
            for name, data in members_of(path).items()
        }
        assert list(kept) == ["b.not_finite", "c.out_of_range"]
        assert {array.dtype for array in kept.values()} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(kept["b.not_finite"], pixels[1])
        np.testing.assert_array_equal(kept["c.out_of_range"], pixels[2])

    def test_nothing_is_kept_unless_asked_for(self, tmp_path: Path, how: str) -> None:
        write_by(how, table_of([GOOD, b"<html>"]), tmp_path)

        assert list(tmp_path.glob("quarantine-*")) == []

    def test_samples_that_no_tar_may_hold_are_kept(self, tmp_path: Path, how: str) -> None:
        noise = np.random.default_rng(7).integers(0, 256, (2, 64, 64, 3), np.uint8)
        noise[0] = 7
        batch = ImageBatch.from_arrays(noise, ["flat", "noise"])
        options = {"keep_quarantined": True, "max_bytes_per_tar": 4096}
        group = write_by(how, batch.data, tmp_path, **options)

        (path,) = tmp_path.glob("quarantine-*.tar")
        kept = members_of(path)
        assert [row["error"] for row in rows_of(group)] == [None, "exceeds_tar"]
        assert list(kept) == ["noise.exceeds_tar"]
        np.testing.assert_array_equal(np.load(io.BytesIO(kept["noise.exceeds_tar"])), noise[1])


@settings(max_examples=25)
@given(
    choices=st.lists(st.integers(0, len(FILES) - 1), min_size=1, max_size=12),
    images_per_tar=st.integers(1, 4),
    how=st.sampled_from(["stage", "writer"]),
    keep=st.booleans(),
)
def test_rows_in_are_members_and_errors(
    *, choices: list[int], images_per_tar: int, how: str, keep: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        group = write_by(
            how,
            table_of([FILES[choice][0] for choice in choices]),
            folder,
            images_per_tar=images_per_tar,
            keep_quarantined=keep,
            durability="process",
        )
        rows = rows_of(group)
        members = [name for path in group.tar_paths for name in members_of(path)]
        kept = [name for path in folder.glob("quarantine-*") for name in members_of(path)]
        is_sound = verify(folder, "decode").is_sound

    bad = [row for row in rows if row["error"] is not None]
    assert [row["image_id"] for row in rows] == [f"r{at}" for at in range(len(choices))]
    assert len(members) + len(bad) == len(choices)
    assert [row["error"] is None for row in rows] == [FILES[at][1] is None for at in choices]
    assert sorted(kept) == sorted(
        f"{row['image_id']}.{row['error']}" for row in bad if keep and row["error"] != "missing"
    )
    assert is_sound


class TestFraction:
    @pytest.mark.parametrize(("allowed", "bad"), [(0, 1), (0.1, 3), (0.5, 11), (0.99, 20)])
    def test_a_batch_of_more_bad_rows_is_refused_as_a_whole(
        self, tmp_path: Path, allowed: float, bad: int
    ) -> None:
        stage = ImageWriterStage(
            tmp_path / "out", 2, on_error="quarantine", max_error_fraction=allowed
        )
        images = [b"<html>"] * (bad - 1) + [None] + [GOOD] * (20 - bad)

        with pytest.raises(ErrorFractionError) as caught:
            stage.process(ImageBatch(table_of(images)))

        error = caught.value
        codes = Counter(unknown_format=bad - 1, missing=1)
        assert (error.num_errors, error.num_rows, error.allowed) == (bad, 20, allowed)
        assert error.codes == +codes
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(("allowed", "bad"), [(0, 0), (0.1, 2), (0.5, 10), (1, 20), (None, 20)])
    def test_a_batch_of_no_more_bad_rows_is_written(
        self, tmp_path: Path, allowed: float | None, bad: int
    ) -> None:
        stage = ImageWriterStage(tmp_path, on_error="quarantine", max_error_fraction=allowed)
        group = stage.process(ImageBatch(table_of([b"<html>"] * bad + [GOOD] * (20 - bad))))

        assert group.metadata["num_errors"] == bad

    @pytest.mark.parametrize("how", ["at once", "in batches"])
    def test_few_rows_are_judged_at_the_end(self, tmp_path: Path, how: str) -> None:
        table = table_of([b"<html>"] * 3 + [GOOD] * 7)

        def write() -> None:
            with ShardWriter(tmp_path, 4, on_error="quarantine", max_error_fraction=0.2) as writer:
                for batch in [table] if how == "at once" else [table[:2], table[2:]]:
                    writer.write(batch)

        with pytest.raises(ErrorFractionError) as caught:
            write()

        assert (caught.value.num_errors, caught.value.num_rows) == (3, 10)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "images-000000.parquet",
            "images-000000.tar",
        ]

    def test_bad_rows_that_come_first_are_outweighed_by_good_ones(self, tmp_path: Path) -> None:
        with ShardWriter(tmp_path, on_error="quarantine", max_error_fraction=0.2) as writer:
            writer.write(table_of([b"<html>"] * 2))
            writer.write(
                table_of([GOOD] * 8)
                .drop_columns(["image_id"])
                .append_column("image_id", pa.array([f"good{at}" for at in range(8)]))
            )

        assert writer.file_group.metadata["num_errors"] == 2

    def test_many_rows_are_judged_as_soon_as_there_are_a_thousand(self, tmp_path: Path) -> None:
        def batch(first: int, bad: int, count: int) -> pa.Table:
            ids = [f"id{at}" for at in range(first, first + count)]
            images = [b"<html>"] * bad + [GOOD] * (count - bad)
            return pa.table({"image_id": ids, "image_data": images})

        written: list[int] = []

        def write() -> None:
            with ShardWriter(
                tmp_path,
                400,
                on_error="quarantine",
                max_error_fraction=0.01,
                durability="process",
            ) as writer:
                for first, bad, count in ((0, 100, 999), (999, 0, 1), (1000, 0, 1000)):
                    writer.write(batch(first, bad, count))
                    written.append(count)

        with pytest.raises(ErrorFractionError, match="100 of 1,000 rows are bad") as caught:
            write()

        assert written == [999]
        assert caught.value.codes == {"unknown_format": 100}
        assert not (tmp_path / "manifest.json").exists()
        assert sorted(path.name for path in tmp_path.glob("*.tar")) == [
            "images-000000.tar",
            "images-000001.tar",
        ]

    def test_nothing_of_a_batch_that_is_refused_is_written(self, tmp_path: Path) -> None:
        images = [b"<html>"] * 11 + [GOOD] * 989
        writer_options: dict[str, Any] = {"on_error": "quarantine", "durability": "process"}

        with pytest.raises(ErrorFractionError, match="11 of 1,000"):
            write_shards(
                table_of(images), tmp_path / "out", 10, max_error_fraction=0.01, **writer_options
            )

        assert not (tmp_path / "out").exists()
