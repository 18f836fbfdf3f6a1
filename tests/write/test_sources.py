from __future__ import annotations

import io
import os
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_data import JPEG
from photographs import SKIMAGE
from pyarrow.dataset import dataset as arrow_dataset

from arrowimg import ImageBatch, ShardWriter, write_shards
from arrowimg._core.frames.polars_frames import table_of_polars
from arrowimg._write.sources import items
from arrowimg._write.sources import source as _source
from arrowimg._write.sources.join import check_known_ids
from arrowimg._write.sources.source import Source, count_rows
from arrowimg._write.sources.table_files import NBYTES_PER_BATCH, ROWS_PER_BATCH
from arrowimg.errors import (
    ArrowimgError,
    DuplicateIdError,
    ImageError,
    MetadataJoinError,
    SchemaError,
    SourceError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES = [SKIMAGE / name for name in ("rocket.jpg", "color.png", "microaneurysms.png")]

Rows = list[tuple[str | None, bytes, int | None]]


def table() -> pa.Table:
    """Four rows over three photographs, in two chunks, one id null."""
    data = [path.read_bytes() for path in FILES]
    first = pa.table({"image_id": ["a", "b"], "image_data": data[:2], "n": [1, 2]})
    other = pa.table({"image_id": ["c", None], "image_data": data[:0:-1], "n": [3, None]})
    return pa.concat_tables([first, other])


def read_batches(source: object) -> Iterator[ImageBatch]:
    return Source(source).batches()


def rows_of(source: object) -> Rows:
    return [
        (row.get("image_id"), bytes(view), row.get("n"))
        for batch in read_batches(source)
        for row, view in zip(
            batch.metadata_frame().iter_rows(named=True), batch.images(), strict=True
        )
        if view is not None
    ]


EXPECTED: Rows = [(row["image_id"], row["image_data"], row["n"]) for row in table().to_pylist()]


def hugging_face(source: pa.Table) -> datasets.Dataset:
    features = datasets.Features(
        image_id=datasets.Value("string"), image_data=datasets.Image(), n=datasets.Value("int64")
    )
    columns = source.to_pydict()
    columns["image_data"] = [{"bytes": data, "path": None} for data in columns["image_data"]]
    return datasets.Dataset.from_dict(columns, features=features)


IN_MEMORY: dict[str, Callable[[pa.Table], Any]] = {
    "pyarrow table": lambda source: source,
    "record batch": lambda source: source.combine_chunks().to_batches()[0],
    "record batch reader": lambda source: source.to_reader(),
    "polars frame": pl.DataFrame,
    "polars lazy frame": lambda source: pl.DataFrame(source).lazy(),
    "pandas": lambda source: pd.DataFrame(source.to_pydict()).astype({"n": "Int64"}),
    "duckdb relation": lambda source: duckdb.connect().from_arrow(source),
    "hugging face": hugging_face,
    "image batch": ImageBatch,
    "list of tables": lambda source: [source[:1], source[1:]],
    "generator of a mixture": lambda source: iter(
        [
            source[:1],
            pl.DataFrame(source[1:2]),
            ImageBatch(source[2:3]),
            source[3:].to_reader(),
            source[:0],
        ]
    ),
    "nested lists": lambda source: [[source[:3]], [[source[3:]]]],
}

NO_TABLES = {
    "nothing": None,
    "number": 7,
    "bytes": b"bytes",
    "path of nothing": "neither-file-nor-folder",
    "dict": {"image_data": [b""]},
    "list of numbers": [1, 2],
    "list of nothing": [None],
    "object": object(),
    "pyarrow array": pa.array([b"a"]),
    "pyarrow column": pa.chunked_array([[b"a"]]),
    "polars series": pl.Series([b"a"]),
    "pandas series": pd.Series([b"a"]),
    "hugging face splits": datasets.DatasetDict(train=datasets.Dataset.from_dict({"n": [1]})),
}


@pytest.mark.parametrize("convert", IN_MEMORY.values(), ids=IN_MEMORY)
def test_every_source_in_memory_gives_the_same_samples(
    convert: Callable[[pa.Table], object],
) -> None:
    assert rows_of(convert(table())) == EXPECTED


def test_a_reordered_hugging_face_dataset_gives_its_new_order() -> None:
    dataset = hugging_face(table())

    assert rows_of(dataset.select([3, 1])) == [EXPECTED[3], EXPECTED[1]]
    shuffled = dataset.shuffle(seed=3)
    assert [row[2] for row in rows_of(shuffled)] == [
        row["n"] for row in shuffled.remove_columns("image_data")
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".ipc"])
def test_files_of_tables_give_the_same_samples(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"images{suffix}"
    if suffix == ".parquet":
        pq.write_table(table(), path, row_group_size=3)
    else:
        with pa.ipc.new_file(path, table().schema) as writer:
            writer.write_table(table())

    assert rows_of(path) == EXPECTED
    assert rows_of(str(path)) == EXPECTED


def test_an_arrow_stream_file_gives_the_same_samples(tmp_path: Path) -> None:
    path = tmp_path / "images.arrow"
    with pa.ipc.new_stream(path, table().schema) as writer:
        writer.write_table(table())

    assert rows_of(path) == EXPECTED


def test_an_arrow_file_of_tensors_that_state_an_order_of_axes_is_read(tmp_path: Path) -> None:
    pixels = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((3, 4, 5, 3), np.uint8))
    pictures = pa.table({"image_data": pixels})
    with pa.ipc.new_file(tmp_path / "images.arrow", pictures.schema) as writer:
        writer.write_table(pictures)

    (batch,) = read_batches(tmp_path / "images.arrow")

    assert batch.data == pictures


class TestImageFiles:
    def test_a_folder_gives_its_pictures_sorted_named_below_it(self, tmp_path: Path) -> None:
        for name in ("z.png", "a.JPG", "deep/b.png", ".hidden.png", ".git/c.png", "notes.txt"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(FILES[0].read_bytes() + name.encode())

        (batch,) = read_batches(tmp_path)

        assert batch.data["image_id"].to_pylist() == ["a", "deep/b", "z"]
        assert batch.data["image_path"].to_pylist() == [
            str(tmp_path / name) for name in ("a.JPG", "deep/b.png", "z.png")
        ]
        assert [bytes(view)[-5:] for view in batch.images() if view is not None] == [
            b"a.JPG",
            b"b.png",
            b"z.png",
        ]

    def test_ids_keep_the_suffix_where_files_differ_in_it_only(self, tmp_path: Path) -> None:
        for name in ("a.png", "a.jpg", "b.jpg"):
            (tmp_path / name).write_bytes(b"data")

        (batch,) = read_batches(tmp_path)

        assert batch.data["image_id"].to_pylist() == ["a.jpg", "a.png", "b.jpg"]

    @pytest.mark.parametrize("kind", [str, Path])
    def test_a_list_of_files_keeps_its_order(self, kind: type) -> None:
        assert [row[1] for row in rows_of([kind(path) for path in FILES[::-1]])] == [
            path.read_bytes() for path in FILES[::-1]
        ]

    def test_a_single_file_is_one_sample(self) -> None:
        assert [row[1] for row in rows_of(FILES[0])] == [FILES[0].read_bytes()]

    def test_a_folder_without_pictures_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="none below"):
            rows_of(tmp_path)

    def test_something_else_among_the_paths_is_refused(self) -> None:
        with pytest.raises(SourceError, match="int among them"):
            rows_of([FILES[0], 7])


class TestRefusals:
    @pytest.mark.parametrize("source", NO_TABLES.values(), ids=NO_TABLES)
    def test_what_holds_no_table_is_a_source_error(self, source: object) -> None:
        with pytest.raises(SourceError):
            rows_of(source)

    @pytest.mark.parametrize("position", [0, 1, 2])
    def test_nothing_among_tables_is_a_source_error_wherever_it_stands(self, position: int) -> None:
        source: list[object] = [table(), table()]
        source.insert(position, None)

        with pytest.raises(SourceError, match="NoneType"):
            rows_of(source)

    def test_a_frame_with_a_column_called_height_is_refused_for_that(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"image_data": [FILES[0].read_bytes()] * 2, "height": [1, 2]})

        with pytest.raises(SchemaError, match="'height'"):
            write_shards(frame, tmp_path)


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(_source, "usable_cores", lambda: 2)
    return monkeypatch


class TestSizes:
    @pytest.mark.parametrize(("count", "rows"), [(7, [1000, 1000, 400]), (8, [2000, 400])])
    def test_many_cores_have_larger_batches(
        self, cores: pytest.MonkeyPatch, count: int, rows: list[int]
    ) -> None:
        cores.setattr(_source, "usable_cores", lambda: count)
        source = pa.table({"image_data": [b"x"] * 2400})

        assert [batch.num_items for batch in read_batches(source)] == rows
        of_one_worker = [each for each in Source(source).pieces() if isinstance(each, ImageBatch)]
        assert [batch.num_items for batch in of_one_worker] == [1000, 1000, 400]

    def test_batches_are_bounded(self) -> None:
        source = pa.table({"image_data": [b"x"] * (2 * ROWS_PER_BATCH + 1)})

        assert [batch.num_items for batch in read_batches(source)] == [
            ROWS_PER_BATCH,
            ROWS_PER_BATCH,
            1,
        ]

    @pytest.mark.parametrize("source", [[], iter(()), pa.table({"image_data": [b""]})[:0]])
    def test_an_empty_source_gives_no_rows(self, source: object) -> None:
        assert rows_of(source) == []

    def test_rows_are_counted_where_that_costs_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "images.parquet"
        pq.write_table(table(), path)

        counted = [count_rows(IN_MEMORY[name](table())) for name in IN_MEMORY]

        assert count_rows(path) == 4
        assert {4, None} >= set(counted)
        assert count_rows(table()) == count_rows(pl.DataFrame(table())) == 4

    @pytest.mark.parametrize(
        "name", ["pyarrow table", "record batch", "polars frame", "image batch"]
    )
    def test_ids_in_memory_are_known_beforehand(self, name: str) -> None:
        twice = table().slice(0, 1).to_pylist() * 2

        check_known_ids(IN_MEMORY[name](table()), None)
        with pytest.raises(DuplicateIdError, match="'a' in rows 0, 1"):
            check_known_ids(IN_MEMORY[name](pa.Table.from_pylist(twice)), None)

    @pytest.mark.parametrize("name", ["record batch reader", "generator of a mixture"])
    def test_ids_of_a_stream_are_not_known_beforehand(self, name: str) -> None:
        source = IN_MEMORY[name](table())

        check_known_ids(source, None)

        assert rows_of(source) == EXPECTED

    def test_a_frame_is_made_a_table_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        converted = list[pl.DataFrame]()

        def counted(frame: pl.DataFrame) -> pa.Table:
            converted.append(frame)
            return table_of_polars(frame)

        monkeypatch.setattr("arrowimg._core.tables.table_of_polars", counted)
        frames = [pl.DataFrame(table()), pl.DataFrame(table())]
        check_known_ids(frames[0], None)
        source = Source(frames)
        source.schemas()
        assert len(list(source.batches())) == 2

        with_pictures = [it.height for it in converted if "image_data" in it.columns]
        assert sorted(with_pictures) == [0, 0, 4, 4]

    def test_the_columns_of_a_frame_are_those_of_its_head(self) -> None:
        frame = pl.DataFrame(
            {
                "text": ["a", None],
                "data": [b"", b"x"],
                "list": [[1.5], []],
                "struct": [{"a": ["x"]}, None],
                "category": pl.Series(["u", "v"], dtype=pl.Categorical),
                "enum": pl.Series(["u", "v"], dtype=pl.Enum(["u", "v"])),
                "array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.UInt8, 2)),
                "inner": pl.Series([["u"], ["v"]], dtype=pl.List(pl.Categorical)),
                "null": [None, None],
                "moment": pl.Series([0, 1], dtype=pl.Datetime("ns", "Europe/Rome")),
                "money": pl.Series([Decimal("1.5"), Decimal(2)]),
            }
        )
        ((_, columns), _) = Source([frame, frame]).schemas()

        assert columns == next(Source(frame).batches()).data.schema

    def test_each_of_a_list_is_looked_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        looked = list[object]()

        def counted(source: object) -> items.Item | None:
            looked.append(source)
            return items.item_in_memory(source)

        monkeypatch.setattr("arrowimg._write.sources.source.item_in_memory", counted)
        each = table()

        Source([each])

        assert sum(it is each for it in looked) == 1


class TestBytes:
    def test_batches_are_bounded_by_bytes_too(self) -> None:
        nbytes = NBYTES_PER_BATCH // 10
        for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
            source = pa.table({"image_data": pa.array([b"x" * nbytes] * 35, kind)})

            batches = list(read_batches(source))
            struct = pa.table(
                {
                    "image_data": pa.array(
                        [{"bytes": b"x" * nbytes}] * 35, pa.struct([("bytes", kind)])
                    )
                }
            )

            assert sum(batch.num_items for batch in batches) == 35
            assert max(batch.num_items for batch in batches) <= 9
            assert len(batches) <= 8
            assert len(list(read_batches(struct))) == len(batches)

    def test_a_row_that_is_larger_is_a_batch_by_itself(self) -> None:
        source = pa.table({"image_data": [b"x" * (NBYTES_PER_BATCH + 1), b"y", b"z"]})

        assert [batch.num_items for batch in read_batches(source)] == [1, 2]

    def test_a_file_is_read_in_parts_of_bounded_bytes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        iter_batches = pq.ParquetFile.iter_batches

        def noting(file: pq.ParquetFile, num_rows: int, groups: list[int]) -> object:
            asked.append(num_rows)
            return iter_batches(file, num_rows, groups)

        monkeypatch.setattr(pq.ParquetFile, "iter_batches", noting)
        row = b"x" * (NBYTES_PER_BATCH // 4)
        for name, data in (("small", [b"x"] * 9), ("large", [row, row[:-1], b"z"] * 3)):
            path = tmp_path / f"{name}.parquet"
            options = {"compression": "none", "use_dictionary": False}
            pq.write_table(pa.table({"image_data": data}), path, **options)
            assert sum(batch.num_items for batch in read_batches(path)) == 9

        assert asked[0] == ROWS_PER_BATCH
        assert 1 <= asked[1] <= 6

    def test_small_parts_are_put_together(self) -> None:
        frame = pl.DataFrame({"image_data": [b"x"] * 2500}).lazy()

        assert [batch.num_items for batch in read_batches(frame)] == [1000, 1000, 500]

    @pytest.mark.parametrize("kind", ["dataset", "hugging face dataset"])
    def test_what_is_put_together_is_bounded_by_bytes(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(items, "NBYTES_PER_BATCH", 4000)
        table = pa.table({"image_data": [b"x" * 30] * 900})
        source = datasets.Dataset(table) if kind == "hugging face dataset" else arrow_dataset(table)

        item = items.item_in_memory(source)

        assert item is not None
        parts = list(item.tables())
        assert max(part.nbytes for part in parts) <= 4000
        assert pa.concat_tables(parts).num_rows == 900


class TestBrokenFiles:
    @pytest.mark.parametrize("column", ["image_id", "caption", "image_data"])
    @pytest.mark.parametrize("stream", [False, True])
    def test_offsets_that_lie_are_a_source_error(
        self,
        tmp_path: Path,
        column: str,
        stream: bool,  # noqa: FBT001  # a parameter of the test
    ) -> None:
        texts = {"image_id": "a", "caption": "bb", "image_data": "ccc"}
        source = pa.table({name: [text, text * 2, text * 3] for name, text in texts.items()})
        sink = io.BytesIO()
        make = pa.ipc.new_stream if stream else pa.ipc.new_file
        with make(sink, source.schema) as writer:
            writer.write_table(source)
        length = len(texts[column])
        offsets = np.array([0, length, 3 * length, 6 * length], np.int32).tobytes()
        lies = np.array([0, 2**30, 2**30 + 2**29, 6 * length], np.int32).tobytes()
        path = tmp_path / "lies.arrow"
        path.write_bytes(sink.getvalue().replace(offsets, lies))

        with pytest.raises(SourceError, match=f"{path}: expected an Arrow file or stream"):
            list(read_batches(path))

    @pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
    def test_no_file_that_was_tampered_with_gives_an_error_of_another_library(
        self, tmp_path: Path, suffix: str
    ) -> None:
        path = tmp_path / f"images{suffix}"
        if suffix == ".parquet":
            pq.write_table(table(), path)
        else:
            with pa.ipc.new_file(path, table().schema) as writer:
                writer.write_table(table())
        whole = path.read_bytes()
        random = np.random.default_rng(0)
        num_refused = 0
        for _ in range(150):
            data = bytearray(whole)
            tail = random.integers(2)  # what describes the rest is at the end
            at = int(
                random.integers(len(data) - 2000, len(data)) if tail else random.integers(2000)
            )
            data[at : at + 4] = random.bytes(4)
            path.write_bytes(data[: random.integers(len(data))] if random.random() < 0.2 else data)
            try:
                list(read_batches(path))
            except ArrowimgError:
                num_refused += 1

        assert num_refused > 50  # an error of any other kind has ended the test before

    @pytest.mark.parametrize("name", ["pipe.parquet", "pipe.arrow", "pipe.jpg", "pipe"])
    def test_what_is_no_regular_file_is_never_opened(self, tmp_path: Path, name: str) -> None:
        os.mkfifo(tmp_path / name)  # opening it would wait for ever

        if name.endswith(".jpg"):
            with pytest.raises(ImageError, match=r"unreadable: .* no regular file"):
                write_shards(tmp_path / name, tmp_path / "out")
        else:
            with pytest.raises(SourceError, match="found no regular file"):
                list(read_batches(tmp_path / name))


class TestDuplicates:
    @pytest.mark.parametrize("kind", [*IN_MEMORY, "parquet", "arrow", "generator"])
    def test_an_id_that_is_there_twice_is_refused_before_the_manifest(
        self, tmp_path: Path, kind: str
    ) -> None:
        ids = [f"i{row}" for row in range(2100)]
        source = pa.table({"image_id": [*ids, "i0"], "image_data": [JPEG] * 2101, "n": range(2101)})
        path = tmp_path / f"images.{kind}"
        if kind == "parquet":
            pq.write_table(source, path)
        elif kind == "arrow":
            with pa.ipc.new_file(path, source.schema) as writer:
                writer.write_table(source, 500)
        elif kind == "generator":
            path = iter(source.to_batches(500))
        given = IN_MEMORY[kind](source) if kind in IN_MEMORY else path

        with pytest.raises(DuplicateIdError, match="'i0'"):
            write_shards(given, tmp_path / "out", 700)

        assert not (tmp_path / "out" / "manifest.json").exists()

    def test_what_was_committed_before_counts_too(self, tmp_path: Path) -> None:
        rows = pa.table({"image_id": ["a", "b"], "image_data": [JPEG] * 2})
        with suppress(RuntimeError), ShardWriter(tmp_path / "out", 1) as writer:
            writer.write(rows)
            raise RuntimeError

        batches = [rows, rows.slice(0, 1)]
        found = r"'a' in images-000000\.parquet, images-000002"
        with pytest.raises(DuplicateIdError, match=found):
            write_shards(batches, tmp_path / "out", 1, if_exists="skip")
        assert not (tmp_path / "out" / "manifest.json").exists()

    @pytest.mark.parametrize("kind", ["pyarrow table", "polars frame", "record batch reader"])
    def test_ids_that_are_dropped_are_no_duplicates(self, tmp_path: Path, kind: str) -> None:
        rows = pa.table({"image_id": ["a", "a"], "image_data": [JPEG] * 2})

        group = write_shards(IN_MEMORY[kind](rows), tmp_path / "out", drop=["image_id"])

        assert group.num_images == 2

    def test_ids_that_are_joined_on_and_dropped_are_checked(self, tmp_path: Path) -> None:
        rows = pa.table({"image_id": ["a", "a"], "image_data": [JPEG] * 2})
        metadata = pa.table({"image_id": ["a"], "n": [1]})

        with pytest.raises(MetadataJoinError):
            write_shards(rows, tmp_path / "out", metadata=metadata, drop=["image_id"])

    def test_rows_without_an_id_are_no_duplicates(self, tmp_path: Path) -> None:
        rows = [pa.table({"image_data": [JPEG]})] * 3

        assert write_shards(iter(rows), tmp_path / "out", 1).num_images == 3
