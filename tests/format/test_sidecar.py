from __future__ import annotations

import datetime as dt
import json
import mmap
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photographs import SKIMAGE
from PIL import Image

import arrowimg
from arrowimg import ImageBatch, ImageWriterStage
from arrowimg._format import column_types
from arrowimg._format.sidecar import RESERVED, SIDECAR_SCHEMA, sidecar_table
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Write = Callable[..., Path]

PHOTOGRAPH = SKIMAGE / "chelsea.png"

OWN_FIELDS = [
    ("image_id", pa.string()),
    ("tar_file", pa.string()),
    ("member_name", pa.string()),
    ("original_path", pa.string()),
    ("offset", pa.int64()),
    ("size", pa.int64()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("channels", pa.int32()),
    ("checksum", pa.binary()),
    ("action", pa.string()),
    ("error", pa.string()),
]

INTACT = {
    "bool": pa.array([True, None]),
    "uint64": pa.array([2**64 - 1, None], pa.uint64()),
    "float16": pa.array(np.array([1.5, -2], np.float16)),
    "float with nan": pa.array([1.5, None]),
    "large string": pa.array(["a", None], pa.large_string()),
    "large binary": pa.array([b"a", None], pa.large_binary()),
    "fixed-size binary": pa.array([b"ab", None], pa.binary(2)),
    "date": pa.array([dt.date(2020, 2, 29), None]),
    "timestamp": pa.array([1, None], pa.timestamp("us")),
    "timestamp with zone": pa.array([1, None], pa.timestamp("ns", "Europe/Berlin")),
    "time": pa.array([1, None], pa.time64("ns")),
    "duration in seconds": pa.array([1, None], pa.duration("s")),
    "duration in nanoseconds": pa.array([1, None], pa.duration("ns")),
    "decimal128": pa.array([Decimal("1.23"), None], pa.decimal128(10, 2)),
    "dictionary": pa.array(["a", "b"]).dictionary_encode(),
    "ordered dictionary": pa.DictionaryArray.from_arrays(
        pa.array([1, 0], pa.int32()), pa.array(["low", "high"]), ordered=True
    ),
    "list": pa.array([[1, None], None], pa.list_(pa.int16())),
    "large list": pa.array([[1, None], None], pa.large_list(pa.int8())),
    "list of dictionaries": pa.array(
        [["a"], ["b", "a"]], pa.list_(pa.dictionary(pa.int32(), "str"))
    ),
    "embedding": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "nested fixed-size lists": pa.array(
        [[[1, 2], [3, 4]]] * 2, pa.list_(pa.list_(pa.int8(), 2), 2)
    ),
    "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
    "struct": pa.array(
        [{"a": [{"b": 1}], "c": None}, None],
        pa.struct([("a", pa.list_(pa.struct([("b", pa.int16())]))), ("c", pa.null())]),
    ),
    "null": pa.nulls(2),
    "all null strings": pa.nulls(2, pa.string()),
    "embedding with nulls": pa.array([[1.0, None], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
}

WIDENED = {
    # Parquet has no seconds, no dates in milliseconds, and dictionaries of 32-bit text only.
    "timestamp in seconds": (
        pa.array([1, None], pa.timestamp("s", "UTC")),
        pa.timestamp("ms", "UTC"),
    ),
    "time in seconds": (pa.array([1, None], pa.time32("s")), pa.time32("ms")),
    "date in milliseconds": (pa.array([86_400_000, None], pa.date64()), pa.date32()),
    "dictionary of numbers": (pa.array([5, 6]).dictionary_encode(), pa.int64()),
    "dictionary of large strings": (
        pa.array(["a", None], pa.large_string()).dictionary_encode(),
        pa.dictionary(pa.int32(), pa.string()),
    ),
    # Polars and DuckDB have decimals of 128 bits only.
    "decimal32": (pa.array([Decimal("1.23"), None], pa.decimal32(9, 2)), pa.decimal128(9, 2)),
    "decimal64": (pa.array([Decimal("1.23"), None], pa.decimal64(18, 2)), pa.decimal128(18, 2)),
    "decimal256": (pa.array([Decimal("1.23"), None], pa.decimal256(38, 2)), pa.decimal128(38, 2)),
    # Codes of 8 bits are too few for what several batches have together.
    "dictionary of small indices": (
        pa.array(["a", None], pa.dictionary(pa.int8(), pa.string())),
        pa.dictionary(pa.int32(), pa.string()),
    ),
    "dictionary of durations": (
        pa.array([5, None], pa.duration("s")).dictionary_encode(),
        pa.duration("s"),
    ),
    "list view": (pa.array([[1, None], None], pa.list_view(pa.int8())), pa.list_(pa.int8())),
    "large list view": (
        pa.array([["a"], None], pa.large_list_view(pa.string_view())),
        pa.large_list(pa.large_string()),
    ),
    "run-end encoded": (pa.RunEndEncodedArray.from_arrays([2], ["a"]), pa.string()),
    "string view": (pa.array(["a", None], pa.string_view()), pa.large_string()),
    "binary view": (pa.array([b"a", None], pa.binary_view()), pa.large_binary()),
}

PLAIN = {
    "json": (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", None])), pa.string()),
    "uuid": (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16), None], pa.binary(16))),
        pa.binary(16),
    ),
    "bool8": (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8())), pa.int8()),
    "tensor": (
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((2, 3, 2), np.float32)),
        pa.list_(pa.float32(), 6),
    ),
}

UNWRITABLE = {
    "decimal of 39 digits": pa.array([Decimal(1), None], pa.decimal256(39, 0)),
    "decimal of hundreds": pa.array([100, None], pa.int32())
    .cast(pa.decimal128(12, 0))
    .cast(pa.decimal128(10, -2)),
    "dictionary of nulls": pa.DictionaryArray.from_arrays([0, None], pa.nulls(1)),
    "dictionary of dictionaries": pa.DictionaryArray.from_arrays(
        [0, 0], pa.array(["a"]).dictionary_encode()
    ),
    "struct with two fields of one name": pa.StructArray.from_arrays(
        [pa.array([1, 2]), pa.array([3, 4])], ["a", "a"]
    ),
    "time zone that is none": pa.array([1, None], pa.timestamp("us", "Atlantis/Poseidonis")),
    "time zone of half hours": pa.array([1, None], pa.timestamp("us", "+05:30")),
    "union": pa.UnionArray.from_dense(
        pa.array([0, 0], pa.int8()), pa.array([0, 1], pa.int32()), [pa.array([1, 2])]
    ),
    "struct without fields": pa.array([{}, None], pa.struct([])),
    "binary of no bytes": pa.array([b"", None], pa.binary(0)),
    "dictionary of lists": pa.DictionaryArray.from_arrays([0, 1], pa.array([[1], [2]])),
    "list of no values": pa.array([[], None], pa.list_(pa.float32(), 0)),
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write two windows of a photograph with these metadata columns; returns the sidecar."""
    photograph = np.asarray(Image.open(PHOTOGRAPH))
    windows = photograph[40:52, 50:66], photograph[80:90, 50:70]

    def write(columns: dict[str, Any] | None = None, **options: Any) -> Path:  # noqa: ANN401
        batch = ImageBatch.from_arrays(windows, ["a", "b/1"], ["x/a.png", None], **(columns or {}))
        (path,) = ImageWriterStage(tmp_path / "out", **options).process(batch).parquet_paths
        return Path(path)

    return write


def column_chunks(path: Path) -> dict[str, Any]:
    groups = pq.read_metadata(path)
    chunks = [groups.row_group(0).column(at) for at in range(groups.num_columns)]
    return {chunk.path_in_schema: chunk for chunk in chunks}


def lengths_of(array: pa.BinaryArray) -> list[int]:
    array.validate()
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset :][: len(array) + 1]
    return [int(size) for size in np.diff(offsets.astype(np.int64))]


def types_within(kind: pa.DataType) -> Iterator[pa.DataType]:
    yield kind
    for at in range(kind.num_fields):
        yield from types_within(kind.field(at).type)


class TestNullVectors:
    COLUMN = pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))

    def test_they_come_out_as_they_went_in_where_pyarrow_reads_them(self, write: Write) -> None:
        if column_types._READS_NO_NULL_VECTORS:
            with pytest.raises(SchemaError, match="upgrade PyArrow to 26"):
                write({"embedding": self.COLUMN})
        else:
            column = pq.read_table(write({"embedding": self.COLUMN}))["embedding"]

            assert column.type == self.COLUMN.type
            assert column.to_pylist() == [[1.0, 2.0], None]

    @pytest.mark.parametrize(
        "column",
        [COLUMN, pa.array([{"e": [1.0, 2.0]}, None], pa.struct([("e", COLUMN.type)]))],
        ids=["vector", "nested"],
    )
    def test_a_pyarrow_that_could_not_read_them_back_refuses_to_write_them(
        self, write: Write, monkeypatch: pytest.MonkeyPatch, column: pa.Array
    ) -> None:
        monkeypatch.setattr(column_types, "_READS_NO_NULL_VECTORS", True)

        with pytest.raises(SchemaError, match="cannot read fixed-size lists with nulls"):
            write({"embedding": column})


class TestSchema:
    def test_columns_are_own_then_the_users_then_the_pictures(self, write: Write) -> None:
        schema = pq.read_schema(write({"score": [0.5, None], "caption": ["x", "y"]}))

        assert [(field.name, field.type) for field in schema] == [
            *OWN_FIELDS,
            ("score", pa.float64()),
            ("caption", pa.string()),
            ("image_data", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ]

    def test_own_columns_are_those_that_the_format_states(self) -> None:
        assert [(field.name, field.type) for field in SIDECAR_SCHEMA] == OWN_FIELDS

    def test_every_own_column_is_reserved(self) -> None:
        assert [*(name for name, _ in OWN_FIELDS), "image_data"] == list(RESERVED)

    def test_a_sha256_checksum_takes_32_bytes(self, write: Write) -> None:
        checksums = pq.read_table(write(checksum="sha256"))["checksum"].to_pylist()

        assert [len(checksum) for checksum in checksums] == [32, 32]

    def test_rows_say_where_their_picture_is(self, write: Write) -> None:
        path = write()

        rows = pq.read_table(path).to_pylist()
        assert [row["image_id"] for row in rows] == ["a", "b/1"]
        assert [row["member_name"] for row in rows] == ["a.jpg", "b%2F1.jpg"]
        assert [row["original_path"] for row in rows] == ["x/a.png", None]
        assert {row["tar_file"] for row in rows} == {path.with_suffix(".tar").name}
        assert [(row["height"], row["width"], row["channels"]) for row in rows] == [
            (12, 16, 3),
            (10, 20, 3),
        ]
        tar = path.with_suffix(".tar").read_bytes()
        assert [row["image_data"] for row in rows] == [
            {"bytes": tar[row["offset"] :][: row["size"]], "path": row["member_name"]}
            for row in rows
        ]


class TestMetadataTypes:
    @pytest.mark.parametrize("column", INTACT.values(), ids=INTACT)
    def test_types_and_values_come_out_as_they_went_in(
        self, write: Write, column: pa.Array
    ) -> None:
        table = pq.read_table(write({"value": column}))

        assert table.schema.field("value").type == column.type
        assert table["value"].to_pylist() == column.to_pylist()

    @pytest.mark.parametrize(("column", "kind"), WIDENED.values(), ids=WIDENED)
    def test_types_that_parquet_lacks_become_the_next_wider_one(
        self, write: Write, column: pa.Array, kind: pa.DataType
    ) -> None:
        table = pq.read_table(write({"value": column}))

        assert table.schema.field("value").type == kind
        assert table["value"].to_pylist() == column.to_pylist()

    @pytest.mark.parametrize(("column", "kind"), PLAIN.values(), ids=PLAIN)
    def test_extension_types_become_their_storage(
        self, write: Write, column: pa.Array, kind: pa.DataType
    ) -> None:
        table = pq.read_table(write({"value": column, "nested": pa.array([1, 2])}))

        assert table.schema.field("value").type == kind
        assert table["value"].to_pylist() == column.storage.to_pylist()

    def test_no_extension_type_is_written_however_deep(self, write: Write) -> None:
        uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * 2, pa.binary(16)))
        nested = pa.StructArray.from_arrays(
            [pa.ListArray.from_arrays([0, 1, 2], uuids), uuids], ["list", "one"]
        )

        path = write({"nested": nested, "tensor": PLAIN["tensor"][0]})

        schema = pq.read_schema(path)
        kinds = [kind for field in schema for kind in types_within(field.type)]
        assert not any(isinstance(kind, pa.BaseExtensionType) for kind in kinds)
        assert not any(b"extension" in key for field in schema for key in field.metadata or {})
        assert (
            pq.read_table(path)["nested"].to_pylist()
            == [{"list": [bytes(16)], "one": bytes(16)}] * 2
        )

    @pytest.mark.parametrize("column", UNWRITABLE.values(), ids=UNWRITABLE)
    def test_types_that_parquet_cannot_hold_are_refused(
        self, write: Write, column: pa.Array, tmp_path: Path
    ) -> None:
        with pytest.raises(SchemaError, match="a type that Parquet has") as caught:
            write({"value": column})

        assert caught.value.column == "value"
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("name", sorted({*RESERVED, "tar_path"} - {"image_id", "image_data"}))
    def test_a_name_that_is_taken_is_refused_with_another_to_use(
        self, write: Write, name: str
    ) -> None:
        with pytest.raises(SchemaError, match=f"source_{name}") as caught:
            write({name: ["x", "y"]})

        assert caught.value.column == name

    def test_a_metadata_column_of_the_pictures_name_is_refused(self, tmp_path: Path) -> None:
        table = pa.table({"photo": [PHOTOGRAPH.read_bytes()], "image_data": [1]})

        with pytest.raises(SchemaError, match="source_image_data"):
            ImageWriterStage(tmp_path, image_column="photo").process(ImageBatch(table))

    def test_field_metadata_is_kept(self, tmp_path: Path) -> None:
        field = pa.field("score", pa.float64(), metadata={"unit": "percent"})
        table = pa.Table.from_arrays(
            [pa.array([PHOTOGRAPH.read_bytes()]), pa.array([1.0])],
            schema=pa.schema([pa.field("image_data", pa.binary()), field]),
        )

        group = ImageWriterStage(tmp_path).process(ImageBatch(table))

        assert pq.read_schema(group.parquet_paths[0]).field("score").metadata[b"unit"] == b"percent"


class TestFooter:
    def test_the_document_says_what_was_written_how_and_by_what(self, write: Write) -> None:
        path = write({"n": [1, 2]}, images_per_tar=7)

        tar = path.with_suffix(".tar")
        footer = json.loads(pq.read_metadata(path).metadata[b"arrowimg"])
        recorded = footer.pop("options")
        assert len(footer.pop("tar_checksum")) == 32
        assert footer == {
            "format_version": 1,
            "writer": {
                "arrowimg": arrowimg.__version__,
                "opencv": version("opencv-python-headless"),
                "pyarrow": pa.__version__,
            },
            "tar_file": tar.name,
            "tar_nbytes": tar.stat().st_size,
            "num_rows": 2,
            "num_images": 2,
            "num_errors": 0,
            "batch_shards": 1,
            "quarantine_file": None,
            "quarantine_nbytes": None,
            "quarantine_checksum": None,
        }
        assert recorded["images_per_tar"] == 7
        assert recorded["jpeg"]["quality"] == 92
        assert {"encode_threads", "on_error", "if_exists", "durability"}.isdisjoint(recorded)

    def test_the_document_is_canonical(self, write: Write) -> None:
        document = pq.read_metadata(write()).metadata[b"arrowimg"]

        decoded = json.loads(document)
        assert document == msgspec.json.encode(decoded)
        assert list(decoded["options"]) == sorted(decoded["options"])

    def test_the_pictures_are_declared_to_hugging_face_only_where_they_are(
        self, write: Write
    ) -> None:
        kept = pq.read_schema(write()).metadata
        pruned = pq.read_schema(write(remove_image_data=True)).metadata

        assert json.loads(kept[b"huggingface"]) == {
            "info": {"features": {"image_data": {"_type": "Image"}}}
        }
        assert b"huggingface" not in (pruned or {})


class TestEncodings:
    def test_everything_is_zstd_but_the_jpegs_and_their_checksums(self, write: Write) -> None:
        chunks = column_chunks(write({"n": [1, 2], "caption": ["x", "y"]}))

        assert {path for path, chunk in chunks.items() if chunk.compression != "ZSTD"} == {
            "image_data.bytes",
            "checksum",
        }
        assert chunks["image_data.bytes"].compression == "UNCOMPRESSED"

    def test_ids_have_no_dictionary_and_repeating_columns_do(self, write: Write) -> None:
        chunks = column_chunks(write({"caption": ["x", "y"]}))

        has_dictionary = {path for path, chunk in chunks.items() if chunk.has_dictionary_page}
        assert {"tar_file", "action", "caption"} <= has_dictionary
        assert has_dictionary.isdisjoint(
            {"image_id", "member_name", "offset", "size", "checksum", "image_data.bytes"}
        )

    @pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
    def test_float_embeddings_stand_as_they_are(self, write: Write, kind: pa.DataType) -> None:
        column = pa.array([[0.5, 1.5], [2.5, 3.5]], pa.list_(kind, 2))
        path = write({"embedding": column})

        chunk = column_chunks(path)["embedding.list.element"]

        assert (chunk.compression, chunk.has_dictionary_page) == ("UNCOMPRESSED", False)
        assert "PLAIN" in chunk.encodings
        assert column.values.buffers()[1].to_pybytes() in path.read_bytes()

    def test_there_is_a_page_index_and_statistics_for_filters(self, write: Write) -> None:
        chunks = column_chunks(write({"score": [0.5, 1.5]}))

        assert all(chunk.has_offset_index for chunk in chunks.values())
        assert chunks["score"].has_column_index
        assert (chunks["score"].statistics.min, chunks["score"].statistics.max) == (0.5, 1.5)
        assert not chunks["image_data.bytes"].is_stats_set


class TestRowGroups:
    def test_a_small_shard_is_one_row_group(self, write: Write) -> None:
        assert pq.read_metadata(write()).num_row_groups == 1

    def test_row_groups_hold_about_100_megabytes(self, tmp_path: Path) -> None:
        pixels = np.zeros((130, 8, 8, 3), np.uint8)
        batch = ImageBatch.from_arrays(pixels, note=["x" * 2_000_000] * 130)

        group = ImageWriterStage(tmp_path, remove_image_data=True).process(batch)

        footer = pq.read_metadata(group.parquet_paths[0])
        rows = [footer.row_group(at).num_rows for at in range(footer.num_row_groups)]
        assert sum(rows) == 130
        assert all(40 <= count <= 60 for count in rows[:-1])
        assert len(rows) == 3

    @pytest.mark.parametrize(
        "sizes",
        [
            [2**26] * 34,
            [2**31 - 1] * 2,
            [1, 2**31 - 1, 2**30 - 1],
            [0, 2**30, 0, 2**30, 2**30],
        ],
        ids=["many", "largest", "largest in the middle", "empty between"],
    )
    def test_more_than_two_gigabytes_of_pictures_fit_one_shard(self, sizes: list[int]) -> None:
        # Anonymous pages that nobody touches cost no memory.
        count = len(sizes)
        data = pa.py_buffer(mmap.mmap(-1, sum(sizes), prot=mmap.PROT_READ))
        offsets = pa.py_buffer(np.cumsum([0, *sizes], dtype=np.int64))
        pictures = pa.LargeBinaryArray.from_buffers(pa.large_binary(), count, [None, offsets, data])
        stored = pa.table(
            {name: pa.nulls(count, kind) for name, kind in OWN_FIELDS}
            | {"key": [f"k{row}" for row in range(count)], "image_data": pictures}
            | {"extension": ["jpg"] * count}
        )
        offsets, checksums = np.zeros(count, np.int64), [b"x"] * count

        table = sidecar_table(stored, pa.table({}), "a.tar", offsets, checksums, keep_images=True)

        assert table.num_rows == count
        assert table["size"].to_pylist() == sizes
        assert table["image_data"].null_count == 0
        pieces = [chunk.field("bytes") for chunk in table["image_data"].chunks]
        assert [size for piece in pieces for size in lengths_of(piece)] == sizes
