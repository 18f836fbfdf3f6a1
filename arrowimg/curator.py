"""NeMo Curator: a writer stage for its pipelines. The one door to ``nemo_curator``.

Importing this module does not import NeMo Curator; asking it for `ImageWriterStage` does.
What turns its tasks into batches looks at their attributes only, and works without it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from arrowimg._images.arrays import column_of_images
from arrowimg._images.batch import ImageBatch
from arrowimg._write.stage import ImageWriterStage as _ArrowStage
from arrowimg.errors import ImageError, MissingDependencyError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arrowimg._write.file_group import FileGroupTask

__all__ = ["ImageWriterStage", "batch_of_tasks"]  # noqa: F822  # the stage is made when asked for

_SCORES = ("aesthetic_score", "nsfw_score")

logger = logging.getLogger("arrowimg")


def __getattr__(name: str) -> Any:  # noqa: ANN401  # Python's hook for names made late
    if name != "ImageWriterStage":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = stage = _stage_class()
    return stage


def batch_of_tasks(
    tasks: Sequence[Any], metadata_schema: pa.Schema | None = None, *, quarantine: bool = False
) -> ImageBatch:
    """Return the images of several of Curator's tasks as one batch of typed columns.

    Parameters
    ----------
    tasks
        Each with ``data``, a list of objects that have image_id, image_path, image_data,
        embedding, aesthetic_score, nsfw_score and metadata, and with ``dataset_name``. Not
        changed; pixels of one shape are copied once.
    metadata_schema
        Keys of the objects' metadata that become columns of their own, and their types. None: one
        column ``metadata`` of JSON text, which looks the same whatever a batch holds.
    quarantine
        True: a picture that Arrow cannot hold beside the others, of another dtype for one, is
        logged and left out, so that its row is quarantined as ``missing``.

    Returns
    -------
    ImageBatch
        image_id and image_path (null where they are empty), image_data, aesthetic_score and
        nsfw_score (float64), embedding (list of its own dtype, float32 where there is none), and
        the metadata. The task ids are left out: they may be others when the pipeline runs again.

    Raises
    ------
    ImageError
        When pictures are of a kind that Arrow cannot hold, unless `quarantine`.
    SchemaError
        When embeddings are no vectors of one dtype, or metadata does not fit its schema.
    """
    objects = [image for task in tasks for image in task.data]
    ids = [image.image_id or None for image in objects]
    columns = {
        "image_id": pa.array(ids, pa.string()),
        "image_path": pa.array([str(image.image_path or "") or None for image in objects]),
        "image_data": _pictures([image.image_data for image in objects], ids, quarantine),
        **{name: pa.array([_number(getattr(it, name)) for it in objects]) for name in _SCORES},
        "embedding": _embeddings([image.embedding for image in objects]),
        **_metadata([image.metadata for image in objects], metadata_schema),
    }
    for name in ("image_path", *_SCORES):
        columns[name] = columns[name].cast(pa.float64() if name in _SCORES else pa.string())
    return ImageBatch(pa.table(columns), tasks[0].dataset_name)


def _pictures(
    arrays: list[Any],
    ids: list[str | None],
    quarantine: bool,  # noqa: FBT001  # as the caller has it
) -> pa.Array:
    try:
        return column_of_images(arrays, ids)
    except ImageError as error:
        if not quarantine:
            raise
        logger.warning("left out: %s", error)
        refused = {problem.row for problem in error.problems}
    kept = [None if row in refused else array for row, array in enumerate(arrays)]
    return column_of_images(kept, ids)


def _number(value: Any) -> float | None:  # noqa: ANN401  # a NumPy scalar as often as a float
    return None if value is None else float(value)


def _embeddings(vectors: Sequence[Any]) -> pa.Array:
    arrays = [None if vector is None else np.asarray(vector) for vector in vectors]
    kinds = {(it.ndim, it.dtype.name) for it in arrays if it is not None} or {(1, "float32")}
    if len(kinds) > 1 or next(iter(kinds))[0] != 1:
        column, found = "embedding", ", ".join(f"{ndim}-d {name}" for ndim, name in sorted(kinds))
        raise SchemaError(column, "vectors of one dtype", found)
    kind = pa.from_numpy_dtype(np.dtype(next(iter(kinds))[1]))
    return pa.array(arrays, pa.list_(kind))


def _metadata(values: Sequence[Mapping[str, Any]], schema: pa.Schema | None) -> dict[str, pa.Array]:
    if schema is None:
        encode = msgspec.json.Encoder(enc_hook=_plain, order="sorted").encode
        return {"metadata": pa.array([encode(value or {}).decode() for value in values])}
    try:
        table = pa.Table.from_pylist([dict(value or {}) for value in values], schema)
    except (pa.ArrowException, TypeError, ValueError) as error:
        column = "metadata"
        raise SchemaError(column, str(schema), str(error)) from error
    return dict(zip(table.column_names, table.columns, strict=True))


def _plain(value: object) -> object:
    """Return what JSON has no type for as something that it has one for."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


def _stage_class() -> type:
    """Return a stage of NeMo Curator; made once, when it is asked for."""
    try:
        from nemo_curator.stages.base import (  # noqa: PLC0415  # the door opens here
            ProcessingStage,
        )
        from nemo_curator.tasks import FileGroupTask as CuratorFiles  # noqa: PLC0415
        from nemo_curator.tasks.image import ImageBatch as CuratorImages  # noqa: PLC0415
    except ImportError as error:
        feature, extra = "arrowimg.curator", "curator"
        raise MissingDependencyError(feature, extra) from error

    @dataclass
    class ImageWriterStage(ProcessingStage[CuratorImages, CuratorFiles]):
        """Writes Curator's batches of images as tar shards with Parquet sidecars.

        In place of Curator's own writer: the same parameters, the same pictures, and its scores,
        embeddings and metadata as typed columns.

        Parameters
        ----------
        output_dir, images_per_tar, verbose, deterministic_name
            As `arrowimg.ImageWriterStage` has them.
        remove_image_data
            True: the pixels of the objects are dropped, once their shards are committed.
        metadata_schema
            See `batch_of_tasks`.
        keep_images
            True: the sidecar has the stored pictures too.
        options
            More of `WriteOptions`, by name. ``on_error`` is ``"quarantine"`` unless told
            otherwise, since an error ends the whole pipeline.

        Notes
        -----
        ``with_(batch_size=k)`` merges k batches, so that tars are full across them. Nothing is kept
        between calls: executors need not call ``teardown``.
        """

        output_dir: str
        images_per_tar: int = 1000
        verbose: bool = False
        deterministic_name: bool = True
        remove_image_data: bool = False
        metadata_schema: pa.Schema | None = None
        keep_images: bool = False
        options: dict[str, Any] = field(default_factory=dict)
        name: str = "image_writer"
        batch_size: int = 1

        def __post_init__(self) -> None:
            self._stage = _ArrowStage(
                self.output_dir,
                self.images_per_tar,
                self.verbose,
                self.deterministic_name,
                remove_image_data=not self.keep_images,
                **{"on_error": "quarantine", **self.options},
            )

        def inputs(self) -> tuple[list[str], list[str]]:
            return ["data"], []

        def outputs(self) -> tuple[list[str], list[str]]:
            return ["data"], []

        def process(self, task: Any) -> Any:  # noqa: ANN401  # see below
            return self.process_batch([task])[0]

        def process_batch(self, tasks: list[Any]) -> list[Any]:
            """Write all tasks as one batch: the first gets the files, of the rest nothing is left.

            As many results as tasks, so that Curator can give them ids that stay the same.
            """
            quarantine = self._stage.options.on_error == "quarantine"
            batch = batch_of_tasks(tasks, self.metadata_schema, quarantine=quarantine)
            files = self._stage.process(batch)
            if self.remove_image_data:
                for image in (image for task in tasks for image in task.data):
                    image.image_data = None
            return [self._file_group(tasks[0], files)] + [None] * (len(tasks) - 1)

        def _file_group(self, task: Any, files: FileGroupTask) -> Any:  # noqa: ANN401
            return CuratorFiles(
                dataset_name=task.dataset_name,
                data=[*files.tar_paths, *files.parquet_paths],
                _metadata={**task._metadata, **files.metadata},  # noqa: SLF001  # its API
                _stage_perf=task._stage_perf,  # noqa: SLF001
            )

    # Curator reads these to tell whether a stage makes one task of one; names of this function
    # are none that it could look up. Workers find the class by its name in this module.
    ImageWriterStage.process.__annotations__ = {"task": CuratorImages, "return": CuratorFiles}
    ImageWriterStage.__qualname__ = "ImageWriterStage"
    return ImageWriterStage
