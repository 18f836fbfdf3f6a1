"""One shard: samples become a tar and its sidecar, staged, then committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pyarrow as pa
from msgspec import Struct

from arrowimg._columns import binary_views
from arrowimg._sidecar import Footer, sidecar_table, write_sidecar
from arrowimg._tar import member_offsets, tar_buffers
from arrowimg._tasks import FileGroupTask, ImageBatch, WrittenFile
from arrowimg._version import writer_versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from arrowimg._checksums import BytesLike
    from arrowimg._commit import StagedFile, Storage
    from arrowimg._options import WriteOptions
    from arrowimg._samples import Samples


class Shard(Struct, frozen=True):
    """A committed shard."""

    tar: WrittenFile
    parquet: WrittenFile


def write_shard(storage: Storage, name: str, samples: Samples, options: WriteOptions) -> Shard:
    """Write ``<name>.tar`` and ``<name>.parquet``: both are there when this returns.

    Raises
    ------
    ShardConflictError
        When a name is taken by other content. Nothing is changed.
    OSError
        When the storage fails. No sidecar is visible, and so no shard.
    """
    names, data = _members(samples)
    offsets = _image_offsets(names, data, samples)
    with storage.stage(options.checksum) as staging:
        tar = staging.create(f"{name}.tar")
        tar.writelines(tar_buffers(names, data))
        table = sidecar_table(
            samples.stored,
            samples.metadata,
            tar.name,
            offsets,
            keep_images=not options.remove_image_data,
        )
        parquet = staging.create(f"{name}.parquet")
        write_sidecar(parquet.as_file(), table, _footer(tar, samples, options))
        staging.publish()
    return Shard(
        tar=_written(storage, tar, "tar", samples),
        parquet=_written(storage, parquet, "parquet", samples),
    )


def file_group(
    shards: Sequence[Shard], output_dir: str | Path, options: WriteOptions, batch: ImageBatch
) -> FileGroupTask:
    """Return the file group of these shards, with the names and metadata of `batch`."""
    num_images = sum(shard.tar.num_images for shard in shards)
    num_rows = sum(shard.tar.num_rows for shard in shards)
    metadata = batch.metadata | {
        "output_dir": str(output_dir),
        "images_per_tar": options.images_per_tar,
        "num_images": num_images,
        "num_rows": num_rows,
        "num_errors": num_rows - num_images,
    }
    files = [file for shard in shards for file in (shard.tar, shard.parquet)]
    return FileGroupTask.from_files(files, batch.dataset_name, batch.task_id, metadata)


def _members(samples: Samples) -> tuple[list[str], list[BytesLike]]:
    """Return names and data of all members: sample by sample, extensions in sorted order."""
    keys = samples.stored["key"].to_pylist()
    columns = {"jpg": samples.stored["image_data"]} | {
        name: samples.members[name] for name in samples.members.column_names
    }
    views = {name: binary_views(columns[name]) for name in sorted(columns)}
    names = [f"{key}.{extension}" for key in keys if key is not None for extension in views]
    data = [
        view
        for key, *row in zip(keys, *views.values(), strict=True)
        if key is not None
        for view in row
    ]
    return names, data


def _image_offsets(names: list[str], data: list[BytesLike], samples: Samples) -> pa.Array:
    """Return where each row's picture starts in the tar; null for a row without one."""
    offsets = member_offsets([len(member) for member in data])
    of_images = iter(
        offset for name, offset in zip(names, offsets, strict=True) if name.endswith(".jpg")
    )
    is_present = samples.stored["key"].is_valid().to_pylist()
    return pa.array([next(of_images) if present else None for present in is_present], pa.int64())


def _footer(tar: StagedFile, samples: Samples, options: WriteOptions) -> Footer:
    return Footer(
        writer=writer_versions(),
        options=options.recorded(),
        tar_file=tar.name,
        tar_nbytes=tar.nbytes,
        tar_checksum=tar.checksum,
        num_rows=samples.num_rows,
        num_images=samples.num_rows - samples.num_errors,
        num_errors=samples.num_errors,
    )


def _written(
    storage: Storage, file: StagedFile, kind: Literal["tar", "parquet"], samples: Samples
) -> WrittenFile:
    return WrittenFile(
        path=storage.path_of(file.name),
        kind=kind,
        num_images=samples.num_rows - samples.num_errors,
        num_rows=samples.num_rows,
        nbytes=file.nbytes,
        checksum=file.checksum,
    )
