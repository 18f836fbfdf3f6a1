"""Tasks of NeMo Curator, or of anything of that shape, as batches."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from arrowimg._images.arrays import column_of_images
from arrowimg._images.batch import ImageBatch
from arrowimg.errors import ImageError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SCORES = ("aesthetic_score", "nsfw_score")

logger = logging.getLogger("arrowimg")


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
