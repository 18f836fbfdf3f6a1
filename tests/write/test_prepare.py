from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from file_data import FILES, JPEG, SMALL, TORN_GIF, save
from stage_data import checked_batch, encoded_batch, seven_windows
from tar_data import framed

from arrowimg import ImageBatch, WriteOptions
from arrowimg._format.tar import tar_nbytes
from arrowimg._images import rows as image_rows
from arrowimg._write import encode as _batches
from arrowimg._write.encode import EncodedBatch, encode_batch
from arrowimg._write.prepare import check_batch, name_rows, picture_runs
from arrowimg.errors import ErrorCode, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arrowimg._format.samples import Samples

WINDOWS = seven_windows()


def files_batch(files: Sequence[bytes | None], **columns: Any) -> ImageBatch:  # noqa: ANN401
    ids = [f"id{row}" for row in range(len(files))]
    data = pa.array(files, pa.binary())
    return ImageBatch(pa.table({"image_id": ids, "image_data": data, **columns}))


def pixels_batch(**columns: Any) -> ImageBatch:  # noqa: ANN401  # any column
    views = [WINDOWS[0], None, WINDOWS[1][:, :, 0], WINDOWS[2][..., :2], *WINDOWS[4:]]
    return ImageBatch.from_arrays(views, [f"id{row}" for row in range(7)], **columns)


def encode(batch: ImageBatch, **options: Any) -> EncodedBatch:  # noqa: ANN401  # any option
    chosen = WriteOptions(**{"on_error": "quarantine", **options})
    return encoded_batch(batch, chosen)


def members_of(part: Samples) -> Iterator[tuple[str, bytes]]:
    """Yield the members of the rows, in the order of the tar."""
    for key, *row in zip(part.stored["key"], *part.data().values(), strict=True):
        data = dict(zip(part.data(), row, strict=True))
        for extension in sorted(data):
            if data[extension].is_valid:
                yield f"{key}.{extension}", data[extension].as_py()


def content(parts: Sequence[Samples]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bytes]:
    """Return the stored rows, the metadata, and the members as they follow one another in a tar."""
    members = [member for part in parts for member in members_of(part)]
    return (
        pa.concat_tables([part.stored for part in parts]).to_pylist(),
        pa.concat_tables([part.metadata for part in parts]).to_pylist(),
        framed(members),
    )


class TestParts:
    @pytest.mark.parametrize("rows_at_once", [1, 2, 3, 100])
    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize("most_nbytes", [1, 2**24])
    @pytest.mark.parametrize(
        "batch",
        [
            files_batch([*FILES, TORN_GIF], caption=[str(row) for row in range(len(FILES) + 1)]),
            pixels_batch(caption=[str(row) for row in range(7)]),
            ImageBatch.from_arrays(WINDOWS, caption=[str(row) for row in range(7)]),
        ],
        ids=["files", "pixels", "stack"],
    )
    def test_rows_do_not_depend_on_the_parts(
        self,
        monkeypatch: pytest.MonkeyPatch,
        batch: ImageBatch,
        rows_at_once: int,
        threads: int,
        most_nbytes: int,
    ) -> None:
        options: dict[str, Any] = {"members": {"txt": "caption"}, "keep_quarantined": True}
        whole = [*encode(batch, **options).parts]
        for name in ("_CHECKED_FILES", "_CHECKED_PICTURES"):
            monkeypatch.setattr(image_rows, name, rows_at_once)
        monkeypatch.setattr(_batches, "_ENCODED_ROWS", rows_at_once)
        monkeypatch.setattr(_batches, "_ENCODED_NBYTES", most_nbytes)
        parts = [*encode(batch, encode_threads=threads, **options).parts]

        assert all(part.num_rows <= rows_at_once for part in parts)
        assert content(parts) == content(whole)

    @pytest.mark.parametrize("pictures_at_once", [20, 1024])
    def test_parts_shrink_so_that_no_thread_is_left_with_much_at_the_end(
        self, monkeypatch: pytest.MonkeyPatch, pictures_at_once: int
    ) -> None:
        monkeypatch.setattr(image_rows, "_CHECKED_PICTURES", pictures_at_once)
        monkeypatch.setattr(_batches, "_LEAST_ENCODED_NBYTES", 2 * WINDOWS[0].nbytes)
        batch = ImageBatch.from_arrays([WINDOWS[0]] * 64)
        rows = [part.num_rows for part in encode(batch, encode_threads=2).parts]

        assert sum(rows) == 64
        assert rows[0] == 64 // 4
        assert max(rows[-3:]) == 2

    def test_where_others_follow_there_is_one_part_for_each_thread(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_batches, "_LEAST_ENCODED_NBYTES", 2 * WINDOWS[0].nbytes)
        batch = ImageBatch.from_arrays([WINDOWS[0]] * 65)
        options = WriteOptions(encode_threads=4)
        rows = name_rows(batch.data, options, "unnamed-")
        checked = check_batch(rows, picture_runs(batch.data, options), options)
        made = encode_batch(checked, options, is_last=False)

        assert [part.num_rows for part in made.parts] == [17, 17, 17, 14]

    def test_rows_of_several_chunks_come_in_order(self) -> None:
        table = pa.concat_tables([files_batch([JPEG] * 2).data, files_batch([None]).data])
        table = table.set_column(0, "image_id", pa.array(["a", "b", "c"]))
        parts = [*encode(ImageBatch(table)).parts]

        assert [row["key"] for row in content(parts)[0]] == ["a", "b", "c"]
        assert [row["error"] for row in content(parts)[0]] == [None, None, "missing"]

    def test_an_empty_batch_has_no_rows(self) -> None:
        made = encode(files_batch([]))

        assert made.tar_nbytes.tolist() == []
        assert sum(part.num_rows for part in made.parts) == 0


class TestKnown:
    def test_pixels_are_encoded_when_they_are_asked_for(self, encoded: list[int]) -> None:
        made = encode(pixels_batch(), encode_threads=1)
        before = len(encoded)
        rows = sum(part.num_rows for part in made.parts)

        assert before == 0
        assert (made.tar_nbytes > 0).tolist() == [True, False, True, False, True, True, True]
        assert made.error_codes == Counter({"missing": 1, "channels": 1})
        assert (rows, len(encoded)) == (7, 5)

    @pytest.mark.parametrize("max_bytes_per_tar", [None, 10**6])
    def test_files_are_decoded_first_since_they_may_be_torn(
        self, encoded: list[int], max_bytes_per_tar: int | None
    ) -> None:
        batch = files_batch([JPEG, TORN_GIF, save(SMALL, "PNG"), None])
        made = encode(batch, max_bytes_per_tar=max_bytes_per_tar)

        assert len(encoded) == 1
        assert (made.tar_nbytes > 0).tolist() == [True, False, True, False]
        assert made.error_codes == Counter({"decode_failed": 1, "missing": 1})

    @pytest.mark.parametrize("members", [{}, {"txt": "caption"}])
    def test_where_tars_have_a_limit_the_bytes_are_exact(self, members: dict[str, str]) -> None:
        captions = ["x" * (600 * row) for row in range(7)]
        batch = pixels_batch(caption=captions)
        made = encode(batch, max_bytes_per_tar=10**6, members=members)
        parts = [*made.parts]

        assert made.tar_nbytes.tolist() == [
            0
            if row["image_data"] is None
            else tar_nbytes(len(row["image_data"])) + (tar_nbytes(len(text)) if members else 0)
            for row, text in zip(content(parts)[0], captions, strict=True)
        ]

    def test_a_sample_that_no_tar_may_hold_is_a_problem(self) -> None:
        batch = pixels_batch(caption=["x" * (3000 * row) for row in range(7)])
        made = encode(batch, max_bytes_per_tar=12_000, members={"txt": "caption"})

        errors = [row["error"] for row in content([*made.parts])[0]]
        assert errors[4:] == [ErrorCode.EXCEEDS_TAR] * 3
        assert made.error_codes["exceeds_tar"] == 3
        assert made.tar_nbytes[4:].tolist() == [0, 0, 0]

    @pytest.mark.parametrize(
        ("files", "is_copied", "has_files_to_decode"),
        [
            ([JPEG, None], True, False),
            ([JPEG, save(SMALL, "PNG")], False, True),
            ([], True, False),
        ],
    )
    def test_what_is_known_before(
        self,
        files: list[bytes | None],
        is_copied: bool,  # noqa: FBT001
        has_files_to_decode: bool,  # noqa: FBT001
    ) -> None:
        checked = checked_batch(files_batch(files), WriteOptions(on_error="quarantine"))

        assert checked.is_copied == is_copied
        assert checked.has_files_to_decode == has_files_to_decode

    def test_where_tars_have_a_limit_pixels_are_encoded_first(self, encoded: list[int]) -> None:
        made = encode(pixels_batch(), encode_threads=1, max_bytes_per_tar=10**6)
        before = len(encoded)

        assert sum(part.num_rows for part in made.parts) == 7
        assert before == len(encoded) == 5


class TestRefused:
    def test_every_bad_row_is_named_before_anything_is_encoded(self, encoded: list[int]) -> None:
        with pytest.raises(ImageError) as caught:
            checked_batch(pixels_batch(), WriteOptions(), first_row=100)

        assert [(problem.row, problem.image_id) for problem in caught.value.problems] == [
            (101, "id1"),
            (103, "id3"),
        ]
        assert encoded == []

    def test_files_that_cannot_be_decoded_are_named_together(self) -> None:
        options = WriteOptions()
        batch = files_batch([JPEG, TORN_GIF, save(SMALL, "PNG"), TORN_GIF])
        checked = checked_batch(batch, options, first_row=100)
        with pytest.raises(ImageError) as caught:
            encode_batch(checked, options)

        assert [(problem.row, problem.code) for problem in caught.value.problems] == [
            (101, ErrorCode.DECODE_FAILED),
            (103, ErrorCode.DECODE_FAILED),
        ]

    def test_rows_without_an_id_are_numbered_from_the_first(self) -> None:
        batch = ImageBatch.from_arrays(WINDOWS)
        rows = name_rows(batch.data, WriteOptions(), "row-", first_row=5)

        assert rows.names["key"].to_pylist() == [f"row-{row:09d}" for row in range(5, 12)]


class TestSamples:
    @pytest.mark.parametrize("members", [{}, {"txt": "caption"}, {"a": "caption", "z": "caption"}])
    def test_slices_put_together_are_the_whole(self, members: dict[str, str]) -> None:
        captions = [str(row) * 300 for row in range(len(FILES))]
        options: dict[str, Any] = {"members": members, "keep_quarantined": True}
        (whole,) = encode(files_batch(FILES, caption=captions), **options).parts
        num_rows = len(FILES)

        for start in range(num_rows + 1):
            for stop in range(start, num_rows + 1):
                part = whole.slice(start, stop)
                rows, metadata, _ = content([part])
                assert rows == content([whole])[0][start:stop]
                assert [row["caption"] for row in metadata] == captions[start:stop]
                assert part.num_rows == stop - start
                assert part.num_errors == sum(row["error"] is not None for row in rows)
                assert part.tar_nbytes().tolist() == whole.tar_nbytes()[start:stop].tolist()
                assert len(content([part])[2]) == part.tar_nbytes().sum()
            halves = [whole.slice(0, start), whole.slice(start, num_rows)]
            assert content(halves) == content([whole])

    def test_slices_are_not_copied(self) -> None:
        (whole,) = encode(files_batch([JPEG] * 9)).parts
        part = whole.slice(2, 8).slice(1, 4)

        data, all_data = part.data()["jpg"], whole.data()["jpg"]
        assert data.buffers()[2].address == all_data.buffers()[2].address
        assert data.offset == 3
