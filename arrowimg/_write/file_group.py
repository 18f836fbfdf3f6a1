"""The typed tasks: a batch of images in, the group of files it became out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec
import pyarrow as pa
from msgspec import Struct, field

from arrowimg._images.arrays import ImageArrays, column_of_images, column_of_values
from arrowimg._images.columns import Pixels, as_table, image_views, is_text
from arrowimg._images.files import as_paths, ids_of_files, read_files
from arrowimg.errors import Problem, SchemaError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import polars as pl

FILE_GROUP_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("num_images", pa.int64(), nullable=False),
        pa.field("num_rows", pa.int64(), nullable=False),
        pa.field("nbytes", pa.int64(), nullable=False),
        pa.field("checksum", pa.string(), nullable=False),
    ]
)


class _Task(Struct, frozen=True, eq=False):
    """A table with the names that a pipeline gives it. Immutable; equal where the data is equal."""

    data: pa.Table
    dataset_name: str = ""
    task_id: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.data, pa.Table):
            expected = f"a pyarrow.Table as data (see {type(self).__name__}.from_table)"
            raise SourceError(expected, type(self.data).__qualname__)
        for name, kind in (("dataset_name", str), ("task_id", str), ("metadata", dict)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                expected = f"a {kind.__name__} as {name}"
                raise SourceError(expected, f"{type(value).__qualname__} {value!r}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, name) == getattr(other, name) for name in self.__struct_fields__
        )

    __hash__ = None  # type: ignore[assignment]  # holds a table, which has no hash

    def to_msgpack(self) -> bytes:
        """Return the task as msgpack bytes, the table inside as an Arrow IPC stream (copied)."""
        return msgspec.msgpack.encode(self, enc_hook=_encode_table)

    @classmethod
    def from_msgpack(cls, data: bytes) -> Self:
        """Return the task that `to_msgpack` wrote.

        Raises
        ------
        msgspec.ValidationError
            When the bytes are another task's.
        """
        return msgspec.msgpack.decode(data, type=cls, dec_hook=_decode_table)


class ImageBatch(_Task, frozen=True, eq=False, tag=True):
    """The rows that one task hands over: images and their metadata, as one Arrow table.

    Attributes
    ----------
    data
        One row per sample. A column of images (``image_data`` unless the writer is told
        otherwise), optionally ``image_id`` and ``image_path``; all other columns are metadata.
    dataset_name, task_id
        Names that the pipeline gives; they count in the names of the shards.
    metadata
        Anything the pipeline wants carried along to the file group.

    Raises
    ------
    SourceError
        When made with values of other types.
    SchemaError
        When a column name stands twice, or ``image_id`` or ``image_path`` holds no strings.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.data.column_names
        for name in names:
            if names.count(name) > 1:
                raise SchemaError(name, "one column of that name", f"{names.count(name)}")
        for name in ("image_id", "image_path"):
            if name in names and not is_text(self.data.schema.field(name).type):
                found = str(self.data.schema.field(name).type)
                raise SchemaError(name, "strings, integers or nulls", found)

    def __repr__(self) -> str:
        return (
            f"ImageBatch(num_items={self.num_items}, columns={self.data.column_names}, "
            f"dataset_name={self.dataset_name!r}, task_id={self.task_id!r})"
        )

    @classmethod
    def from_table(
        cls,
        source: object,
        dataset_name: str = "",
        task_id: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> Self:
        """Return a batch over anything that speaks Arrow; column data is not copied.

        Raises
        ------
        SourceError
            When `source` does not speak Arrow.
        """
        return cls(as_table(source), dataset_name, task_id, metadata or {})

    @classmethod
    def from_arrays(
        cls,
        images: ImageArrays,
        image_ids: Sequence[str | None] | None = None,
        image_paths: Sequence[str | None] | None = None,
        **columns: Any,  # noqa: ANN401  # whatever pyarrow.array takes
    ) -> Self:
        """Return a batch of NumPy pictures.

        Parameters
        ----------
        images
            Arrays of one dtype, each (H, W) or (H, W, C); None for a row without a picture. A
            single stacked array (N, H, W, C) is not copied, others are copied once.
        image_ids, image_paths
            One per image, or None.
        **columns
            Metadata: anything `pyarrow.array` takes, one value per image.

        Raises
        ------
        ImageError
            When an array is of a kind that Arrow cannot hold (object, complex, masked, of another
            byte order, of another dtype than the rest).
        SchemaError
            When columns differ in length.
        """
        arrays = {"image_data": column_of_images(images, image_ids)}
        for name, texts in (("image_id", image_ids), ("image_path", image_paths)):
            if texts is not None:
                arrays[name] = pa.array(texts, pa.string())
        arrays |= {name: column_of_values(values) for name, values in columns.items()}
        for name, values in arrays.items():
            if len(values) != len(images):
                raise SchemaError(name, f"{len(images):,} values", f"{len(values):,}")
        return cls(pa.table(arrays))

    @classmethod
    def from_files(cls, paths: Iterable[str | Path]) -> Self:
        """Return a batch of image files, read into memory as they are.

        ``image_id`` is the path without suffix (with it, where two files differ in that only),
        ``image_path`` the path.

        Raises
        ------
        OSError
            When a file cannot be read.
        """
        files = as_paths(paths)
        tables = read_files(files, ids_of_files(files))
        return cls(
            pa.concat_tables(tables)
            if files
            else pa.table({"image_data": pa.array([], pa.large_binary())})
        )

    @property
    def num_items(self) -> int:
        """Number of rows."""
        return int(self.data.num_rows)

    def images(self, image_column: str = "image_data") -> list[Pixels | memoryview | None]:
        """Return a view of each image: pixels (read-only) or the bytes of an encoded file.

        Nothing is copied (except bool pixels, which Arrow packs). None where the row has no image.

        Raises
        ------
        SchemaError
            When the column is missing or of a type that holds no images.
        """
        views = image_views(self.data, image_column)
        return [None if isinstance(view, Problem) else view for view in views]

    def metadata_frame(self, image_column: str = "image_data") -> pl.DataFrame:
        """Return all columns but the images as a Polars frame, zero-copy where Polars can."""
        import polars as pl  # noqa: PLC0415  # a fifth of a second that the line does not need

        names = [name for name in self.data.column_names if name != image_column]
        return pl.DataFrame(self.data.select(names))


class WrittenFile(Struct, frozen=True):
    """One committed file.

    Attributes
    ----------
    path
        As the writer was given it.
    kind
        ``"tar"`` or ``"parquet"``.
    num_images, num_rows
        Pictures in the shard, and rows, which also counts rows with an error.
    nbytes
        Size of the file.
    checksum
        Of the whole file, hexadecimal.
    """

    path: str
    kind: Literal["tar", "parquet"]
    num_images: int
    num_rows: int
    nbytes: int
    checksum: str


class FileGroupTask(_Task, frozen=True, eq=False, tag=True):
    """What one task wrote: one row per committed file.

    Attributes
    ----------
    data
        Columns path, kind (``"tar"`` or ``"parquet"``), num_images, num_rows, nbytes, checksum;
        in shard order, the tar before its sidecar.
    dataset_name, task_id
        As in the batch.
    metadata
        The batch's, plus ``output_dir``, ``images_per_tar``, ``num_images``, ``num_rows`` and
        ``num_errors``.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data.schema.equals(FILE_GROUP_SCHEMA):
            expected = ", ".join(f"{item.name}: {item.type}" for item in FILE_GROUP_SCHEMA)
            column = "data"
            raise SchemaError(column, expected, str(self.data.schema))

    def __repr__(self) -> str:
        return (
            f"FileGroupTask(num_images={self.num_images}, shards={len(self.tar_paths)}, "
            f"dataset_name={self.dataset_name!r}, task_id={self.task_id!r})"
        )

    @classmethod
    def from_files(
        cls,
        files: Iterable[WrittenFile],
        dataset_name: str = "",
        task_id: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> Self:
        """Return the file group of these files."""
        rows = [msgspec.structs.asdict(file) for file in files]
        data = pa.Table.from_pylist(rows, schema=FILE_GROUP_SCHEMA)
        return cls(data, dataset_name, task_id, metadata or {})

    @property
    def num_images(self) -> int:
        """Number of pictures in all tars."""
        return sum(
            row["num_images"]
            for row in self.data.select(["kind", "num_images"]).to_pylist()
            if row["kind"] == "tar"
        )

    @property
    def paths(self) -> list[str]:
        """Paths of all files, in shard order, each tar before its sidecar."""
        return list(self.data["path"].to_pylist())

    @property
    def tar_paths(self) -> list[str]:
        """Paths of the tars, in shard order."""
        return self._paths_of("tar")

    @property
    def parquet_paths(self) -> list[str]:
        """Paths of the sidecars, in shard order."""
        return self._paths_of("parquet")

    def _paths_of(self, kind: str) -> list[str]:
        rows = self.data.select(["path", "kind"]).to_pylist()
        return [row["path"] for row in rows if row["kind"] == kind]


def _encode_table(value: object) -> memoryview:
    if not isinstance(value, pa.Table):
        expected = "metadata of plain Python values"
        raise SourceError(expected, type(value).__qualname__)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write_table(value)
    return memoryview(sink.getvalue())


def _decode_table(kind: type, value: Any) -> pa.Table:  # noqa: ANN401  # msgspec's hook
    if kind is not pa.Table:
        raise NotImplementedError(kind)  # how msgspec is told that a hook does not know a type
    return pa.ipc.open_stream(pa.py_buffer(value)).read_all()
