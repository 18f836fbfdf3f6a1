"""The batch: the rows that one task hands over."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from arrowimg._core.tables import as_table, is_text, text_column
from arrowimg._core.task import Task
from arrowimg._images.arrays import ImageArrays, column_of_images, column_of_values
from arrowimg._images.columns import Pixels, image_views
from arrowimg._images.files import as_paths, ids_of_files, read_files
from arrowimg.errors import Problem, SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    import polars as pl

_PARAMETERS = {"image_data": "images", "image_id": "image_ids", "image_path": "image_paths"}


class ImageBatch(Task, frozen=True, eq=False, tag=True):
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
        When a column name is given twice, or ``image_id`` or ``image_path`` holds no strings.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = Counter(self.data.column_names)
        for name, count in counts.items():
            if count > 1:
                raise SchemaError(name, "one column of that name", f"{count}")
        for name in ("image_id", "image_path"):
            if name in counts and not is_text(self.data.schema.field(name).type):
                found = str(self.data.schema.field(name).type)
                raise SchemaError(name, "strings, integers or nulls", found)

    def __repr__(self) -> str:
        return (
            f"ImageBatch(num_items={self.num_items}, columns={self.data.column_names}, "
            f"dataset_name={self.dataset_name!r}, task_id={self.task_id!r})"
        )

    def _repr_html_(self) -> str | None:
        """Return the first pictures for a notebook; None where they cannot be shown."""
        from arrowimg._images.grid.batch import batch_html  # noqa: PLC0415  # only in a notebook

        return batch_html(self.data, repr(self))

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
        table = as_table(source)
        return cls(table, dataset_name, task_id, {} if metadata is None else metadata)

    @classmethod
    def from_arrays(
        cls,
        images: ImageArrays,
        image_ids: Sequence[str | None] | None = None,
        image_paths: Sequence[str | None] | None = None,
        *,
        dataset_name: str = "",
        task_id: str = "",
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
        dataset_name, task_id
            Of the batch, not of its rows. Columns of these names need `from_table`.
        **columns
            Metadata: anything `pyarrow.array` takes, one value per image. A column may be called
            ``metadata``; that of the batch is given to `from_table`.

        Raises
        ------
        ImageError
            When an array is of a kind that Arrow cannot hold (object, complex, masked, of another
            byte order, of another dtype than the rest).
        SchemaError
            When columns differ in length, or one is given twice.
        SourceError
            When `dataset_name` or `task_id` is no str.
        """
        arrays = {"image_data": column_of_images(images, image_ids)}
        for name, texts in (("image_id", image_ids), ("image_path", image_paths)):
            if texts is not None:
                arrays[name] = pa.array(texts, pa.string())
        for name in arrays:
            if name in columns:
                found = f"{name}= beside {_PARAMETERS[name]}="
                raise SchemaError(name, "to be given once", found, "leave one out, or rename it")
        arrays |= {name: column_of_values(values, name) for name, values in columns.items()}
        for name, values in arrays.items():
            if len(values) != len(images):
                raise SchemaError(name, f"{len(images):,} values", f"{len(values):,}")
        return cls(pa.table(arrays), dataset_name, task_id)

    @classmethod
    def from_files(
        cls,
        paths: Iterable[str | os.PathLike[str]],
        *,
        dataset_name: str = "",
        task_id: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> Self:
        """Return a batch of image files, read into memory as they are.

        ``image_id`` is the path without suffix (with it, where two files differ in that only),
        ``image_path`` the path.

        Parameters
        ----------
        paths
            Of the files, in order.
        dataset_name, task_id, metadata
            Of the batch.

        Raises
        ------
        OSError
            When a file cannot be read. As a source of `write_shards`, where ``on_error`` says what
            is to be done, it would be a row with the error ``unreadable``.
        SourceError
            When `paths` is not what it must be, or `dataset_name`, `task_id` or `metadata` is of
            another type.
        """
        files = as_paths(paths)
        tables = read_files(files, ids_of_files(files), must_read=True)
        data = (
            pa.concat_tables(tables)
            if files
            else pa.table({"image_data": pa.array([], pa.large_binary())})
        )
        return cls(data, dataset_name, task_id, {} if metadata is None else metadata)

    @property
    def num_items(self) -> int:
        """Number of rows."""
        return int(self.data.num_rows)

    def ids(self) -> pa.ChunkedArray:
        """Return the ids as strings, null where a row has none.

        Raises
        ------
        SchemaError
            When they are neither strings nor integers.
        """
        if "image_id" not in self.data.column_names:
            return pa.chunked_array([pa.nulls(self.num_items, pa.string())])
        return text_column(self.data["image_id"], "image_id")

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
