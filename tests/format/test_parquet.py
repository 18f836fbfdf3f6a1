from __future__ import annotations

import io
import itertools
import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from arrowimg._format.parquet import CHECKSUM_KEY, holds_own_checksum, parquet_leaves, write_parquet

if TYPE_CHECKING:
    from arrowimg._core.checksums import BytesLike

TABLE = pa.table({"size": pa.array([1, 2, 3], pa.int64()), "caption": ["a", "b", None]})


class Sequential:
    """A file that can only be written from front to back."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: BytesLike) -> int:
        self.pieces.append(bytes(data))
        return len(self.pieces[-1])

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)


def written(table: pa.Table, **footer: str) -> bytes:
    file = Sequential()
    write_parquet(file, table, footer, frozenset({"size"}))
    return file.content


class TestWriting:
    def test_rows_and_footer_come_back(self) -> None:
        data = written(TABLE, own="text", other="more")

        assert pq.read_table(io.BytesIO(data)).equals(TABLE)
        metadata = pq.read_metadata(io.BytesIO(data)).metadata
        assert (metadata[b"own"], metadata[b"other"]) == (b"text", b"more")

    def test_the_same_rows_give_the_same_bytes_however_they_are_chunked(self) -> None:
        chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1, 0), TABLE.slice(1, 2)])

        assert written(chunked) == written(TABLE)

    @pytest.mark.parametrize("cuts", [[1, 2, 3], [0, 5, 5, 9], [7]])
    def test_chunks_of_pictures_do_not_show_in_pages_either(self, cuts: list[int]) -> None:
        noise = np.random.default_rng(0).bytes(3_000_000)
        pictures = [{"bytes": noise[at : at + 300_000]} for at in range(0, len(noise), 300_000)]
        kind = pa.struct([("bytes", pa.binary())])
        whole = pa.table({"size": [300_000] * 10, "image_data": pa.array(pictures, kind)})
        bounds = [0, *cuts, 10]
        pieces = [whole["image_data"][a:b] for a, b in itertools.pairwise(bounds)]
        chunks = [chunk for piece in pieces for chunk in piece.chunks]
        chunked = whole.set_column(1, "image_data", pa.chunked_array(chunks, kind))

        assert written(chunked) == written(whole)

    def test_metadata_of_the_users_schema_stays(self) -> None:
        table = TABLE.replace_schema_metadata({"huggingface": "{}", CHECKSUM_KEY: "not this one"})
        data = written(table)

        assert holds_own_checksum(io.BytesIO(data))
        assert pq.read_schema(io.BytesIO(data)).metadata[b"huggingface"] == b"{}"

    def test_a_long_footer_is_no_obstacle(self) -> None:
        data = written(TABLE, own="x" * 3_000_000)

        assert holds_own_checksum(io.BytesIO(data))

    def test_rows_are_passed_on_before_the_footer_is_known(self) -> None:
        incompressible = np.random.default_rng(0).bytes(9 * 2**20)
        values = [incompressible[at : at + 2**20] for at in range(0, len(incompressible), 2**20)]
        table = pa.table({"size": [2**20] * 9, "value": pa.array(values, pa.binary())})
        file = Sequential()
        write_parquet(file, table, {"own": "text"}, frozenset({"size"}))

        assert len(file.pieces) > 2
        assert len(file.pieces[-1]) < 10_000
        assert holds_own_checksum(io.BytesIO(file.content))

    def test_an_error_of_the_file_is_passed_on(self) -> None:
        class Full:
            @staticmethod
            def write(_: BytesLike) -> int:
                raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space left"):
            write_parquet(Full(), TABLE, {}, frozenset())

    def test_no_rows_are_a_file_too(self) -> None:
        data = written(TABLE.slice(0, 0))

        assert pq.read_table(io.BytesIO(data)).num_rows == 0
        assert holds_own_checksum(io.BytesIO(data))


class TestChecksum:
    def test_it_is_that_of_the_file_with_zeros_in_its_place(self) -> None:
        data = written(TABLE)
        stated = pq.read_metadata(io.BytesIO(data)).metadata[CHECKSUM_KEY.encode()]

        assert data.count(stated) == 1
        zeros = data.replace(stated, b"0" * 32)
        assert stated.decode() == xxhash.xxh3_128_hexdigest(zeros)

    def test_every_changed_byte_shows(self) -> None:
        data = bytearray(written(TABLE))
        assert holds_own_checksum(io.BytesIO(data))
        unseen = []
        for at in range(len(data)):
            data[at] ^= 1
            if holds_own_checksum(io.BytesIO(data)):
                unseen.append(at)
            data[at] ^= 1

        assert unseen == []

    @pytest.mark.parametrize("data", [b"", b"PAR1", CHECKSUM_KEY.encode(), bytes(1000)])
    def test_what_has_no_checksum_does_not_hold_it(self, data: bytes) -> None:
        assert not holds_own_checksum(io.BytesIO(data))


def test_leaves_are_the_columns_of_the_file() -> None:
    schema = pa.schema([("a", pa.list_(pa.float32())), ("b", pa.struct([("c", pa.string())]))])

    assert parquet_leaves(schema) == [("a.list.element", "FLOAT"), ("b.c", "BYTE_ARRAY")]


def test_a_row_group_may_hold_more_than_two_gigabytes_of_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Anonymous pages that nobody touches cost no memory, and nothing here writes them.
    sizes = [10] * 514 + [2**28] * 18 + [10] * 468
    pages = pa.py_buffer(mmap.mmap(-1, sum(sizes), prot=mmap.PROT_READ))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pieces, start = list[pa.Array](), 0
    for size in sizes:
        buffers = [None, pa.py_buffer(np.array([0, size], np.int32)), pages.slice(start, size)]
        picture = pa.BinaryArray.from_buffers(pa.binary(), 1, buffers)
        pieces.append(
            pa.StructArray.from_arrays([picture, pa.nulls(1, pa.string())], fields=[*kind])
        )
        start += size
    table = pa.table({"size": sizes, "image_data": pa.chunked_array(pieces, kind)})
    rows: list[int] = []

    class Counting:
        def __init__(self, *_: Any, **__: Any) -> None:  # noqa: ANN401  # as Parquet's writer
            pass

        @staticmethod
        def write_table(group: pa.Table, **_: Any) -> None:  # noqa: ANN401
            rows.append(group.num_rows)

        def add_key_value_metadata(self, _: Any) -> None:  # noqa: ANN401
            pass

        def close(self) -> None:
            pass

    parquet_leaves(table.schema)
    monkeypatch.setattr(pq, "ParquetWriter", Counting)
    write_parquet(Sequential(), table, {}, frozenset({"size"}))

    assert sum(rows) == len(sizes)
