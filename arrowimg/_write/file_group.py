"""The typed tasks: a batch of images in, the group of files it became out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.task import Task
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arrowimg._images.batch import ImageBatch
    from arrowimg._write.shard import Shard


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


class FileGroupTask(Task, frozen=True, eq=False, tag=True):
    """What one task wrote: one row per committed file.

    Attributes
    ----------
    data
        Columns path, kind (``"tar"`` or ``"parquet"``), num_images, num_rows, nbytes, checksum;
        in shard order, the tar before its sidecar.
    dataset_name, task_id
        As in the batch.
    metadata
        The batch's, plus ``output_dir``, ``images_per_tar``, ``num_images``, ``num_rows``,
        ``num_errors`` and ``num_unchanged``; of a dataset in splits, ``splits`` too.
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

    def _repr_html_(self) -> str | None:
        """Return a table of the files for a notebook; None, for `repr`, without Jinja2."""
        from arrowimg._core.display.tables import table_html  # noqa: PLC0415  # only in a notebook

        names = ["path", "num_images", "num_rows", "nbytes"]
        counts = {name: it for name, it in self.metadata.items() if name.startswith("num_")}
        return table_html(repr(self), counts, names, self.data.select(names).to_pylist())

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
        return self._paths("tar")

    @property
    def parquet_paths(self) -> list[str]:
        """Paths of the sidecars, in shard order."""
        return self._paths("parquet")

    @property
    def splits(self) -> dict[str, FileGroupTask]:
        """The files of each split by its name; empty where there are none."""
        found, row = dict[str, FileGroupTask](), 0
        for name, metadata in self.metadata.get("splits", {}).items():
            data = self.data.slice(row, metadata["num_files"])
            found[name] = FileGroupTask(data, self.dataset_name, self.task_id, metadata)
            row += metadata["num_files"]
        return found

    def _paths(self, kind: str) -> list[str]:
        rows = self.data.select(["path", "kind"]).to_pylist()
        return [row["path"] for row in rows if row["kind"] == kind]


def file_group(
    shards: Sequence[Shard],
    output_dir: str | os.PathLike[str],
    images_per_tar: int,
    batch: ImageBatch | None = None,
) -> FileGroupTask:
    """Return the file group of these shards, with the names and metadata of `batch`."""
    names = (batch.dataset_name, batch.task_id) if batch else ("", "")
    num_images = sum(shard.tar.num_images for shard in shards)
    num_rows = sum(shard.tar.num_rows for shard in shards)
    metadata = (batch.metadata if batch else {}) | {
        "output_dir": os.fspath(output_dir),
        "images_per_tar": images_per_tar,
        "num_images": num_images,
        "num_rows": num_rows,
        "num_errors": num_rows - num_images,
        "num_unchanged": sum(shard.unchanged for shard in shards),
    }
    files = [file for shard in shards for file in (shard.tar, shard.parquet)]
    return FileGroupTask.from_files(files, *names, metadata)
